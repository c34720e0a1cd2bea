// Package demo shows the whole path once: SIM, device, platform and application server,
// working together in one process over loopback, with nothing but the binary.
//
// Every step is checked; the demonstration fails at the first that is not as it should
// be. It uses real TLS, real files and the same packages that run in the field.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Run plays the demonstration, in a temporary folder, and tells it to out. It returns an
// error if anything was not as it should be.
func Run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "simroot-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	t := &transcript{out: out, begun: time.Now()}
	fmt.Fprintln(out, "simroot: the SIM as root of trust, once through")
	s := &stage{t: t, dir: dir}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, act := range []func(context.Context) error{
		s.raisePlatform, s.makeSIMs, s.raiseServer, s.switchOn, s.talk, s.revoke,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nAll %d steps were checked, in %.1f s.\n", t.steps, time.Since(t.begun).Seconds())
	return nil
}
