package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// master is the command line of HAProxy's master process (management guide, 9.4), by its socket.
type master struct{ path string }

const (
	// commandTimeout bounds one command.
	commandTimeout = 5 * time.Second
	// reloadTimeout bounds a reload.
	reloadTimeout = 10 * time.Second
	// maxCommand bounds the commands of one call, in bytes: HAProxy reads what fits into a buffer
	// (tune.bufsize, 16384 unless configured) and a reserve.
	maxCommand = 12 << 10
	// maxAnswer bounds what is read, in bytes.
	maxAnswer = 256 << 20
)

// call sends a line, or several with what belongs to them, and returns the answer.
func (m master) call(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", m.path)
	if err != nil {
		return "", fmt.Errorf("is HAProxy running, with -W -S %s? %w", m.path, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline) //nolint:errcheck // what follows tells
	if _, err := io.WriteString(conn, text+"\n"); err != nil {
		return "", err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	return string(answer), err
}

// do has a process carry out one command.
func (m master) do(ctx context.Context, pid, command string) (string, error) {
	answer, err := m.call(ctx, "@!"+pid+" "+command)
	if err == nil && (strings.HasPrefix(answer, "Unknown command") || strings.HasPrefix(answer, "Can't find")) {
		err = fmt.Errorf("HAProxy: %s", firstLine(answer))
	}
	return answer, err
}

// all has a process carry out commands that answer nothing if they succeed. What is there already, or gone
// already, is fine.
func (m master) all(ctx context.Context, pid string, commands []string) error {
	for len(commands) > 0 {
		var text strings.Builder
		n := 0
		for ; n < len(commands) && text.Len()+len(commands[n]) < maxCommand; n++ {
			text.WriteString("@!" + pid + " " + commands[n] + ";")
		}
		answer, err := m.call(ctx, strings.TrimSuffix(text.String(), ";"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(answer) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "Key not found") && !strings.HasPrefix(line, "No such session") {
				return fmt.Errorf("HAProxy: %s", line)
			}
		}
		commands = commands[n:]
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSuffix(line, ", but maybe one of the following ones is a better match:")
}

// processes are HAProxy's, by process ID.
type processes struct {
	workers []string
	old     []string // finish their connections
	reloads int      // as the master counts them
	failed  int
}

func (p processes) all() []string { return append(slices.Clone(p.workers), p.old...) }

func (p processes) has(pid string) bool { return slices.Contains(p.all(), pid) }

var masterLine = regexp.MustCompile(`^(\d+) \[failed: (\d+)\]`)

// processes asks for them.
func (m master) processes(ctx context.Context) (processes, error) {
	answer, err := m.call(ctx, "show proc")
	if err != nil {
		return processes{}, err
	}
	p, err := parseProcesses(answer)
	if err != nil {
		err = fmt.Errorf("%s: %w", m.path, err)
	}
	return p, err
}

func parseProcesses(text string) (p processes, err error) {
	old := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			old = strings.HasPrefix(line, "# old workers")
			continue
		}
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		switch f[1] {
		case "master":
			if found := masterLine.FindStringSubmatch(strings.Join(f[2:], " ")); found != nil {
				p.reloads, _ = strconv.Atoi(found[1])
				p.failed, _ = strconv.Atoi(found[2])
			}
		case "worker":
			if _, err := strconv.Atoi(f[0]); err != nil {
				return p, fmt.Errorf("the list of processes has %q", f[0])
			}
			if old {
				p.old = append(p.old, f[0])
			} else {
				p.workers = append(p.workers, f[0])
			}
		}
	}
	if len(p.workers) == 0 {
		return p, errors.New("HAProxy has no worker: is this the master's socket (haproxy -W -S PATH)?")
	}
	return p, nil
}

// reload has HAProxy read its configuration and files again, and waits until it has. Connections live on.
func (m master) reload(ctx context.Context) error {
	before, err := m.processes(ctx)
	if err != nil {
		return err
	}
	if _, err := m.call(ctx, "reload"); err != nil {
		return err
	}
	late := time.After(reloadTimeout)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		switch now, err := m.processes(ctx); {
		case err != nil: // it is between two lives
		case now.failed > before.failed:
			return errors.New("HAProxy refuses its configuration and goes on with the old one: see its log, or run haproxy -c -f FILE")
		case now.reloads > before.reloads:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late:
			return fmt.Errorf("HAProxy has not finished its reload after %s", reloadTimeout)
		case <-tick.C:
		}
	}
}

// fingerprintsIn finds the certificates in a description of a CA file.
func fingerprintsIn(text string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		if print, ok := strings.CutPrefix(strings.TrimSpace(line), "SHA1 FingerPrint: "); ok {
			found[print] = true
		}
	}
	return found
}

// peersOf finds, in a dump of the stick table, the peers whose certificates are meant.
func peersOf(table string, which func(print string) bool) map[netip.AddrPort]bool {
	peers := make(map[netip.AddrPort]bool)
	for line := range strings.Lines(table) {
		_, rest, found := strings.Cut(line, "key=")
		if !found {
			continue
		}
		key, _, _ := strings.Cut(rest, " ")
		print, peer, _ := strings.Cut(key, "/")
		host, port, _ := strings.Cut(peer, "/")
		if at, ok := parsePeer(host, port); ok && which(print) {
			peers[at] = true
		}
	}
	return peers
}

// sessionsOf finds, in a list of sessions, those of peers.
func sessionsOf(list string, peers map[netip.AddrPort]bool) (ids []string) {
	for line := range strings.Lines(list) {
		id, rest, _ := strings.Cut(line, ": ")
		_, source, found := strings.Cut(rest, " src=")
		if !found || !strings.HasPrefix(id, "0x") {
			continue
		}
		source, _, _ = strings.Cut(source, " ")
		colon := strings.LastIndex(source, ":")
		if colon < 0 {
			continue
		}
		if at, ok := parsePeer(source[:colon], source[colon+1:]); ok && peers[at] {
			ids = append(ids, id)
		}
	}
	return ids
}

func parsePeer(host, port string) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	n, err2 := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), err == nil && err2 == nil
}
