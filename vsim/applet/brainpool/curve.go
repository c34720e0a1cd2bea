package brainpool

import "math/big"

// Size is the size of a scalar and of a coordinate, PointSize that of an uncompressed
// point (04, X, Y), in bytes.
const (
	Size      = 32
	PointSize = 1 + 2*Size
)

// The curve y² = x³ + ax + b over the integers modulo p, with a base point of prime order
// q (RFC 5639, clause 3.4). Its cofactor is 1: every point but infinity has order q.
var (
	p = number("A9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377")
	a = number("7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9")
	b = number("26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6")
	q = number("A9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7")

	base = point{
		x: number("8BD2AEB9CB7E57CB2C4B482FFC81B7AFB9DE27E1E3BD23C23A4453BD9ACE3262"),
		y: number("547EF835C3DAC4FD97F8461A14611DC9C27745132DED8E545C1D54C72F046997"),
		z: big.NewInt(1),
	}
)

func number(hex string) *big.Int {
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("brainpool: a constant of the curve is no number")
	}
	return n
}

// point is a point in Jacobian coordinates: x/z², y/z³; infinity if z is 0. It is never
// changed once made.
type point struct{ x, y, z *big.Int }

var infinity = point{big.NewInt(1), big.NewInt(1), new(big.Int)}

func (u point) isInfinity() bool { return u.z.Sign() == 0 }

// Arithmetic modulo p.

func mul(u, v *big.Int) *big.Int {
	w := new(big.Int).Mul(u, v)
	return w.Mod(w, p)
}

func add(u, v *big.Int) *big.Int {
	w := new(big.Int).Add(u, v)
	return w.Mod(w, p)
}

func sub(u, v *big.Int) *big.Int {
	w := new(big.Int).Sub(u, v)
	return w.Mod(w, p)
}

func times(n int64, u *big.Int) *big.Int { return mul(big.NewInt(n), u) }

// double is 2u.
func (u point) double() point {
	if u.isInfinity() {
		return infinity
	}
	yy := mul(u.y, u.y)
	zz := mul(u.z, u.z)
	s := times(4, mul(u.x, yy))
	m := add(times(3, mul(u.x, u.x)), mul(a, mul(zz, zz)))
	x := sub(mul(m, m), times(2, s))
	y := sub(mul(m, sub(s, x)), times(8, mul(yy, yy)))
	return point{x, y, times(2, mul(u.y, u.z))}
}

// add is u + v.
func (u point) add(v point) point {
	if u.isInfinity() {
		return v
	}
	if v.isInfinity() {
		return u
	}
	uzz, vzz := mul(u.z, u.z), mul(v.z, v.z)
	ux, vx := mul(u.x, vzz), mul(v.x, uzz)
	uy, vy := mul(u.y, mul(v.z, vzz)), mul(v.y, mul(u.z, uzz))
	h, r := sub(vx, ux), sub(vy, uy)
	if h.Sign() == 0 {
		if r.Sign() == 0 {
			return u.double()
		}
		return infinity
	}
	hh := mul(h, h)
	hhh, uhh := mul(h, hh), mul(ux, hh)
	x := sub(sub(mul(r, r), hhh), times(2, uhh))
	y := sub(mul(r, sub(uhh, x)), mul(uy, hhh))
	return point{x, y, mul(h, mul(u.z, v.z))}
}

// times is k·u, by doubling and adding.
func (u point) times(k *big.Int) point {
	sum := infinity
	for i := k.BitLen() - 1; i >= 0; i-- {
		sum = sum.double()
		if k.Bit(i) == 1 {
			sum = sum.add(u)
		}
	}
	return sum
}

// affine is the point's two coordinates. The point is not infinity.
func (u point) affine() (x, y *big.Int) {
	inverse := new(big.Int).ModInverse(u.z, p)
	square := mul(inverse, inverse)
	return mul(u.x, square), mul(u.y, mul(square, inverse))
}

// bytes is the uncompressed form. The point is not infinity.
func (u point) bytes() []byte {
	out := make([]byte, PointSize)
	out[0] = 0x04
	x, y := u.affine()
	x.FillBytes(out[1 : 1+Size])
	y.FillBytes(out[1+Size:])
	return out
}
