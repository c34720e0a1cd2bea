package conformance

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"hash"

	"github.com/simroot/simroot/iotsafe"
)

// hashes of the interface, with what the tests need to know of them.
var hashNames = map[iotsafe.Hash]string{iotsafe.SHA256: "SHA-256", iotsafe.SHA384: "SHA-384", iotsafe.SHA512: "SHA-512"}

// signingWith is a pair that signs with a hash algorithm of its own.
func (s *Session) signingWith(h iotsafe.Hash) pair {
	for _, private := range s.objects() {
		public, ok := s.publicHalf(private)
		if private.Kind == iotsafe.PrivateKey && p256(private) && private.Active && private.Usage == iotsafe.General &&
			private.Functions&iotsafe.Signing != 0 && private.Signatures&iotsafe.ECDSA != 0 && private.Hashes&h != 0 &&
			ok && public.Active && readable(public) {
			return pair{private, public, s.readKey(public)}
		}
	}
	if p := s.signing(); p.private.Hashes&h != 0 { // which may make one
		return p
	}
	s.skip("the card has no active P-256 key that signs with %s (tag 91)", hashNames[h])
	return pair{}
}

// openSigning opens a session with a hash.
func (s *Session) openSigning(session byte, p pair, mode iotsafe.Mode, h iotsafe.Hash) {
	s.ok(command(insSignInit, p1Open, session, initData(id(p.private), mode, h, iotsafe.ECDSA)))
}

// long is a text of n bytes.
func long(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// threeBytes is a field whose length has three bytes, the form of tag 9B in the GSMA's table.
func threeBytes(tag byte, total int, value []byte) []byte {
	return append([]byte{tag, byte(total >> 16), byte(total >> 8), byte(total)}, value...)
}

// fullText signs a text that is given in several UPDATE commands.
func (s *Session) fullText(session byte, parts ...[]byte) []byte {
	for i, part := range parts {
		if i == len(parts)-1 {
			return s.signature(s.ok(signUpdate(session, part)))
		}
		if data := s.ok(command(insSignUpdate, p1More, session, part)); len(data) > 0 {
			s.fail("an UPDATE that is not the last answered %d bytes", len(data))
		}
	}
	return nil
}

// fullTextTest checks that a text of n bytes is signed, in the parts that cut makes of it.
func fullTextTest(id, title string, n int, cut func(text []byte) [][]byte) Test {
	return Test{
		ID: id, Title: title, Chapter: "3.13, 5.1 (11), 8 (3, 4)", Needs: []Need{Signing},
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			s.openSigning(0, p, iotsafe.FullText, iotsafe.SHA256)
			s.good(p.key, hashOf(iotsafe.SHA256, long(n)), s.fullText(0, cut(long(n))...))
		},
	}
}

// hashTest checks full text with another hash than SHA-256.
func hashTest(id string, h iotsafe.Hash, need Need) Test {
	return Test{
		ID: id, Title: "In mode 01 the card hashes a text with " + hashNames[h], Chapter: "3.13, 2.2", Needs: []Need{Signing, need},
		run: func(s *Session) {
			p := s.signingWith(h)
			for _, n := range []int{1, 3, 111, 112, 128, 200} {
				s.openSigning(0, p, iotsafe.FullText, h)
				s.good(p.key, hashOf(h, long(n)), s.fullText(0, field(iotsafe.TagFullText, long(n)...)))
			}
		},
	}
}

// intermediate is the state of a hash after some whole blocks, as mode 02 wants it.
func intermediate(h iotsafe.Hash, blocks []byte) []byte {
	var state hash.Hash
	size := 64
	switch h {
	case iotsafe.SHA384:
		state = sha512.New384()
	case iotsafe.SHA512:
		state = sha512.New()
	default:
		state, size = sha256.New(), 32
	}
	state.Write(blocks)
	m, ok := state.(encoding.BinaryMarshaler)
	if !ok {
		return make([]byte, size)
	}
	b := must(m.MarshalBinary()) // four bytes of magic, then the state
	return b[4 : 4+size]
}

// lastBlock is the data of UPDATE in mode 02.
func lastBlock(rest, state []byte, hashed int) []byte {
	return bytes.Join([][]byte{
		field(iotsafe.TagLastBlock, rest...), field(iotsafe.TagIntermediate, state...),
		field(iotsafe.TagHashed, byte(hashed>>24), byte(hashed>>16), byte(hashed>>8), byte(hashed)),
	}, nil)
}

// lastBlockTest checks mode 02 with one hash.
func lastBlockTest(id string, h iotsafe.Hash, blockSize int, needs ...Need) Test {
	return Test{
		ID: id, Title: "In mode 02 the card continues " + hashNames[h] + " from a state, with the last block, and signs",
		Chapter: "3.13, E8", Needs: append([]Need{Signing}, needs...),
		run: func(s *Session) {
			p := s.signingWith(h)
			for _, blocks := range []int{1, 2, 5} {
				for _, rest := range []int{1, 16, blockSize - 9, blockSize - 8, blockSize - 1, blockSize} {
					text := long(blocks*blockSize + rest)
					s.openSigning(0, p, iotsafe.LastBlock, h)
					data := lastBlock(text[blocks*blockSize:], intermediate(h, text[:blocks*blockSize]), blocks*blockSize)
					s.good(p.key, hashOf(h, text), s.signature(s.ok(signUpdate(0, data))))
				}
			}
		},
	}
}

var signModeTests = []Test{
	fullTextTest("3.13-full-text", "In mode 01 the card hashes a short text and signs it", 3,
		func(t []byte) [][]byte { return [][]byte{field(iotsafe.TagFullText, t...)} }),
	fullTextTest("3.13-full-text-3", "Tag 9B may have a length of three bytes", 200,
		func(t []byte) [][]byte { return [][]byte{threeBytes(iotsafe.TagFullText, len(t), t)} }),
	fullTextTest("3.13-full-text-81", "Tag 9B may have a length in BER form: 81 and one byte", 200,
		func(t []byte) [][]byte {
			return [][]byte{append([]byte{iotsafe.TagFullText, 0x81, byte(len(t))}, t...)}
		}),
	fullTextTest("3.13-full-text-82", "Tag 9B may have a length in BER form: 82 and two bytes", 130,
		func(t []byte) [][]byte {
			return [][]byte{append([]byte{iotsafe.TagFullText, 0x82, 0, byte(len(t))}, t...)}
		}),
	fullTextTest("3.13-updates-total", "A text in several UPDATEs: the length of 9B is that of all, later ones carry the rest bare", 600,
		func(t []byte) [][]byte {
			return [][]byte{threeBytes(iotsafe.TagFullText, len(t), t[:251]), t[251:506], t[506:]}
		}),
	fullTextTest("3.13-updates-repeated", "A text in several UPDATEs: each may be a 9B of its own", 600,
		func(t []byte) [][]byte {
			return [][]byte{
				field(iotsafe.TagFullText, t[:253]...), field(iotsafe.TagFullText, t[253:506]...), field(iotsafe.TagFullText, t[506:]...),
			}
		}),
	hashTest("3.13-full-text-sha384", iotsafe.SHA384, SHA384),
	hashTest("3.13-full-text-sha512", iotsafe.SHA512, SHA512),
	{
		ID: "3.13-full-text-sizes", Chapter: "3.13", Needs: []Need{Signing},
		Title: "Texts of all lengths around the blocks of SHA-256 are hashed rightly",
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			for _, n := range []int{1, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 251} {
				s.openSigning(0, p, iotsafe.FullText, iotsafe.SHA256)
				s.good(p.key, hashOf(iotsafe.SHA256, long(n)), s.fullText(0, field(iotsafe.TagFullText, long(n)...)))
			}
		},
	},
	lastBlockTest("3.13-last-block", iotsafe.SHA256, 64),
	lastBlockTest("3.13-last-block-sha384", iotsafe.SHA384, 128, SHA384),
	lastBlockTest("3.13-last-block-sha512", iotsafe.SHA512, 128, SHA512),
	{
		ID: "3.13-last-block-bad", Chapter: "3.13", Needs: []Need{Signing},
		Title: "In mode 02 a count that is no whole block, a state of a wrong size or a missing field is refused as malformed",
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			state := intermediate(iotsafe.SHA256, long(64))
			for _, data := range [][]byte{
				lastBlock(long(16), state, 63),
				lastBlock(long(16), state[:31], 64),
				lastBlock(long(16), append(bytes.Clone(state), 0), 64),
				lastBlock(long(129), state, 64),
				append(field(iotsafe.TagLastBlock, long(16)...), field(iotsafe.TagIntermediate, state...)...),
				append(field(iotsafe.TagLastBlock, long(16)...), field(iotsafe.TagHashed, 0, 0, 0, 64)...),
				digestField(long(32)),
			} {
				s.openSigning(0, p, iotsafe.LastBlock, iotsafe.SHA256)
				s.refused(signUpdate(0, data), malformed...)
			}
		},
	},
}
