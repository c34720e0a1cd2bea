//go:build linux

package realparts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// binariesVar tells a process that it is in its own namespaces, and where the binaries
// are that [Main] built.
const binariesVar = "SIMROOT_REALPARTS_BIN"

// Main runs a package's tests in namespaces of their own, and does not return. commands
// are packages of this module, "./cmd/simroot", or tools of go.mod or, after their folder and a space,
// of the go.mod of a judge; they are built first, while there still
// is a network to fetch modules from (see [Binary]).
func Main(m *testing.M, commands ...string) {
	if os.Getenv(binariesVar) == "" {
		err := isolate(commands)
		fmt.Fprintln(os.Stderr, "realparts:", err)
		os.Exit(1)
	}
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "realparts:", err)
		os.Exit(1)
	}
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "realparts:", err)
			code = max(code, 1)
		}
	}
	os.RemoveAll(os.Getenv(binariesVar))
	os.Exit(code)
}

// isolate replaces this process by one that runs the same tests in new namespaces. It
// returns only if that fails.
func isolate(commands []string) error {
	binaries, err := os.MkdirTemp("", "realparts")
	if err != nil {
		return err
	}
	for _, command := range commands {
		folder, pkg, apart := strings.Cut(command, " ")
		if !apart {
			folder, pkg = ".", command
		}
		build := exec.Command("go", "build", "-o", binaries+"/", pkg)
		root, err := moduleRoot()
		if err != nil {
			return err
		}
		build.Dir = filepath.Join(root, folder)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", command, err, out)
		}
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return fmt.Errorf("%w: install util-linux", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	args = append(append(args, "--", self), os.Args[1:]...)
	if err := os.Setenv(binariesVar, binaries); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", unshare, syscall.Exec(unshare, args, os.Environ()))
}

// furnish makes new namespaces fit to live in: a loopback interface, and a place for
// pcscd's socket.
func furnish() error {
	const run = "/run/pcscd"
	if err := os.MkdirAll(run, 0o755); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"mount", "-t", "tmpfs", "tmpfs", run},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// Binary is the path of a command that [Main] built: "simroot" for "./cmd/simroot", "nats-server" for
// "github.com/nats-io/nats-server/v2", whose version is go.mod's.
func Binary(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(os.Getenv(binariesVar), name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("command %s: %v: name it in the call of realparts.Main", name, err)
	}
	watchSources(t, name)
	return path
}

// watchSources reads the folders that a command is made of, so that go test knows that
// the test depends on them and does not answer from its cache after they changed.
func watchSources(t testing.TB, name string) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "cmd", name)); err != nil {
		return // a foreign one, of a fixed version
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}{{end}}", "./cmd/"+name)
	list.Dir = root
	folders, err := list.Output()
	if err != nil {
		t.Fatalf("list the sources of %s: %v", name, err)
	}
	for folder := range strings.Lines(string(folders)) {
		if folder = strings.TrimSpace(folder); strings.HasPrefix(folder, root) {
			if _, err := os.ReadDir(folder); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// moduleRoot is the folder of go.mod, at or above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod at or above %s", dir)
		}
	}
}
