package conformance

// What the tests of the kit's own mathematics look at.
var (
	BrainpoolBase   = brainpoolBase
	ParseBrainpool  = parseBrainpool
	VerifiesOnCurve = verifiesBrainpool
	PremasterPSK    = premasterPSK
	PremasterECDHE  = premasterECDHE
)

// Times and Bytes are those of a point.
func (u *curvePoint) Times(k string) *curvePoint { return u.times(hexNumber(k)) }
func (u *curvePoint) Bytes() []byte              { return u.bytes() }

// PRFVectors calls f with the published outputs of the PRF and what the kit computes.
func PRFVectors(f func(name string, got, want []byte)) {
	for _, v := range prfVectors {
		want := vector(v.out)
		f(v.name, expand(vector(v.secret), append([]byte(v.label), vector(v.seed)...), len(want)), want)
	}
}
