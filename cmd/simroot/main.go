// Command simroot makes the SIM the root of trust of an IoT device: virtual SIMs, the
// device agent, the security services platform, the application server's middleware, and
// a demonstration of all of them together.
//
// It is thin: flags in, calls to the packages, exit codes out. Exit code 0 means
// done, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:])) }

// run carries out one command line and returns its exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "simroot: %v\nRun with --help for what is possible.\n", err)
		return 2
	default:
		fmt.Fprintf(os.Stderr, "simroot: %v\n", err)
		if hint := hintFor(err); hint != "" {
			fmt.Fprintf(os.Stderr, "\n  %s\n", hint)
		}
		return 1
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func wrongUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
