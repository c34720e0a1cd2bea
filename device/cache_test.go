package device

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/vsim"
)

// entryFile is the one entry of a folder.
func entryFile(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("in the cache are %q, %v", files, err)
	}
	return files[0]
}

// forge changes the entry of a folder and gives it a good sum.
func forge(t *testing.T, folder string, change func(*entry)) {
	t.Helper()
	file := entryFile(t, folder)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e, err := parseEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	change(&e)
	e.Sum = e.sum()
	if b, err = json.Marshal(e); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAColdStartWithACacheTakesEightExchanges(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serveTLS(t, ca.ServerConfig())
	sim := &watchedCard{Card: ca.GoodSIM()}
	folder := filepath.Join(t.TempDir(), "cache")
	start := func(opts ...Option) (exchanges, octets int, serial string) {
		d := sim.open(t, opts...)
		config, err := d.TLSConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if serial, _, err = visit(t, server, config); err != nil {
			t.Fatal(err)
		}
		octets = sim.bytes
		exchanges = sim.lap()
		return exchanges, octets, serial
	}
	sim.lap()
	without, bytesWithout, serial := start(WithRoots(ca.Pool()))
	if without > 12 || serial == "" {
		t.Errorf("without a cache: %d exchanges, want at most 12", without)
	}
	if filling, _, _ := start(WithRoots(ca.Pool()), WithCache(folder)); filling != without+1 {
		t.Errorf("the start that fills the cache takes %d exchanges, want %d", filling, without+1)
	}
	with, bytesWith, again := start(WithRoots(ca.Pool()), WithCache(folder))
	if with != 8 || again != serial {
		t.Errorf("with the cache: %d exchanges and certificate %s, want 8 and %s", with, again, serial)
	}
	t.Logf("%d exchanges of %d bytes without the cache, %d of %d with it", without, bytesWithout, with, bytesWith)
	if 2*bytesWith > bytesWithout {
		t.Errorf("%d bytes with the cache, %d without: want half", bytesWith, bytesWithout)
	}
	if entry := entryFile(t, folder); !strings.Contains(entry, string(fixture.ICCID)) {
		t.Errorf("the entry is called %s", entry)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestACacheIsNoSourceOfTrust(t *testing.T) {
	ca, stranger := fixture.NewCA(t), fixture.NewCA(t)
	sim := &watchedCard{Card: ca.GoodSIM()}
	folder := t.TempDir()
	if _, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil {
		t.Fatal(err)
	}
	forge(t, folder, func(e *entry) { e.Certificate, e.File = ca.Certificate.Raw, "\x03" }) // as the SIM has it
	if c, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil || c.Certificate.IsCA {
		t.Fatalf("a CA was taken for the device's own certificate: %v", err)
	}
	forge(t, folder, func(e *entry) { e.Certificate, e.File = stranger.Certificate.Raw, "\x03" })
	d := sim.open(t, WithCache(folder))
	if anchors, err := d.Anchors(t.Context()); err != nil || len(anchors) != 1 || !anchors[0].Equal(ca.Certificate) {
		t.Fatalf("%d anchors, %v", len(anchors), err)
	}
	if c, err := d.Credential(t.Context()); err != nil || c.Certificate.IsCA {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestAnOutdatedEntryIsNoticedBeforeAServerSeesIt(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serveTLS(t, ca.ServerConfig())
	now := time.Now()
	for name, c := range map[string]struct {
		before, after *vsim.Card
		change        func(*entry)
	}{
		"another certificate in the file": {before: ca.GoodSIM(), after: ca.GoodSIM()},
		"expired meanwhile":               {before: ca.SIM(now.Add(-2*time.Hour), now.Add(-time.Hour)), after: ca.GoodSIM()},
		"another applet":                  {change: func(e *entry) { e.Applet = "02 00" }},
		"the file is gone":                {change: func(e *entry) { e.File = "\x77" }},
		"of another SIM":                  {change: func(e *entry) { e.ICCID = string(otherSIM) }},
		"of another layout":               {change: func(e *entry) { e.Version = 99 }},
		"a key without name":              {change: func(e *entry) { e.PrivateKey = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if c.before == nil {
				c.before = ca.GoodSIM()
				c.after = c.before
			}
			sim := &watchedCard{Card: c.before}
			if _, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				forge(t, folder, c.change)
			}
			sim.Card = c.after
			want, err := sim.open(t).Credential(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			config, err := sim.open(t, WithCache(folder), WithRoots(ca.Pool())).TLSConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if serial, _, err := visit(t, server, config); err != nil || serial != want.Certificate.SerialNumber.String() {
				t.Fatalf("the server saw certificate %s, %v; want %s", serial, err, want.Certificate.SerialNumber)
			}
			sim.lap()
			if _, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil || sim.lap() != 6 {
				t.Errorf("the entry was not written anew: %v", err)
			}
		})
	}
}

func TestANoticeOfRemoteAdministrationRefreshesEverything(t *testing.T) {
	ca := fixture.NewCA(t)
	for _, notice := range [][]byte{{0x63, 0xCF}, {0x69, 0x84}, {0x69, 0x89}} {
		folder := t.TempDir()
		sim := &watchedCard{Card: ca.GoodSIM()}
		if _, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := sim.open(t, WithCache(folder))
		before, err := d.Credential(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sim.Card = ca.GoodSIM()                          // with another certificate
		if _, err := New(t.Context(), sim); err != nil { // selects the applet on the channel that the device uses
			t.Fatal(err)
		}
		if again, err := d.Credential(t.Context()); err != nil || again != before {
			t.Fatalf("without a notice the SIM was read again: %v", err)
		}
		sim.notice = notice
		_, _ = d.Applet().Random(t.Context(), 8) // any command may bring it, with a success or a failure
		after, err := d.Credential(t.Context())
		if err != nil || after.Certificate.Equal(before.Certificate) {
			t.Fatalf("after % X the credential is the old one: %v", notice, err)
		}
		if next, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil || !next.Certificate.Equal(after.Certificate) {
			t.Errorf("after % X the entry was not written anew: %v", notice, err)
		}
		if sim.sent(0xB0) == 0 {
			t.Error("nothing was read")
		}
	}
}

func TestAForgedEntryCostsOneHandshake(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serveTLS(t, ca.ServerConfig())
	for name, change := range map[string]func(*entry){
		"another key": func(e *entry) { e.PrivateKey = "\x11" },
		"no such key": func(e *entry) { e.PrivateKey = "\x77" },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			sim := &watchedCard{Card: ca.SIMWith(`- {private: "11", public: "11", label: B, type: p256, functions: [sign], signatures: [ecdsa], hashes: [sha256], fresh: true}`)}
			if _, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil {
				t.Fatal(err)
			}
			forge(t, folder, change)
			d := sim.open(t, WithCache(folder), WithRoots(ca.Pool()))
			config, err := d.TLSConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := visit(t, server, config); err == nil {
				t.Fatal("a signature of the wrong key was taken")
			}
			if _, _, err := visit(t, server, config); err != nil {
				t.Fatalf("the entry was not given up: %v", err)
			}
		})
	}
}

func TestADamagedEntryIsNotUsed(t *testing.T) {
	ca := fixture.NewCA(t)
	sim := &watchedCard{Card: ca.GoodSIM()}
	folder := t.TempDir()
	if _, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := entryFile(t, folder)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseEntry(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x01
		e, err := parseEntry(bad)
		if err == nil && !bytes.Equal(e.sum(), e.Sum) {
			t.Fatalf("byte %d of an entry was changed unnoticed", i)
		}
		if _, err := parseEntry(good[:i]); err == nil {
			t.Fatalf("%d of %d bytes were taken for an entry", i, len(good))
		}
	}
	if _, err := parseEntry(make([]byte, maxEntry+1)); err == nil {
		t.Error("an entry without bound was taken")
	}
	if err := os.WriteFile(file, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.open(t, WithCache(folder)).Credential(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestForgettingRemovesTheEntry(t *testing.T) {
	sim := &watchedCard{Card: fixture.NewCA(t).GoodSIM()}
	folder := t.TempDir()
	d := sim.open(t, WithCache(folder))
	if _, err := d.Credential(t.Context()); err != nil {
		t.Fatal(err)
	}
	entryFile(t, folder)
	d.Forget()
	if files, err := os.ReadDir(folder); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestProcessesShareACache(t *testing.T) {
	ca := fixture.NewCA(t)
	folder := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		sim := &watchedCard{Card: ca.GoodSIM()} // of one number, with a certificate each
		group.Go(func() {
			for range 5 {
				d := sim.open(t, WithCache(folder))
				c, err := d.Credential(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				live, err := d.read(t.Context())
				if err != nil || !live.credential.Certificate.Equal(c.Certificate) {
					t.Errorf("the credential is another SIM's: %v", err)
				}
				d.Forget()
			}
		})
	}
	group.Wait()
	if left, err := filepath.Glob(filepath.Join(folder, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestACacheIsBounded(t *testing.T) {
	folder := t.TempDir()
	for i := range maxEntries + 10 {
		name := filepath.Join(folder, string(rune('A'+i/26))+string(rune('a'+i%26))+".json")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, time.Unix(int64(i+1), 0)); err != nil {
			t.Fatal(err)
		}
	}
	sim := &watchedCard{Card: fixture.NewCA(t).GoodSIM()}
	d := sim.open(t, WithCache(folder))
	if _, err := d.Credential(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != maxEntries {
		t.Errorf("%d entries, %v", len(files), err)
	}
	if _, err := os.Stat(d.cache.file(d)); err != nil {
		t.Errorf("the newest went: %v", err)
	}
}

func TestAFolderThatCannotBeWrittenIsToldAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sim := fixture.NewCA(t).GoodSIM()
	if _, err := New(t.Context(), sim, WithCache(filepath.Join(file, "cache"))); err == nil || !strings.Contains(err.Error(), "another folder") {
		t.Errorf("%v", err)
	}
}

func FuzzParseEntry(f *testing.F) {
	e := entry{Version: cacheVersion, ICCID: string(fixture.ICCID), AID: "\xA0\x00", PrivateKey: "\x01", PublicKey: "\x01", File: "\x02", Certificate: []byte{0x30, 0x00}}
	e.Sum = e.sum()
	b, err := json.Marshal(e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"certificate":"AAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		if c, err := e.credential(); err == nil && c.Certificate.IsCA {
			t.Fatalf("%+v", e)
		}
	})
}
