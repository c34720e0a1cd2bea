//go:build linux

package realparts

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Cluster is a PostgreSQL server on a socket in a private folder. It is started once for a
// test binary, from its TestMain, since that takes seconds.
type Cluster struct {
	dir, bin  string
	as        *syscall.Credential // nil: who runs the tests
	databases atomic.Int64
}

// shared is the cluster of tests that run under [Main].
var shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
}

// SharedCluster is a cluster that all tests of a binary use, each with a database of its own. It
// needs [Main], which ends it.
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = StartCluster() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// OwnCluster starts a cluster that no other test uses, and that this one may do anything to.
func OwnCluster(t testing.TB) *Cluster {
	t.Helper()
	c, err := StartCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// StartCluster makes a cluster and starts its server; commits are synced. [Cluster.Stop]
// ends it.
func StartCluster() (*Cluster, error) {
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(programs) == 0 {
		return nil, fmt.Errorf("there is no PostgreSQL server: scripts/deps installs what tests need (%v)", err)
	}
	c := &Cluster{bin: filepath.Dir(slices.Max(programs))}
	if c.dir, err = os.MkdirTemp("", "simroot-postgres-"); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // the server refuses to run as root
		if c.as, err = credential("postgres"); err == nil {
			err = os.Chown(c.dir, int(c.as.Uid), int(c.as.Gid))
		}
	}
	if err == nil {
		err = c.run("initdb", "-D", c.Data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		os.RemoveAll(c.dir)
		return nil, err
	}
	return c, nil
}

// Start starts the server after it was stopped.
func (c *Cluster) Start() error {
	settings := fmt.Sprintf("-c listen_addresses='' -c unix_socket_directories='%s' -c max_connections=200 -c shared_buffers=64MB", c.dir)
	return c.run("pg_ctl", "-D", c.Data(), "-w", "-s", "-l", filepath.Join(c.dir, "log"), "-o", settings, "start")
}

// Halt stops the server as a crash would, without saying goodbye.
func (c *Cluster) Halt() error {
	return c.run("pg_ctl", "-D", c.Data(), "-w", "-s", "-m", "immediate", "stop")
}

// Stop ends the server and removes the cluster.
func (c *Cluster) Stop() error {
	err := c.Halt()
	if err == nil {
		err = os.RemoveAll(c.dir)
	}
	return err
}

// Database makes an empty database and returns its connection string.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	connection, err := c.Create()
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

// Create is [Cluster.Database] outside of a test.
func (c *Cluster) Create() (connection string, err error) {
	name := fmt.Sprintf("test%d", c.databases.Add(1))
	return c.Connection(name), c.run("createdb", "-h", c.dir, "-U", "postgres", name)
}

// Connection is the connection string of a database.
func (c *Cluster) Connection(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: url.Values{"host": {c.dir}}.Encode()}
	return u.String()
}

// Program is the path of one of PostgreSQL's programs.
func (c *Cluster) Program(name string) string { return filepath.Join(c.bin, name) }

// CPU is the processor time that the server has used so far: the processes that it has, and
// those that have ended.
func (c *Cluster) CPU() (total time.Duration, err error) {
	first, err := os.ReadFile(filepath.Join(c.Data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	postmaster, _, _ := strings.Cut(string(first), "\n")
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, process := range processes {
		use, err := readUse(process)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return 0, err
		}
		switch {
		case process == "/proc/"+postmaster+"/stat":
			total += use.own + use.children
		case use.parent == postmaster:
			total += use.own
		}
	}
	return total, nil
}

// Data is the folder of the server's files.
func (c *Cluster) Data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) run(program string, args ...string) error {
	cmd := exec.Command(c.Program(program), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	out, err := os.CreateTemp("", "simroot-postgres-*.out") // a pipe would be kept open by the server
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		return fmt.Errorf("%s: %w\n%s\n%s", program, err, said, log)
	}
	return nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
