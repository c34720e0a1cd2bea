package applet_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// pageSIM is the card of docs/applet.md, and the texts that others have enciphered for it.
func pageSIM(t *testing.T) (*sim, map[string]string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert := file("\x02", "cert", 100)
	verifier := publicKey("\x06", "verifier")
	verifier.Hashes = allHashes
	s := holding(t, 1, map[perso.Ref][]byte{
		ref(iotsafe.PrivateKey, "\x01"): unhex(t, cavpScalar),
		ref(iotsafe.PublicKey, "\x06"):  unhex(t, "04"+rfc6979X+rfc6979Y),
		ref(iotsafe.PrivateKey, "\x07"): x509.MarshalPKCS1PrivateKey(key),
		ref(iotsafe.PublicKey, "\x07"):  x509.MarshalPKCS1PublicKey(&key.PublicKey),
		ref(iotsafe.File, "\x02"):       []byte("hello"),
		ref(iotsafe.SecretKey, "\x01"):  unhex(t, sequence(0x00, 16)),
		ref(iotsafe.SecretKey, "\x02"):  unhex(t, sequence(0x40, 16)),
	},
		agreeing(privateKey("\x01", "client")), agreeing(publicKey("\x01", "client")),
		volatile(updateable(agreeing(publicKey("\x05", "peer")))), verifier,
		typed(privateKey("\x07", "rsa"), iotsafe.RSA2048), typed(publicKey("\x07", "rsa"), iotsafe.RSA2048),
		volatile(privateKey("\x08", "volatile")), volatile(publicKey("\x08", "volatile")),
		cert, psk("\x01"), cipherSecret("\x02", iotsafe.AES128Secret))

	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, []byte("hello"), []byte("id"))
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(unhex(t, sequence(0x40, 16)))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return s, map[string]string{
		"oaep-first-half":  fmt.Sprintf("%X", sealed[:128]),
		"oaep-second-half": fmt.Sprintf("%X", sealed[128:]),
		"gcm-of-hello":     fmt.Sprintf("%X", gcm.Seal(nil, make([]byte, 12), []byte("hello"), nil)),
	}
}

var placeholder = regexp.MustCompile(`\{([a-z-]+)(?::([0-9]+))?\}`)

// The page says what the applet does, so the applet must do what the page says.
func TestTheExchangesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/applet.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```apdu\n")[1:]
	if len(blocks) < 14 {
		t.Fatalf("%d exchanges", len(blocks))
	}
	s, known := pageSIM(t)
	for i, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			s.t = t
			s.uicc.Reset()
			s.open()
			got := ""
			for line := range strings.Lines(block) {
				kind, text := line[0], strings.ReplaceAll(strings.TrimSpace(line[1:]), " ", "")
				if kind == '>' {
					got = s.say(fillIn(t, text, known))
					continue
				}
				match(t, text, got, known)
			}
		})
	}
}

// fillIn puts what is known in the place of the placeholders.
func fillIn(t *testing.T, text string, known map[string]string) string {
	t.Helper()
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		v, found := known[placeholder.FindStringSubmatch(p)[1]]
		if !found {
			t.Fatalf("%s is not known", p)
		}
		return v
	})
}

// match compares an answer with the page, and learns what stands for the placeholders.
func match(t *testing.T, text, got string, known map[string]string) {
	t.Helper()
	pattern, names := "^", []string{}
	for text != "" {
		at := placeholder.FindStringSubmatchIndex(text)
		if at == nil || at[0] > 0 {
			end := len(text)
			if at != nil {
				end = at[0]
			}
			pattern, text = pattern+text[:end], text[end:]
			continue
		}
		name := text[at[2]:at[3]]
		if at[4] < 0 {
			pattern += known[name]
		} else {
			n, err := strconv.Atoi(text[at[4]:at[5]])
			if err != nil {
				t.Fatal(err)
			}
			pattern += fmt.Sprintf("([0-9A-F]{%d})", 2*n)
			names = append(names, name)
		}
		text = text[at[1]:]
	}
	found := regexp.MustCompile(pattern + "$").FindStringSubmatch(got)
	if found == nil {
		t.Fatalf("answered %s: the page says %s", got, pattern)
	}
	for i, name := range names {
		known[name] = found[i+1]
	}
}
