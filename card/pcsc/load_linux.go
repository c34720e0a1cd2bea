//go:build !android && (386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64)

package pcsc

import (
	"fmt"
	"sync"

	"github.com/ebitengine/purego"
)

// load finds the library of pcscd's clients. It is kept for the life of the process.
var load = sync.OnceValues(func() (*library, error) { return bind("libpcsclite.so.1") })

// bind loads a library and finds its functions.
func bind(name string) (*library, error) {
	handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNoService, err)
	}
	l := new(library)
	for _, f := range []struct {
		symbol   string
		function any
	}{
		{"SCardEstablishContext", &l.establishContext},
		{"SCardReleaseContext", &l.releaseContext},
		{"SCardListReaders", &l.listReaders},
		{"SCardGetStatusChange", &l.getStatusChange},
		{"SCardConnect", &l.connect},
		{"SCardReconnect", &l.reconnect},
		{"SCardDisconnect", &l.disconnect},
		{"SCardBeginTransaction", &l.beginTransaction},
		{"SCardEndTransaction", &l.endTransaction},
		{"SCardTransmit", &l.transmit},
	} {
		address, err := purego.Dlsym(handle, f.symbol)
		if err != nil {
			return nil, fmt.Errorf("%s has no %s; install a newer libpcsclite1: %w", name, f.symbol, err)
		}
		purego.RegisterFunc(f.function, address)
	}
	return l, nil
}
