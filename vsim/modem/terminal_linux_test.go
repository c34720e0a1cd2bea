package modem

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run puts a small card into a modem on a pseudo-terminal and returns its link, and a
// function that stops the modem and tells how it ended.
func runModem(t *testing.T, personality string) (link string, stop func() error) {
	t.Helper()
	p, err := Lookup(personality)
	if err != nil {
		t.Fatal(err)
	}
	link = filepath.Join(t.TempDir(), "tty")
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Run(ctx, link, newSIM(), p, func(string) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}
	stopped := false
	stop = func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return link, stop
}

// program is one that has the modem open.
type program struct {
	t *testing.T
	*os.File
	lines *bufio.Reader
}

func open(t *testing.T, link string) *program {
	t.Helper()
	f, err := os.OpenFile(link, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := f.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &program{t, f, bufio.NewReader(f)}
}

func (p *program) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.t.Fatal(err)
	}
}

// want reads exactly the text, in which | stands for CR LF.
func (p *program) want(text string) {
	p.t.Helper()
	text = strings.ReplaceAll(text, "|", "\r\n")
	got := make([]byte, len(text))
	if n, err := io.ReadFull(p.lines, got); err != nil || string(got) != text {
		p.t.Fatalf("the modem sent %q, %v: want %q", got[:n], err, text)
	}
}

// getInStep asks the modem something until the answer comes. It hears in its own time
// that the program before has left, and may answer to that one's half a line first.
func (p *program) getInStep() {
	p.t.Helper()
	for {
		p.write("AT+CCID\r")
		line, err := p.lines.ReadString('\n')
		for err == nil && strings.TrimSpace(line) == "" {
			line, err = p.lines.ReadString('\n')
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if strings.HasPrefix(line, "+CCID") {
			p.want("|OK|")
			return
		}
	}
}

func TestProgramsUseTheModemOneAfterTheOther(t *testing.T) {
	link, _ := runModem(t, "")
	for range 20 {
		p := open(t, link)
		p.write("AT+CSIM=8,\"00708001\"\r")
		p.want(`|+CSIM: 4,"6881"||OK|`)
		p.write("AT+CCHO=\"A0000005590010\"\r")
		p.want("|+CCHO: 1||OK|")
		p.write("AT+CCHC=1\r")
		p.want("|OK|")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOtherProcessesUseTheModem(t *testing.T) {
	link, _ := runModem(t, "")
	for _, script := range []string{
		`exec 3<>"$0"; printf 'AT+CCID\r' >&3; head -n 4 <&3`,
		`exec 3<>"$0"; exec 4<>"$0"; printf 'AT+CCID\r' >&4; exec 4>&-; head -n 4 <&3`,
		`stty -F "$0" 9600 cooked echo; exec 3<>"$0"; stty -F "$0" raw -echo; printf 'AT+CCID\r' >&3; head -n 4 <&3`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, "sh", "-c", script, link)
		cmd.WaitDelay = time.Second // what the shell started may outlive it
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil || !strings.Contains(string(out), "+CCID: "+string(iccid)) || !strings.Contains(string(out), "OK") {
			t.Errorf("%s\nprinted %q, %v", script, out, err)
		}
	}
}

func TestWhatNobodyReadIsLostAndHalfALineForgotten(t *testing.T) {
	link, _ := runModem(t, "")
	hung := func() { // a program that leaves in the middle
		p := open(t, link)
		p.write("AT+CGMM\rAT+CSIM=10,\"0070")
		p.want("|virtual") // the modem has let go of the device by now
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		hung()
		p := open(t, link)
		p.getInStep()
		_ = p.Close()
	}
}

func TestRawTerminalCarriesEveryByte(t *testing.T) {
	link, _ := runModem(t, "echo")
	p := open(t, link)
	text := "AT"
	for b := 1; b < 256; b++ {
		if b != int(cr) && b != int(lf) && b != '|' { // which stands for CR LF here
			text += string([]byte{byte(b)})
		}
	}
	p.write(text + "\r")
	p.want(text + "\r|ERROR|")
}

func TestLongCommandsAndAnswersPass(t *testing.T) {
	link, _ := runModem(t, "")
	p := open(t, link)
	p.write("AT+CSIM=24,\"00A4040007A0000005590010\"\r")
	p.want(`|+CSIM: 4,"9000"||OK|`)
	data := strings.Repeat("A5", 255)
	for range 20 {
		p.write("AT+CSIM=522,\"80EC0000FF" + data + "00\"\r")
		p.want(`|+CSIM: 514,"` + data + `9000"||OK|`)
	}
}

func TestProgramThatDoesNotReadDoesNotStopTheModem(t *testing.T) {
	link, _ := runModem(t, "")
	deaf := open(t, link)
	deaf.write(strings.Repeat("AT+CSIM=24,\"00A4040007A0000005590010\";"+strings.Repeat("+CSIM=10,\"8084000000\";", 60)+"\r", 5))
	next := open(t, link) // waits for the modem to give up the answers
	deaf.write("AT\r")
	if err := deaf.Close(); err != nil {
		t.Fatal(err)
	}
	for found := false; !found; {
		line, err := next.lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		found = strings.HasPrefix(line, "OK")
	}
}

func TestLinkGoesWithTheModem(t *testing.T) {
	link, stop := runModem(t, "")
	device, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(link); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Errorf("%s: %v, %v", link, info, err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := os.Lstat(link); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link is still there: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(link)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, err := os.Stat(device); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the terminal %s is still there: %v", device, err)
	}
}

func TestLinkOfAnEarlierModemIsReplacedAndNothingElse(t *testing.T) {
	folder := t.TempDir()
	stale, taken := filepath.Join(folder, "stale"), filepath.Join(folder, "taken")
	if err := os.Symlink("/dev/pts/nobody", stale); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(taken, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, stale, newSIM(), Personality{}, func(device string) {
		if target, err := os.Readlink(stale); err != nil || target != device {
			t.Errorf("the link leads to %q, %v: want %s", target, err, device)
		}
		cancel()
	})
	if err != nil {
		t.Errorf("in place of a stale link: %v", err)
	}
	for _, path := range []string{taken, folder} {
		if err := Run(t.Context(), path, newSIM(), Personality{}); !errors.Is(err, ErrOccupied) {
			t.Errorf("in place of %s: %v", path, err)
		}
	}
	if content, err := os.ReadFile(taken); err != nil || string(content) != "precious" {
		t.Errorf("the file is now %q, %v", content, err)
	}
	if err := Run(t.Context(), filepath.Join(folder, "no", "where"), newSIM(), Personality{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that does not exist: %v", err)
	}
}

func TestLinkThatSomebodyElseTookIsLeftAlone(t *testing.T) {
	link, stop := runModem(t, "")
	if err := errors.Join(os.Remove(link), os.Symlink("elsewhere", link)); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if target, err := os.Readlink(link); err != nil || target != "elsewhere" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

func TestModemEndsWithItsCard(t *testing.T) {
	s := newSIM()
	s.fail = errors.New("the card is gone")
	link := filepath.Join(t.TempDir(), "tty")
	err := Run(t.Context(), link, s, Personality{}, func(string) { open(t, link).write("AT+CCID\r") })
	if !errors.Is(err, s.fail) {
		t.Errorf("Run: %v", err)
	}
	if _, err := os.Lstat(link); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link is still there: %v", err)
	}
}

func TestNoFileIsLeftOpen(t *testing.T) {
	openFiles := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	use := func() {
		link, stop := runModem(t, "")
		for range 5 {
			p := open(t, link)
			p.write("AT\r")
			p.want("|OK|")
			_ = p.Close()
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	use() // the first one opens what the runtime keeps
	before := openFiles()
	for range 5 {
		use()
	}
	if after := openFiles(); after > before {
		t.Errorf("%d files open, %d before", after, before)
	}
}
