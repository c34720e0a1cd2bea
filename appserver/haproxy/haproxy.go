package haproxy

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/beside"
)

// Options configures [New].
type Options struct {
	// Middleware tells what is accepted.
	Middleware *appserver.Middleware
	// Platform gives the CA certificates and the CRLs.
	Platform *api.Client
	// Dir is where the files for HAProxy go; see [ConfigOptions.Dir]. It is created if need be.
	Dir string
	// Master is the socket of the master's command line: haproxy -W -S PATH.
	Master string

	Logger *slog.Logger // nil: [slog.Default]
}

// The files in the adapter's directory.
const (
	caFile       = "ca.crt"       // trust anchors and issuing CAs
	crlFile      = "crl.pem"      // what the CAs have revoked
	acceptedFile = "accepted.lst" // SHA-256 of the certificates that are accepted, a line each
)

// reloadEvery is the least time between two reloads: each may leave a worker behind that finishes
// its connections.
const reloadEvery = 10 * time.Second

// proxy is the [beside.Server].
type proxy struct {
	m        *appserver.Middleware
	dir      string
	master   master
	reloaded time.Time
	accepted map[string]bool            // what the file is to hold, should the disk be full
	loaded   map[string]map[string]bool // by process, the list it has in memory
}

// New returns a keeper for HAProxy. It does nothing yet.
func New(o Options) (*beside.Keeper, error) {
	if o.Middleware == nil || o.Dir == "" || o.Master == "" {
		return nil, errors.New("haproxy: Options need Middleware, Platform, Dir and Master")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	p := &proxy{m: o.Middleware, dir: dir, master: master{o.Master}, loaded: make(map[string]map[string]bool)}
	return beside.New(beside.Options{Middleware: o.Middleware, Platform: o.Platform, Dir: dir, Server: p, Logger: o.Logger})
}

// Concerns implements [beside.Server]: the list names every certificate.
func (p *proxy) Concerns(c appserver.Change) bool { return !c.PSK }

// Files implements [beside.Server].
func (p *proxy) Files(s beside.State) ([]beside.File, error) {
	var files []beside.File
	if s.CAs != nil {
		files = append(files, beside.File{Name: caFile, Content: s.CAs})
	}
	var err error
	if s.CRLs != nil {
		if err = beside.WholeChain(s.CAs, s.CRLs); err == nil {
			files = append(files, beside.File{Name: crlFile, Content: s.CRLs})
		}
	}
	var accepted bytes.Buffer
	p.accepted = make(map[string]bool)
	for c := range p.m.Standings() {
		if c.PSKIdentity == "" && c.Refused == nil {
			print := printOf(c)
			p.accepted[print] = true
			accepted.WriteString(print + "\n")
		}
	}
	return append(files, beside.File{Name: acceptedFile, Content: accepted.Bytes()}), err
}

// printOf is a fingerprint as HAProxy writes it.
func printOf(s appserver.Standing) string { return fmt.Sprintf("%X", s.Fingerprint) }

// Reload implements [beside.Server]: it brings what has changed into every process.
func (p *proxy) Reload(ctx context.Context, changed []string) error {
	processes, err := p.master.processes(ctx)
	if err != nil {
		return err
	}
	for known := range p.loaded {
		if !processes.has(known) {
			delete(p.loaded, known)
		}
	}
	for _, pid := range processes.all() {
		if err := p.list(ctx, pid, p.accepted); err != nil {
			return err
		}
	}
	if slices.Contains(changed, caFile) {
		if trusted, err := p.trusted(ctx, processes); err != nil {
			return err
		} else if !trusted {
			return p.reload(ctx) // which reads the CRLs too
		}
	}
	if slices.Contains(changed, crlFile) {
		return p.replaceCRLs(ctx, processes)
	}
	return nil
}

// reload has HAProxy read all files, not too often.
func (p *proxy) reload(ctx context.Context) error {
	if time.Since(p.reloaded) < reloadEvery {
		return beside.ErrLater
	}
	if err := p.master.reload(ctx); err != nil {
		return err
	}
	p.reloaded = time.Now()
	return nil
}

// trusted tells whether the workers have the CA certificates that are on disk. HAProxy 2.6 can be given others as it
// runs, but goes on to name the old ones to clients, which then show no certificate.
func (p *proxy) trusted(ctx context.Context, processes processes) (bool, error) {
	content, err := os.ReadFile(p.in(caFile))
	if err != nil {
		return false, err
	}
	want := map[string]bool{}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		want[fmt.Sprintf("%X", sha1.Sum(block.Bytes))] = true // a name, as HAProxy gives it
	}
	for _, pid := range processes.workers {
		answer, err := p.master.do(ctx, pid, "show ssl ca-file "+p.in(caFile))
		if err != nil {
			return false, err
		}
		if !maps.Equal(fingerprintsIn(answer), want) {
			return false, nil
		}
	}
	return true, nil
}

func (p *proxy) in(name string) string { return filepath.Join(p.dir, name) }

// list brings the list of one process up to date, what is no longer accepted first.
func (p *proxy) list(ctx context.Context, pid string, accepted map[string]bool) error {
	path := p.in(acceptedFile)
	loaded, known := p.loaded[pid]
	if !known {
		answer, err := p.master.do(ctx, pid, "show acl "+path)
		if err != nil {
			return err
		}
		loaded = make(map[string]bool)
		for line := range strings.Lines(answer) {
			if entry := strings.Fields(line); len(entry) == 2 {
				loaded[entry[1]] = true
			}
		}
	}
	delete(p.loaded, pid) // not known until all is done
	var commands []string
	for print := range loaded {
		if !accepted[print] {
			commands = append(commands, "del acl "+path+" "+print)
		}
	}
	for print := range accepted {
		if !loaded[print] {
			commands = append(commands, "add acl "+path+" "+print)
		}
	}
	if err := p.master.all(ctx, pid, commands); err != nil {
		return fmt.Errorf("process %s: %w", pid, err)
	}
	p.loaded[pid] = accepted
	return nil
}

// replaceCRLs brings CRLs into the workers: as they run if one command holds them, by a reload otherwise.
func (p *proxy) replaceCRLs(ctx context.Context, processes processes) error {
	path := p.in(crlFile)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	set := fmt.Sprintf("set ssl crl-file %s <<\n%s\n", path, content)
	if len(set) > maxCommand {
		return p.reload(ctx)
	}
	for _, pid := range processes.workers {
		for _, step := range [][2]string{{set, "transaction"}, {"commit ssl crl-file " + path, "Success"}} {
			answer, err := p.master.do(ctx, pid, step[0])
			if err != nil {
				return err
			}
			if !strings.Contains(answer, step[1]) {
				return fmt.Errorf("HAProxy does not take %s: %s", path, firstLine(answer))
			}
		}
	}
	return nil
}

// End implements [beside.Server].
func (p *proxy) End(ctx context.Context, iccid string) error {
	cut := map[string]bool{}
	for _, s := range p.m.StandingsOf(iccid) {
		if s.Cut != nil && s.PSKIdentity == "" {
			cut[printOf(s)] = true
		}
	}
	if len(cut) == 0 {
		return nil
	}
	return p.shutdown(ctx, func(print string) bool { return cut[print] })
}

// EndAll implements [beside.Server].
func (p *proxy) EndAll(ctx context.Context) error {
	return p.shutdown(ctx, func(string) bool { return true })
}

// shutdown ends the connections of the certificates for which which says true.
func (p *proxy) shutdown(ctx context.Context, which func(print string) bool) error {
	processes, err := p.master.processes(ctx)
	if err != nil {
		return err
	}
	for _, pid := range processes.all() {
		table, err := p.master.do(ctx, pid, "show table "+connectionTable+" data.conn_cur gt 0")
		if err != nil {
			return err
		}
		peers := peersOf(table, which)
		if len(peers) == 0 {
			continue
		}
		sessions, err := p.master.do(ctx, pid, "show sess")
		if err != nil {
			return err
		}
		var commands []string
		for _, id := range sessionsOf(sessions, peers) {
			commands = append(commands, "shutdown session "+id)
		}
		if err := p.master.all(ctx, pid, commands); err != nil {
			return err
		}
	}
	return nil
}
