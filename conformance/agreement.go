package conformance

import (
	"bytes"
	"crypto/ecdsa"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// dh is COMPUTE DH with a private key of the card and a public key in it.
func dh(private, public []byte) message { return command(insDH, 0, 0, private, public) }

// shared is the secret of a host's key and a card's.
func shared(host *ecdsa.PrivateKey, card *ecdsa.PublicKey) []byte {
	private, public := must(host.ECDH()), must(card.ECDH())
	return must(private.ECDH(public))
}

// agreement is everything that a key agreement needs: a pair of the card, a container for
// the peer's key, and a key of the host in it.
func (s *Session) agreement() (p pair, peer iotsafe.Object, host *ecdsa.PrivateKey) {
	p, peer, host = s.agreeing(), s.peer(iotsafe.KeyAgreement), newKey()
	s.put(peer, &host.PublicKey)
	return p, peer, host
}

var agreementNeeds = []Need{KeyAgreement, PutPublicKey}

var agreementTests = []Test{
	{
		ID: "3.11-host", Chapter: "3.11", Needs: agreementNeeds, Destructive: true,
		Title: "COMPUTE DH answers the x coordinate that the host computes too, 32 bytes without a tag",
		run: func(s *Session) {
			p, peer, host := s.agreement()
			s.same("the shared secret", s.ok(dh(id(p.private), id(peer))), shared(host, p.key))
		},
	},
	{
		ID: "3.11-again", Chapter: "3.11, 3.10", Needs: agreementNeeds, Destructive: true,
		Title: "Another key of the peer gives another secret, the same key the same",
		run: func(s *Session) {
			p, peer, first := s.agreement()
			second := newKey()
			for _, host := range []*ecdsa.PrivateKey{second, first, second} {
				s.put(peer, &host.PublicKey)
				s.same("the shared secret", s.ok(dh(id(p.private), id(peer))), shared(host, p.key))
			}
		},
	},
	{
		ID: "3.11-leading-zero", Chapter: "3.11", Needs: agreementNeeds, Destructive: true,
		Title: "A shared secret that begins with a zero keeps it",
		run: func(s *Session) {
			p, peer, host := s.agreement()
			for shared(host, p.key)[0] != 0 {
				host = newKey()
			}
			s.put(peer, &host.PublicKey)
			s.same("the shared secret", s.ok(dh(id(p.private), id(peer))), shared(host, p.key))
		},
	},
	{
		ID: "3.11-fresh-key", Chapter: "3.11, 3.8", Needs: append([]Need{KeyGeneration}, agreementNeeds...), Destructive: true,
		Title: "A pair generated just now agrees on keys at once",
		run: func(s *Session) {
			private, _ := s.generablePair(func(o iotsafe.Object) bool { return o.Functions&iotsafe.KeyAgreement != 0 })
			host, peer := newKey(), s.peer(iotsafe.KeyAgreement)
			s.put(peer, &host.PublicKey)
			for range 2 {
				key := s.generate(private).key
				s.same("the shared secret", s.ok(dh(id(private), id(peer))), shared(host, key))
			}
		},
	},
	{
		ID: "3.11-select", Chapter: "3.11, 8 (16)", Needs: agreementNeeds, Destructive: true,
		Title: "Keys for key agreement outlive SELECT",
		run: func(s *Session) {
			p, peer, host := s.agreement()
			s.exchange(s.selectBy(s.aid))
			s.same("the shared secret", s.ok(dh(id(p.private), id(peer))), shared(host, p.key))
		},
	},
	{
		ID: "3.11-any-order", Chapter: "3.11, 8 (8)", Needs: agreementNeeds, Destructive: true,
		Title: "COMPUTE DH takes its fields in any order, by identifier or by label, with Le and without",
		run: func(s *Session) {
			p, peer, host := s.agreement()
			want := shared(host, p.key)
			s.same("the secret, public key first", s.ok(dh(id(peer), id(p.private))), want)
			s.same("the secret, with Le 00", s.ok(dh(id(p.private), id(peer)).le(apdu.MaxLe)), want)
			if p.private.Label != "" && s.bearers(p.private) == 1 {
				s.same("the secret, private key by label", s.ok(dh(label(p.private), id(peer))), want)
			}
			if peer.Label != "" && s.bearers(peer) == 1 {
				s.same("the secret, public key by label", s.ok(dh(id(p.private), label(peer))), want)
			}
		},
	},
	{
		ID: "3.11-empty", Chapter: "3.11", Needs: agreementNeeds, Destructive: true,
		Title: "COMPUTE DH with a public key container that is empty answers 6985",
		run: func(s *Session) {
			p := s.agreeing()
			o := s.pick(iotsafe.PublicKey, "public key for key agreement that is not activated",
				func(o iotsafe.Object) bool { return !o.Active && p256(o) && o.Functions&iotsafe.KeyAgreement != 0 })
			s.refused(dh(id(p.private), id(o)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.11-invalid", Chapter: "3.11, 3.10", Needs: agreementNeeds, Destructive: true,
		Title: "No secret is computed with a point that is not on the curve",
		run: func(s *Session) {
			p, peer, host := s.agreement()
			point := pointOf(&host.PublicKey)
			point[64] ^= 0x01
			s.do(putInit(0, peer))
			s.do(putUpdate(0, keyData(point)))
			// The container may still hold the good key; what it must not do is use the other.
			if r := s.do(dh(id(p.private), id(peer))); r.SW.Succeeded() && !bytes.Equal(r.Data, shared(host, p.key)) {
				s.fail("COMPUTE DH answered % X for an invalid point", r.Data)
			}
		},
	},
	{
		ID: "3.11-unknown", Chapter: "3.11, 3.18", Needs: agreementNeeds, Destructive: true,
		Title: "COMPUTE DH with a key that is not there answers 6A82",
		run: func(s *Session) {
			p, peer, _ := s.agreement()
			s.refused(dh(s.unknown(iotsafe.PrivateKey, 1), id(peer)), apdu.NotFound)
			s.refused(dh(id(p.private), s.unknown(iotsafe.PublicKey, 1)), apdu.NotFound)
			s.refused(dh(s.unknown(iotsafe.PrivateKey, 20), id(peer)), apdu.NotFound)
		},
	},
	{
		ID: "3.11-no-function", Chapter: "3.11, 2.2", Needs: agreementNeeds, Destructive: true,
		Title: "A private key without the key agreement function agrees on nothing: 6985",
		run: func(s *Session) {
			_, peer, _ := s.agreement()
			o := s.pick(iotsafe.PrivateKey, "active P-256 private key without the key agreement function",
				func(o iotsafe.Object) bool { return o.Active && p256(o) && o.Functions&iotsafe.KeyAgreement == 0 })
			s.refused(dh(id(o), id(peer)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.11-no-function-public", Chapter: "3.11, 2.2", Needs: agreementNeeds, Destructive: true,
		Title: "A public key without the key agreement function is not agreed with: 6985",
		run: func(s *Session) {
			p := s.agreeing()
			o := s.pick(iotsafe.PublicKey, "active P-256 public key without the key agreement function",
				func(o iotsafe.Object) bool { return o.Active && p256(o) && o.Functions&iotsafe.KeyAgreement == 0 })
			s.refused(dh(id(p.private), id(o)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.11-malformed", Chapter: "3.11, 3.18", Needs: agreementNeeds, Destructive: true,
		Title: "COMPUTE DH with a key missing, twice or cut is refused as malformed",
		run: func(s *Session) {
			p, peer, _ := s.agreement()
			for _, fields := range [][][]byte{
				{}, {id(p.private)}, {id(peer)}, {id(p.private), id(p.private)}, {id(peer), id(peer)},
				{id(p.private), {0x85, 0x05, 0x01}}, {field(0x84), id(peer)}, {id(p.private), field(0x83, 0x01)},
			} {
				s.refused(command(insDH, 0, 0, fields...).le(apdu.MaxLe), malformed...)
			}
		},
	},
	{
		ID: "3.11-parameters", Chapter: "3.11, 3.18", Needs: agreementNeeds, Destructive: true,
		Title: "COMPUTE DH with P1 or P2 other than 00 answers 6A86",
		run: func(s *Session) {
			p, peer, _ := s.agreement()
			s.refusesParameters(dh(id(p.private), id(peer)))
		},
	},
}
