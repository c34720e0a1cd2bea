package applet_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/uicc"
)

const testICCID card.ICCID = "89010000000000000017"

// sim is a card with nothing but the applet on it.
type sim struct {
	t      testing.TB
	applet *applet.Applet
	mu     sync.Mutex
	uicc   *uicc.UICC

	stored  []byte // the last state that was made durable, as JSON
	commits int
	broken  bool // the next commits fail
	sent    int  // commands so far
}

// newSIM makes a SIM with an applet of the given type and containers.
func newSIM(t testing.TB, typ int, objects ...iotsafe.Object) *sim {
	t.Helper()
	state, err := applet.NewState(typ, objects...)
	if err != nil {
		t.Fatal(err)
	}
	s := &sim{t: t}
	s.start(state)
	return s
}

func (s *sim) start(state applet.State) {
	s.t.Helper()
	s.stored = encode(s.t, state)
	s.applet = applet.New(state, testICCID.File(), func(state applet.State) error {
		if s.broken {
			return errors.New("disk full")
		}
		s.commits++
		s.stored = encode(s.t, state)
		return nil
	})
	var err error
	if s.uicc, err = uicc.New(testICCID, "uicc", nil, s.applet); err != nil {
		s.t.Fatal(err)
	}
}

func encode(t testing.TB, state applet.State) []byte {
	t.Helper()
	b, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Transmit makes the SIM a card.
func (s *sim) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	return s.uicc.Process(command), nil
}

// powerCycle starts the SIM anew from what it has stored.
func (s *sim) powerCycle() {
	s.t.Helper()
	var state applet.State
	if err := json.Unmarshal(s.stored, &state); err != nil {
		s.t.Fatal(err)
	}
	s.start(state)
}

// say sends a command in hexadecimal, which may contain spaces, and returns the answer.
func (s *sim) say(command string) string {
	s.t.Helper()
	answer, err := s.Transmit(context.Background(), unhex(s.t, command))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.ToUpper(hex.EncodeToString(answer))
}

// expect sends a command and wants a certain answer.
func (s *sim) expect(command, answer string) {
	s.t.Helper()
	if got, want := s.say(command), strings.ReplaceAll(answer, " ", ""); got != want {
		s.t.Fatalf("%s was answered %s: want %s", command, got, want)
	}
}

// open opens channel 1 and selects the applet there.
func (s *sim) open() {
	s.t.Helper()
	s.expect("0070000001", "01 9000")
	s.expect("01A4040007A0000005590010", "9000")
}

// personalize runs a whole script and returns its answers.
func (s *sim) personalize(script ...perso.Op) []perso.Answer {
	s.t.Helper()
	commands, err := perso.Commands(script...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.applet.BeginPersonalization(plain)
	var answers []perso.Answer
	for i, c := range commands {
		r := s.applet.StoreData(c.P1, c.P2, c.Data)
		if r.SW != apdu.OK {
			s.t.Fatalf("block %d: %v", i, r.SW)
		}
		a, err := perso.ParseAnswers(r.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		answers = append(answers, a...)
	}
	return answers
}

// refused runs a script and returns the status word that ended it.
func (s *sim) refused(script ...perso.Op) apdu.SW {
	s.t.Helper()
	commands, err := perso.Commands(script...)
	if err != nil {
		s.t.Fatal(err)
	}
	before := encode(s.t, s.applet.State())
	s.applet.BeginPersonalization(plain)
	for _, c := range commands {
		r := s.applet.StoreData(c.P1, c.P2, c.Data)
		if r.SW == apdu.OK {
			continue
		}
		if again := s.applet.StoreData(c.P1, c.P2, c.Data); again.SW != apdu.ConditionsNot {
			s.t.Fatalf("the sequence went on after %v: %v", r.SW, again.SW)
		}
		if !bytes.Equal(before, encode(s.t, s.applet.State())) {
			s.t.Fatalf("refused with %v, and yet something has changed", r.SW)
		}
		return r.SW
	}
	s.t.Fatal("not refused")
	return 0
}

// plain is a secure channel that enciphers nothing.
func plain(b []byte) ([]byte, error) { return b, nil }

// client selects the applet with the client library.
func (s *sim) client() *iotsafe.Applet {
	s.t.Helper()
	a, err := iotsafe.Select(context.Background(), s)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { a.Close(context.Background()) })
	return a
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Objects of the tests.

func privateKey(id iotsafe.ID, label string) iotsafe.Object {
	return iotsafe.Object{
		Kind: iotsafe.PrivateKey, ID: id, Label: label, KeyType: iotsafe.P256Persistent, Usage: iotsafe.General,
		Functions: iotsafe.Signing | iotsafe.KeyGeneration, Signatures: iotsafe.ECDSA, Hashes: iotsafe.SHA256 | iotsafe.SHA384,
	}
}

func publicKey(id iotsafe.ID, label string) iotsafe.Object {
	o := privateKey(id, label)
	o.Kind, o.Access = iotsafe.PublicKey, iotsafe.Readable
	return o
}

func volatile(o iotsafe.Object) iotsafe.Object {
	o.KeyType = iotsafe.P256Volatile
	return o
}

func file(id iotsafe.ID, label string, capacity int) iotsafe.Object {
	return iotsafe.Object{Kind: iotsafe.File, ID: id, Label: label, Access: iotsafe.Readable, Usage: iotsafe.X509Certificate, Size: capacity}
}

func secret(id iotsafe.ID) iotsafe.Object {
	return iotsafe.Object{Kind: iotsafe.SecretKey, ID: id, KeyType: iotsafe.HMACSecret, Functions: iotsafe.KeyDerivation, Derivations: iotsafe.PRFSHA256}
}

func ref(kind iotsafe.Kind, id iotsafe.ID) perso.Ref { return perso.Ref{Kind: kind, ID: id} }

// keyPair is the script that fills and activates a pair.
func keyPair(private, public iotsafe.ID) []perso.Op {
	return []perso.Op{
		perso.Generate{Private: private, Public: public},
		perso.Activate{Refs: []perso.Ref{ref(iotsafe.PrivateKey, private), ref(iotsafe.PublicKey, public)}},
	}
}

// content is the script that fills and activates a file.
func content(id iotsafe.ID, b []byte) []perso.Op {
	return append(perso.WriteFile(id, b), perso.Activate{Refs: []perso.Ref{ref(iotsafe.File, id)}})
}

// putSecret is the operation that puts a secret of at least 16 bytes through plain.
func putSecret(id iotsafe.ID, b []byte) perso.PutSecret {
	return perso.PutSecret{ID: id, Encrypted: b, Check: perso.SecretCheck(b)}
}
