package applet_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet/brainpool"
)

// NIST CAVP, KAS ECC CDH primitive, P-256, count 0.
const (
	cavpPeer   = "700C48F77F56584C5CC632CA65640DB91B6BACCE3A4DF6B42CE7CC838833D287DB71E509E3FD9B060DDB20BA5C51DCC5948D46FBF640DFE0441782CAB85FA4AC"
	cavpScalar = "7D7DC5F71EB29DDAF80D6214632EEAE03D9058AF1FB6D22ED80BADB62BC1A534"
	cavpSecret = "46FC62106420FF012E54A434FBDD2D25CCC5852060561E68040DD7778997BD7B"
)

// exchangeSIM has the containers of the clients in the field: 04 a volatile pair, which
// here holds CAVP's key, and 05 a peer's key, to be put.
func exchangeSIM(t testing.TB) *sim {
	t.Helper()
	return holding(t, 1, map[perso.Ref][]byte{ref(iotsafe.PrivateKey, "\x04"): unhex(t, cavpScalar)},
		agreeing(privateKey("\x04", "ephemeral")), agreeing(publicKey("\x04", "ephemeral")),
		volatile(updateable(agreeing(publicKey("\x05", "peer")))),
		updateable(agreeing(publicKey("\x06", "kept"))),
		updateable(typed(publicKey("\x07", "rsa"), iotsafe.RSA2048)),
		typed(agreeing(privateKey("\x08", "brainpool")), iotsafe.BrainpoolP256Persist),
		typed(agreeing(publicKey("\x08", "brainpool")), iotsafe.BrainpoolP256Persist),
		updateable(typed(agreeing(publicKey("\x09", "peer on brainpool")), iotsafe.BrainpoolP256Volatile)),
	)
}

const header34 = "34454943864104"

func TestE10PutAPeersKeyAndAgreeAsThalesDoes(t *testing.T) {
	s := exchangeSIM(t)
	s.open()
	s.expect("014600000684010485010500", "6985") // the container is empty
	s.expect("012400000385010500", "9000")
	s.expect("01D8800047"+header34+cavpPeer+"00", "9000")
	s.expect("014600000684010485010500", cavpSecret+"9000")
	if s.commits != 0 {
		t.Fatal("a volatile key was written")
	}
	s.uicc.Reset()
	s.open()
	s.expect("014600000684010485010500", "6985") // it has ended with power
}

func TestE11PutAndAgreeAsWolfSSLDoes(t *testing.T) {
	s := exchangeSIM(t)
	s.open()
	s.expect("8124000203850105", "9000")
	s.expect("81D8800247"+header34+cavpPeer, "9000")
	s.expect("8124010200", "9000")
	s.expect("8146000006840104850105", "6120")
	s.expect("01C0000020", cavpSecret+"9000")
	s.expect("8146000006850105840104", "6120") // in any order
}

func TestAPersistentPeerKeyIsWrittenOnceAndSurvives(t *testing.T) {
	s := exchangeSIM(t)
	s.open()
	s.expect("8124000103850106", "9000")
	s.expect("81D8000120"+header34+cavpPeer[:50], "9000")
	if s.commits != 0 {
		t.Fatal("written before the end")
	}
	s.expect("81D8800127"+cavpPeer[50:], "9000")
	if s.commits != 1 {
		t.Fatalf("%d writes", s.commits)
	}
	s.powerCycle()
	s.open()
	s.expect("014600000684010485010600", cavpSecret+"9000")
	s.expect("81CD00000385010600", header34+cavpPeer+"9000")

	s.broken = true
	before := encode(t, s.applet.State())
	s.expect("8124000103850106", "9000")
	s.expect("81D8800147"+header34+cavpSecret+cavpSecret, "6A80")
	s.expect("8124000103850106", "9000")
	s.expect("81D8800147"+header34+rfc6979X+rfc6979Y, "6581")
	if !bytes.Equal(before, encode(t, s.applet.State())) {
		t.Fatal("a key that could not be stored took the place of the old one")
	}
}

func TestKeyDataComesInEveryFormFromTheField(t *testing.T) {
	s := exchangeSIM(t)
	s.open()
	point := "4943864104" + cavpPeer
	for name, updates := range map[string][]string{
		"one field":              {"3445" + point},
		"cut anywhere":           {"34", "45" + point[:30], point[30:]},
		"a field in each":        {"3420" + point[:64], "3425" + point[64:]},
		"nothing in the last":    {"3445" + point, ""},
		"one byte after another": strings.Fields(strings.TrimSpace(spaced("3445" + point))),
	} {
		if got := s.session(0x24, "850105", updates...); got != "9000" {
			t.Errorf("%s: %s", name, got)
		}
		s.expect("014600000684010485010500", cavpSecret+"9000")
	}
}

func spaced(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += 2 {
		b.WriteString(s[i:i+2] + " ")
	}
	return b.String()
}

func TestWhatIsNoPublicKeyIsNotPut(t *testing.T) {
	s := exchangeSIM(t)
	s.open()
	if got := s.session(0x24, "850105", header34+cavpPeer); got != "9000" {
		t.Fatal(got)
	}
	p := fmt.Sprintf("%064X", elliptic.P256().Params().P)
	off := cavpPeer[:127] + "D"
	for name, data := range map[string]string{
		"off the curve":      header34 + off,
		"zeros":              header34 + strings.Repeat("0", 128),
		"x is p":             header34 + p + cavpPeer[64:],
		"infinity":           "3405 4903 860100",
		"compressed":         "3425 4923 8621 02" + cavpPeer[:64],
		"hybrid":             "34454943864106" + cavpPeer,
		"another template":   "34457F43864104" + cavpPeer,
		"cut short":          header34 + cavpPeer[:126],
		"too long":           header34 + cavpPeer + "00",
		"nothing":            "",
		"only the tag":       "34",
		"another tag":        "35454943864104" + cavpPeer,
		"a point on another": header34 + fmt.Sprintf("%X", brainpoolPoint(t)[1:]),
	} {
		if got := s.session(0x24, "850105", data); got != "6A80" {
			t.Errorf("%s: %s", name, got)
		}
		s.expect("014600000684010485010500", cavpSecret+"9000") // the old key is in place
	}
	s.expect("8124000103850104", "6985") // may not be updated
	s.expect("8124000103850101", "6A82")
	s.expect("8124000103840104", "6A80")
	s.expect("8124000106850105750161", "6A80")
	s.expect("8124020103850105", "6A86")
	s.expect("81D8800147"+header34+cavpPeer, "6985") // nothing opened
	if got := s.session(0x24, "850105", slices255(3)...); got != "6A80" {
		t.Error("more than any key has:", got)
	}
	if s.commits != 0 {
		t.Fatal("written")
	}
}

func brainpoolPoint(t testing.TB) []byte {
	t.Helper()
	_, point, err := brainpool.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return point
}

func TestAgreementNeedsTheFunctionTheStateAndTheSameCurve(t *testing.T) {
	signs := privateKey("\x01", "signs only")
	other := agreeing(publicKey("\x02", "other agreement"))
	other.KeyAgreement = 0x02
	peer := unhex(t, "04"+cavpPeer)
	s := holding(t, 1, map[perso.Ref][]byte{
		ref(iotsafe.PrivateKey, "\x01"): unhex(t, cavpScalar), ref(iotsafe.PrivateKey, "\x04"): unhex(t, cavpScalar),
		ref(iotsafe.PrivateKey, "\x06"): unhex(t, cavpScalar),
		ref(iotsafe.PublicKey, "\x01"):  peer, ref(iotsafe.PublicKey, "\x02"): peer, ref(iotsafe.PublicKey, "\x05"): peer,
		ref(iotsafe.PublicKey, "\x07"): brainpoolPoint(t),
	}, signs, publicKey("\x01", "signs only"), other, agreeing(privateKey("\x04", "a")), agreeing(publicKey("\x05", "b")),
		used(agreeing(privateKey("\x06", "TLS")), iotsafe.TLS13CertificateVerify),
		typed(agreeing(publicKey("\x07", "c")), iotsafe.BrainpoolP256Persist))
	s.open()
	for data, want := range map[string]string{
		"840104 850105":        cavpSecret + "9000",
		"740161 750162":        cavpSecret + "9000", // by label
		"840101 850105":        "6985",              // signs only
		"840104 850101":        "6985",
		"840104 850102":        "6985", // another agreement
		"840106 850105":        "6985", // for CertificateVerify only
		"840104 850107":        "6985", // another curve
		"840104 850109":        "6A82",
		"840109 850105":        "6A82",
		"840104":               "6A80",
		"850105":               "6A80",
		"840104 850105 860101": "6A80",
		"840104 850105 840104": "6A80",
		"840104 740161 850105": "6A80",
	} {
		b := unhex(t, data)
		s.expect(fmt.Sprintf("01460000%02X%X00", len(b), b), want)
	}
	s.expect("01460000", "6A80") // as one client sends it
	s.expect("014601000684010485010500", "6A86")
	s.expect("014600010684010485010500", "6A86")
}

func TestTheClientAgreesLikeAnyKeyOfGo(t *testing.T) {
	s := newSIM(t, 1, volatile(agreeing(privateKey("\x04", "e"))), volatile(agreeing(publicKey("\x04", "e"))),
		volatile(updateable(agreeing(publicKey("\x05", "peer")))))
	c := s.client()
	if _, err := c.SharedSecret(t.Context(), "\x04", "\x05"); !errors.Is(err, apdu.ConditionsNot) || !strings.Contains(err.Error(), "not put") {
		t.Fatal(err)
	}
	pair, err := c.GenerateKeyPair(t.Context(), "\x04")
	if err != nil {
		t.Fatal(err)
	}
	own, err := pair.Key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	exchanger := c.KeyExchanger(t.Context(), "\x04", "\x05", own)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			peer, err := ecdh.P256().GenerateKey(rand.Reader)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := exchanger.ECDH(peer.PublicKey())
			want, wrong := peer.ECDH(own)
			if err != nil || wrong != nil || !bytes.Equal(got, want) {
				t.Errorf("%X, %v", got, err)
			}
		})
	}
	all.Wait()
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exchanger.ECDH(x.PublicKey()); err == nil {
		t.Fatal("a key of another curve was taken")
	}
}

func TestPeersOfEveryKindArePut(t *testing.T) {
	s := exchangeSIM(t)
	c := s.client()
	ctx := t.Context()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PutPublicKey(ctx, "\x07", &rsaKey.PublicKey); err != nil {
		t.Fatal(err)
	}
	if got, err := c.AnyPublicKey(ctx, "\x07"); err != nil || !rsaKey.PublicKey.Equal(got) {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PutPublicKey(ctx, "\x07", &ecKey.PublicKey); !errors.Is(err, apdu.WrongData) {
		t.Fatal(err)
	}
	if err := c.PutPublicKey(ctx, "\x05", &ecKey.PublicKey); err != nil {
		t.Fatal(err)
	}
	scalar, point, err := brainpool.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := c.GenerateAnyKeyPair(ctx, "\x08")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PutPublicKey(ctx, "\x09", iotsafe.Point(point)); err != nil {
		t.Fatal(err)
	}
	got, err := c.SharedSecret(ctx, "\x08", "\x09")
	want, wrong := brainpool.SharedSecret(scalar, pair.AnyKey.(iotsafe.Point))
	if err != nil || wrong != nil || !bytes.Equal(got, want) {
		t.Fatalf("%X, %v, %v", got, err, wrong)
	}
	if err := c.PutPublicKey(ctx, "\x04", &ecKey.PublicKey); !errors.Is(err, apdu.ConditionsNot) || !strings.Contains(err.Error(), "may not be updated") {
		t.Fatal(err)
	}
}

func TestASessionOnAReplacedKeyFails(t *testing.T) {
	s := exchangeSIM(t)
	s.open()
	for range 2 {
		if got := s.session(0x24, "850106", header34+cavpPeer); got != "9000" {
			t.Fatal(got)
		}
	}
	s.expect("812C00030D850106A1010391020001920104", "9000")
	if got := s.session(0x24, "850106", header34+rfc6979X+rfc6979Y); got != "9000" {
		t.Fatal(got)
	}
	s.expect("812D8003659E20"+digestHex+"330040"+strings.Repeat("01", 64), "6985")
}
