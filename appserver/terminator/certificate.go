package terminator

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is the server's own certificate in two files. When somebody renews them it is read
// again.
type Certificate struct {
	chain, key string
	log        *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	of      [2]time.Time // when the files were written that current is from
	looked  time.Time
}

// certificateAge is how long a certificate serves before its files are looked at again.
const certificateAge = 10 * time.Second

// LoadCertificate reads a certificate chain and its key, both PEM. Log, if not nil, is told when
// they are read again, or cannot be.
func LoadCertificate(chain, key string, log *slog.Logger) (*Certificate, error) {
	if log == nil {
		log = slog.Default()
	}
	c := &Certificate{chain: chain, key: key, log: log}
	return c, c.read(c.written())
}

// Get is the certificate as of now. While the files are not in order the last one serves on.
func (c *Certificate) Get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateAge {
		return c.current, nil
	}
	c.look()
	return c.current, nil
}

// look reads the files again if they were written since. The caller holds the lock.
func (c *Certificate) look() {
	written := c.written()
	c.looked = time.Now()
	if written == c.of {
		return
	}
	if err := c.read(written); err != nil {
		c.log.Error("the server's new certificate cannot be used; the old one serves on", "file", c.chain, "error", err)
		return
	}
	c.log.Info("the server's certificate was read again", "file", c.chain, "until", c.current.Leaf.NotAfter)
}

func (c *Certificate) read(written [2]time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.chain, c.key)
	if err != nil {
		return fmt.Errorf("the server's certificate (%s, %s): %w", c.chain, c.key, err)
	}
	c.current, c.of, c.looked = &pair, written, time.Now()
	return nil
}

// written is when the files were last written.
func (c *Certificate) written() (at [2]time.Time) {
	for i, name := range []string{c.chain, c.key} {
		if info, err := os.Stat(name); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}
