package modem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/simroot/simroot/card"
)

// terminal is a scripted modem behind a pseudo-terminal, and the terminal's name.
func terminal(t *testing.T, script map[string][]string) string {
	t.Helper()
	far, near, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	m := &scripted{script: script}
	m.begin(far)
	t.Cleanup(func() {
		far.Close()
		near.Close()
	})
	return near.Name()
}

func TestAModemIsReachedOnASerialPort(t *testing.T) {
	dir := t.TempDir()
	device := terminal(t, map[string][]string{atRandom: {says(`+CSIM: 520,"` + strings.Repeat("AB", 258) + `9000"`)}})
	for _, options := range []string{"", "&baud=9600"} { // one after the other
		c, err := card.Open(t.Context(), "modem:"+device+"?lock="+dir+options)
		if err != nil {
			t.Fatal(err)
		}
		gets(t, c.(*Card), random, strings.Repeat("AB", 258)+"9000")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAModemIsHadByOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	device := terminal(t, map[string][]string{})
	link := filepath.Join(t.TempDir(), "modem")
	if err := os.Symlink(device, link); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), device, Options{LockDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{device, link} {
		_, err = Open(t.Context(), name, Options{LockDir: dir})
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "this process") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(t.Context(), link, Options{LockDir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// A program that knows only lock files, such as minicom, is told apart by its number.
func TestLockFilesOfOtherProgramsAreHonoured(t *testing.T) {
	other := exec.Command("cat")
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "LCK..ttyUSB2")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%10d\n", other.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = lockDevice("/dev/ttyUSB2", dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(other.Process.Pid)+" (cat)") || !strings.Contains(err.Error(), file) {
		t.Errorf("%v: want the process, its name and the lock file", err)
	}
	stdin.Close()
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"", fmt.Sprintf("%10d\n", other.Process.Pid), "nonsense", fmt.Sprintf("%d minicom root\n", other.Process.Pid)} {
		if err := os.WriteFile(file, []byte(left), 0o644); err != nil {
			t.Fatal(err)
		}
		lock, err := lockDevice("/dev/ttyUSB2", dir)
		if err != nil {
			t.Fatalf("%q was left behind: %v", left, err)
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != fmt.Sprintf("%10d\n", os.Getpid()) {
			t.Errorf("the lock file says %q, %v", text, err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := lockDevice("/dev/ttyUSB2", filepath.Join(dir, "missing")); err == nil || !strings.Contains(err.Error(), "lock=DIR") {
		t.Errorf("%v: want a way out", err)
	}
}

func TestAPortThatIsNotThereIsToldWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(t.Context(), filepath.Join(dir, "tty"), Options{LockDir: dir}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "plugged in") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "file"), Options{LockDir: dir}); err == nil || !strings.Contains(err.Error(), "serial port") {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "LCK*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A killed process cannot close what it had opened; what it had noted, the next one closes.
func TestChannelsOfAKilledProcessAreClosedByTheNext(t *testing.T) {
	for _, c := range []struct{ name, mode, note, want string }{
		{"over AT+CSIM", "csim", "channel 2", `AT+CSIM=8,"00708002"`},
		{"over AT+CGLA", "cgla", "session 7", `AT+CCHC=7`},
		{"nonsense", "csim", "channel 99", ""},
		{"no handle", "cgla", `session 1;+CFUN=0`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			far, near, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer near.Close()
			defer far.Close()
			m := &scripted{script: map[string][]string{
				`AT+CSIM=8,"00708002"`: {says(`+CSIM: 4,"9000"`)},
				`AT+CCHC=7`:            {says()},
			}}
			m.begin(far)
			file := filepath.Join(dir, "LCK.."+strings.ReplaceAll(strings.TrimPrefix(near.Name(), "/dev/"), "/", "_"))
			if err := os.WriteFile(file, []byte("4194999\nsimroot: "+c.note+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			mode, err := parseMode(c.mode)
			if err != nil {
				t.Fatal(err)
			}
			opened, err := Open(t.Context(), near.Name(), Options{LockDir: dir, Mode: mode})
			if err != nil {
				t.Fatal(err)
			}
			var closed []string
			for _, command := range m.commands() {
				if strings.Contains(command, "CCHC=") && !strings.HasSuffix(command, "=?") || strings.Contains(command, `"007080`) {
					closed = append(closed, command)
				}
			}
			if strings.Join(closed, " ") != c.want {
				t.Errorf("closed %q, want %q", closed, c.want)
			}
			if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "simroot:") {
				t.Errorf("the lock file still says %q, %v", text, err)
			}
			if err := opened.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatAProcessHasOpenStandsInItsLockFile(t *testing.T) {
	dir := t.TempDir()
	device := terminal(t, map[string][]string{
		`AT+CSIM=10,"0070000001"`: {says(`+CSIM: 6,"019000"`)},
		`AT+CSIM=8,"00708001"`:    {says(`+CSIM: 4,"9000"`)},
	})
	c, err := Open(t.Context(), device, Options{LockDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	noted := func() string {
		files, err := filepath.Glob(filepath.Join(dir, "LCK..*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%q, %v", files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if _, err := card.OpenChannel(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(noted(), "simroot: channel 1\n") {
		t.Errorf("%q", noted())
	}
	if err := card.CloseChannel(t.Context(), c, 1); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(noted(), "channel") {
		t.Errorf("%q", noted())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
