package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/iotsafe"
)

// scripted sends commands through scriptor under a protocol, T=0 or T=1, and returns what
// the card answered to each.
func scripted(t *testing.T, protocol string, commands ...string) []string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	printed := realparts.Run(t, "scriptor", "-r", realparts.ReaderName, "-p", protocol, script)
	if !strings.Contains(printed, "Using "+protocol+" protocol") {
		t.Errorf("scriptor does not speak %s:\n%s", protocol, printed)
	}
	var answers []string
	for _, m := range answer.FindAllStringSubmatch(printed, -1) {
		answers = append(answers, strings.Join(strings.Fields(m[1]), ""))
	}
	if len(answers) != len(commands) {
		t.Fatalf("%d answers to %d commands:\n%s", len(answers), len(commands), printed)
	}
	return answers
}

// answer is how scriptor prints one: in lines of sixteen bytes, and then in words.
var answer = regexp.MustCompile(`(?m)^< ([0-9A-F\s]+?) :`)

// A whole signature through pcscd, command by command as a script has it: under T=0, where
// the data of an answer is fetched with GET RESPONSE, and under T=1, where it comes at
// once. OpenSSL verifies both.
func TestScriptorSignsUnderEitherProtocol(t *testing.T) {
	const text = "to be signed by the SIM"
	digest := sha256.Sum256([]byte(text))
	generate := "80 B9 00 00 03 84 01 01"
	begin := "80 2A 00 01 0D 84 01 01 A1 01 03 91 02 00 01 92 01 04"
	finish := fmt.Sprintf("80 2B 80 01 22 9E 20 % X", digest)
	const selectApplet = "00 A4 04 00 07 A0 00 00 05 59 00 10"

	t.Run("T=0", func(t *testing.T) {
		virtualSIM(t, "--atr", "t0")
		a := scripted(t, "T=0", selectApplet, generate, "00 C0 00 00 4D", begin, finish, "00 C0 00 00 43")
		for i, want := range map[int]string{0: "9000", 1: "614D", 3: "9000", 4: "6143"} {
			if a[i] != want {
				t.Errorf("command %d is answered %s, want %s", i+1, a[i], want)
			}
		}
		verifiedByOpenSSL(t, text, a[2], a[5])
	})
	t.Run("T=1", func(t *testing.T) {
		virtualSIM(t, "--atr", "t1")
		a := scripted(t, "T=1", selectApplet, generate+" 00", begin, finish+" 00")
		for i, want := range map[int]string{0: "9000", 2: "9000"} {
			if a[i] != want {
				t.Errorf("command %d is answered %s, want %s", i+1, a[i], want)
			}
		}
		verifiedByOpenSSL(t, text, a[1], a[3])
	})
}

// verifiedByOpenSSL has OpenSSL verify the signature in one answer with the public key in
// another.
func verifiedByOpenSSL(t *testing.T, text, keyAnswer, signatureAnswer string) {
	t.Helper()
	// 84 01 01 85 01 01 and the public key data
	data := strings.TrimPrefix(keyAnswer, "840101850101")
	key, err := iotsafe.ParsePublicKey(unhex(t, strings.TrimSuffix(data, "9000")))
	if err != nil {
		t.Fatalf("the answer %s has no public key: %v", keyAnswer, err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	raw := unhex(t, strings.TrimSuffix(signatureAnswer, "9000"))
	if len(raw) != 67 || raw[0] != iotsafe.TagSignature {
		t.Fatalf("the answer %s is no signature", signatureAnswer)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[3:35]), new(big.Int).SetBytes(raw[35:])})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out := realparts.Run(t, "openssl", "dgst", "-sha256",
		"-verify", file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
		"-signature", file("signature", der), file("text", []byte(text)))
	if !strings.Contains(out, "Verified OK") {
		t.Errorf("openssl says %q", out)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
