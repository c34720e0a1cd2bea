package laws

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

// database is where a platform keeps its rows.
type database struct {
	// connection is the platform's option.
	connection string
	// open reads the rows while the platform runs. The caller closes the store.
	open func(*world) (store.Store, error)
	// content is what lies in the database, by place, besides the platform's folder.
	content func(*world) map[string][]byte
	// known is a place where the number of a SIM is found.
	known string
}

// inSQLite is a database in the platform's folder. It is read in a copy: the platform lets nobody else in.
var inSQLite = database{
	open: func(w *world) (store.Store, error) {
		copied := filepath.Join(w.t.TempDir(), "copy.db")
		if err := sqlite.Backup(w.t.Context(), filepath.Join(w.Dir, "platform.db"), copied); err != nil {
			return nil, err
		}
		return sqlite.Open(w.t.Context(), copied)
	},
	content: func(*world) map[string][]byte { return nil },
	known:   "the file platform.db after the end",
}

// keyFiles are the keys that the platform keeps in files, opened.
func (w *world) keyFiles(safe keyfile.Safe) (all []secret) {
	w.t.Helper()
	err := filepath.WalkDir(w.Dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".key" {
			return err
		}
		text, err := safe.Read(file)
		if err != nil {
			return err
		}
		value := text
		if block, _ := pem.Decode(text); block != nil {
			if value, err = privateValue(block.Bytes); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		} else if digits, err := hex.DecodeString(strings.TrimSpace(string(text))); err == nil {
			value = digits
		}
		name, err := filepath.Rel(w.Dir, file)
		all = append(all, secret{name: "the key in " + name, value: value})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// privateValue is what is private in an ECDSA key.
func privateValue(der []byte) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if key, err = x509.ParseECPrivateKey(der); err != nil {
			return nil, err
		}
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of the type %T", key)
	}
	return private.Bytes()
}

// measured are the metrics and the state of readiness.
func (w *world) measured() []byte {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	served := make(chan error, 1)
	go func() { served <- w.ServeAdmin(ctx, l) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			w.t.Error(err)
		}
	}()
	var all []byte
	for _, path := range []string{"/metrics", "/readyz"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+path, http.NoBody)
		if err != nil {
			w.t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}

// files are the contents of everything in the platform's directory.
func (w *world) files() map[string][]byte {
	w.t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(w.Dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(w.Dir, file)
		if err != nil {
			return err
		}
		all[name], err = os.ReadFile(file)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}
