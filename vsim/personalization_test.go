package vsim_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/gp/scp03"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/domain"
	"github.com/simroot/simroot/vsim/image"
	"pgregory.net/rapid"
)

// issuer talks to a card's security domain through an open session on a channel.
type issuer struct {
	card    *vsim.Card
	host    *scp03.Host
	channel int
}

func (i *issuer) send(t tester, c apdu.Command) apdu.Response {
	t.Helper()
	c.CLA = apdu.OnChannel(c.CLA, i.channel)
	r, err := card.Exchange(t.Context(), i.card, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seal sends one command through the session.
func (i *issuer) seal(t tester, c apdu.Command) apdu.Response {
	t.Helper()
	w, err := i.host.Wrap(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := i.host.Unwrap(i.send(t, w))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// connect opens a session at level 33 on a channel.
func connect(t tester, c *vsim.Card, channel int) *issuer {
	t.Helper()
	i := &issuer{card: c, channel: channel}
	if err := card.Select(t.Context(), c, channel, domain.DefaultAID); err != nil {
		t.Fatal(err)
	}
	var challenge [8]byte
	rand.Read(challenge[:])
	host, err := scp03.NewHost(c.State().Domain.Keys, 0x30, challenge)
	if err != nil {
		t.Fatal(err)
	}
	host.AID = domain.DefaultAID
	r := i.send(t, host.InitializeUpdate())
	if r.SW != apdu.OK {
		t.Fatal(r.SW)
	}
	authenticate, err := host.Authenticate(r.Data, scp03.Full)
	if err != nil {
		t.Fatal(err)
	}
	if r := i.send(t, authenticate); r.SW != apdu.OK {
		t.Fatal(r.SW)
	}
	i.host = host
	return i
}

// script is a whole provisioning: key pair, certificate, secret, all activated.
func script(t tester, h *scp03.Host, certificate int) []apdu.Command {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	sealed, err := h.EncryptSensitive(secret)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, certificate)
	rand.Read(content)
	ops := []perso.Op{perso.Generate{Private: "\x01", Public: "\x01"}}
	ops = append(ops, perso.WriteFile("\x02", content)...)
	ops = append(ops,
		perso.PutSecret{ID: "\x21", Encrypted: sealed, Check: perso.SecretCheck(secret)},
		perso.Activate{Refs: []perso.Ref{
			{Kind: iotsafe.PrivateKey, ID: "\x01"}, {Kind: iotsafe.PublicKey, ID: "\x01"},
			{Kind: iotsafe.File, ID: "\x02"}, {Kind: iotsafe.SecretKey, ID: "\x21"},
		}})
	blocks, err := perso.Commands(ops...)
	if err != nil {
		t.Fatal(err)
	}
	return append([]apdu.Command{perso.InstallForPersonalization(iotsafe.AIDs[0])}, blocks...)
}

func TestPersonalisationIsOnDiskWhenItIsAnswered(t *testing.T) {
	file, c := create(t)
	i := connect(t, c, 2)
	for _, command := range script(t, i.host, 700) {
		if r := i.seal(t, command); r.SW != apdu.OK {
			t.Fatalf("%v: %v", command, r.SW)
		}
	}
	onDisk, err := image.Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if encoded(t, onDisk) != encoded(t, c.State()) {
		t.Error("the disk holds another state than the card")
	}
	for _, id := range []iotsafe.Kind{iotsafe.PrivateKey, iotsafe.PublicKey, iotsafe.File, iotsafe.SecretKey} {
		active := slices.ContainsFunc(onDisk.Applet.Objects, func(c applet.Container) bool {
			return c.Object.Kind == id && c.Object.Active && len(c.Content) > 0
		})
		if !active {
			t.Errorf("no %s is active", id)
		}
	}
}

// Wherever a personalisation is cut, by reset, by a killed process or by somebody else
// on the card, the store is as before or as after, in memory and on disk, and the next
// personalisation succeeds.
func TestCutPersonalisationLeavesTheStoreAsBeforeOrAfter(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		file := filepath.Join(dir, fmt.Sprintf("%d.sim", run))
		c, err := vsim.Create(file, newState(t, "common"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		i := connect(t, c, rapid.IntRange(0, 3).Draw(t, "channel"))
		commands := script(t, i.host, rapid.IntRange(1, 1500).Draw(t, "certificate"))
		before := encoded(t, c.State())
		cut := rapid.IntRange(0, len(commands)).Draw(t, "cut after")
		for _, command := range commands[:cut] {
			if r := i.seal(t, command); r.SW != apdu.OK {
				t.Fatalf("%v: %v", command, r.SW)
			}
			if cut < len(commands) && encoded(t, c.State()) != before {
				t.Fatal("the store has changed before the last block")
			}
		}
		after := encoded(t, c.State())
		if changed := after != before; changed != (cut == len(commands)) {
			t.Fatalf("cut after %d of %d: changed is %v", cut, len(commands), changed)
		}
		switch rapid.SampledFrom([]string{"reset", "kill", "intruder", "select"}).Draw(t, "how") {
		case "reset":
			c.Reset()
		case "kill":
			// What a killed process leaves is what is on disk: nothing is saved at the end.
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if c, err = vsim.Open(file); err != nil {
				t.Fatal(err)
			}
		case "intruder":
			i.send(t, apdu.Command{CLA: 0x84, INS: 0xE2, P1: 0x91, P2: byte(cut), Data: make([]byte, 24), Le: 256})
		case "select":
			if err := card.Select(t.Context(), c, i.channel, iotsafe.AIDs[0]); err != nil {
				t.Fatal(err)
			}
		}
		if encoded(t, c.State()) != after {
			t.Fatal("the cut has changed the store")
		}
		onDisk, err := image.Read(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if encoded(t, onDisk) != after {
			t.Fatal("the disk holds another state than the card")
		}
		i = connect(t, c, 0)
		for _, command := range script(t, i.host, 100) {
			if r := i.seal(t, command); r.SW != apdu.OK {
				t.Fatalf("second try, %v: %v", command, r.SW)
			}
		}
	})
}

func TestWriteErrorIsAnsweredAndNothingIsDone(t *testing.T) {
	file, c := create(t)
	i := connect(t, c, 0)
	commands := script(t, i.host, 300)
	last := len(commands) - 1
	for _, command := range commands[:last] {
		if r := i.seal(t, command); r.SW != apdu.OK {
			t.Fatal(r.SW)
		}
	}
	before := encoded(t, c.State())
	obstacle := filepath.Join(file+".new", "x") // nobody writes a file where a folder is
	if err := os.MkdirAll(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if r := i.seal(t, commands[last]); r.SW != apdu.MemoryFailure {
		t.Errorf("last block: %v, want 6581", r.SW)
	}
	if encoded(t, c.State()) != before {
		t.Error("the card has another state than the disk")
	}
	if r := i.send(t, i.host.InitializeUpdate()); r.SW != apdu.MemoryFailure {
		t.Errorf("INITIALIZE UPDATE: %v, want 6581", r.SW)
	}
	if err := os.RemoveAll(file + ".new"); err != nil {
		t.Fatal(err)
	}
	i = connect(t, c, 0)
	for _, command := range script(t, i.host, 300) {
		if r := i.seal(t, command); r.SW != apdu.OK {
			t.Fatalf("with room on the disk again: %v", r.SW)
		}
	}
}

func TestFailedAuthenticationsAreCountedAcrossPowerCycles(t *testing.T) {
	file, c := create(t)
	for range domain.MaxFailed {
		if err := card.Select(t.Context(), c, 0, domain.DefaultAID); err != nil {
			t.Fatal(err)
		}
		if _, err := card.Do(t.Context(), c, apdu.Command{CLA: 0x80, INS: 0x50, Data: make([]byte, 8), Le: 256}); err != nil {
			t.Fatal(err)
		}
		_, err := card.Do(t.Context(), c, apdu.Command{CLA: 0x84, INS: 0x82, P1: 0x33, Data: make([]byte, 16)})
		if !errors.Is(err, apdu.AuthenticationFailed) {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c, err = vsim.Open(file); err != nil {
			t.Fatal(err)
		}
	}
	defer c.Close()
	if err := card.Select(t.Context(), c, 0, domain.DefaultAID); err != nil {
		t.Fatal(err)
	}
	_, err := card.Do(t.Context(), c, apdu.Command{CLA: 0x80, INS: 0x50, Data: make([]byte, 8), Le: 256})
	if !errors.Is(err, apdu.Blocked) {
		t.Errorf("%v: want 6983", err)
	}
	if err := card.Select(t.Context(), c, 0, iotsafe.AIDs[0]); err != nil {
		t.Errorf("the applet itself: %v", err)
	}
}

func BenchmarkPersonalisation(b *testing.B) {
	for _, where := range []string{"memory", "file"} {
		b.Run(where, func(b *testing.B) {
			c := vsim.NewMemory(newState(b, "common"))
			if where == "file" {
				var err error
				if c, err = vsim.Create(filepath.Join(b.TempDir(), "bench.sim"), newState(b, "common")); err != nil {
					b.Fatal(err)
				}
			}
			defer c.Close()
			for b.Loop() {
				i := connect(b, c, 1)
				for _, command := range script(b, i.host, 700) {
					if r := i.seal(b, command); r.SW != apdu.OK {
						b.Fatal(r.SW)
					}
				}
			}
		})
	}
}
