package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
)

func plainSIM(n int) api.PlainSIM {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 16) }
	return api.PlainSIM{
		ICCID: fmt.Sprintf("898821%013d", n), KeyVersion: 0x30, Domain: []byte{0xA0, 0, 0, 1, 0x51, 0, 0, 0},
		ENC: key(0xE1), MAC: key(0xE2), DEK: key(0xE3),
	}
}

func sealKeys(t testing.TB) (private, public []byte) {
	t.Helper()
	private, public, err := api.GenerateSealKey()
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// batch is a batch file with n SIMs.
func batch(t testing.TB, public []byte, n int) string {
	t.Helper()
	var file bytes.Buffer
	w, err := api.NewBatchWriter(&file, public)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Add(plainSIM(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

// readBatch reads a batch file to its end.
func readBatch(r io.Reader) (sims []api.BatchSIM, err error) {
	b, err := api.NewBatchReader(r)
	if err != nil {
		return nil, err
	}
	for {
		sim, err := b.Next()
		if err == io.EOF {
			return sims, nil
		}
		if err != nil {
			return sims, err
		}
		sims = append(sims, sim)
	}
}

func TestABatchCarriesKeysToTheHolderOfTheTransportKeyOnly(t *testing.T) {
	private, public := sealKeys(t)
	sims, err := readBatch(strings.NewReader(batch(t, public, 3)))
	if err != nil || len(sims) != 3 {
		t.Fatal(len(sims), err)
	}
	for i, sim := range sims {
		plain, err := sim.Open(private)
		want := plainSIM(i)
		if err != nil || plain.ICCID != want.ICCID || !bytes.Equal(plain.ENC, want.ENC) || !bytes.Equal(plain.MAC, want.MAC) || !bytes.Equal(plain.DEK, want.DEK) {
			t.Errorf("SIM %d: %v, %v", i, plain, err)
		}
		other, _ := sealKeys(t)
		if _, err := sim.Open(other); err == nil {
			t.Error("another key has opened it")
		}
		sim.KeyVersion++
		if _, err := sim.Open(private); err == nil {
			t.Error("the keys could be taken for another version")
		}
	}
}

func TestAFaultyBatchIsRefusedWithItsLine(t *testing.T) {
	_, public := sealKeys(t)
	good := batch(t, public, 2)
	lines := strings.SplitAfter(good, "\n")
	header, first, second, end := lines[0], lines[1], lines[2], lines[3]
	for name, c := range map[string]struct {
		file string
		line int
		says string
	}{
		"empty":              {"", 1, "empty"},
		"no batch":           {"hello\n", 1, "no batch file"},
		"another format":     {strings.Replace(good, "batch-1", "batch-2", 1), 1, "simroot-batch-1"},
		"cut between lines":  {header + first, 3, "cut short"},
		"cut within a line":  {header + first[:len(first)/2], 2, "unexpected EOF"},
		"a SIM missing":      {header + first + end, 3, "says that it holds 2"},
		"more after its end": {good + second, 5, "follows the end"},
		"two end lines":      {good + end, 5, "follows the end"},
		"a long line":        {header + strings.Repeat(" ", api.MaxBatchLine) + first, 2, "longer than"},
		"no ICCID":           {header + strings.Replace(first, "898821", "89882x", 1) + second + end, 2, "decimal digits"},
		"a key version":      {header + strings.Replace(first, `"key_version":48`, `"key_version":1`, 1) + second + end, 2, "30 to 3F"},
		"an unknown field":   {header + `{"pin":"1234"}` + "\n" + end, 2, "unknown field"},
		"two values":         {header + strings.TrimSpace(first) + first + second + end, 2, "more than one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readBatch(strings.NewReader(c.file))
			var wrong *api.BatchError
			if !errors.As(err, &wrong) || wrong.Line != c.line || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want line %d and %q", err, c.line, c.says)
			}
		})
	}
}

func TestABatchWithoutItsLastLineEndIsComplete(t *testing.T) {
	_, public := sealKeys(t)
	if _, err := readBatch(strings.NewReader(strings.TrimSpace(batch(t, public, 2)))); err != nil {
		t.Error(err)
	}
}

func TestAppendBatchMakesAndExtendsAFile(t *testing.T) {
	_, public := sealKeys(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "batch")
	for n := range 3 {
		if err := api.AppendBatch(file, public, plainSIM(n)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if sims, err := readBatch(bytes.NewReader(before)); err != nil || len(sims) != 3 {
		t.Fatal(len(sims), err)
	}
	_, other := sealKeys(t)
	short := plainSIM(9)
	short.DEK = short.DEK[:8]
	for says, try := range map[string]error{
		"twice":                 api.AppendBatch(file, public, plainSIM(1)),
		"another transport key": api.AppendBatch(file, other, plainSIM(9)),
		"want three of 16":      api.AppendBatch(file, public, short),
	} {
		if try == nil || !strings.Contains(try.Error(), says) {
			t.Errorf("got %v, want %q", try, says)
		}
	}
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(after, before) {
		t.Error("a refused SIM has changed the file", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestPlainKeysAreNotPrinted(t *testing.T) {
	sim := plainSIM(1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb, sim)
		if strings.Contains(strings.ToLower(text), "e1e1e1") || strings.Contains(text, "225, 225") || strings.Contains(text, "0xe1, 0xe1") {
			t.Errorf("%s prints keys: %s", verb, text)
		}
	}
}

func FuzzBatchReader(f *testing.F) {
	_, public := sealKeys(f)
	good := batch(f, public, 2)
	for _, seed := range []string{"", "{}", good, good[:len(good)-3], good + good, strings.Repeat("x", api.MaxBatchLine+1)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		sims, err := readBatch(bytes.NewReader(file))
		if err != nil {
			var wrong *api.BatchError
			if !errors.As(err, &wrong) || wrong.Line < 1 {
				t.Fatalf("an error without a line: %v", err)
			}
			return
		}
		for _, sim := range sims {
			if err := sim.Check(); err != nil {
				t.Fatalf("a SIM out of bounds was let through: %v", err)
			}
		}
	})
}
