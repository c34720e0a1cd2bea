package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

// batchName names a batch after its content, so that sending it again is harmless.
func batchName(file *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	_, err := file.Seek(0, io.SeekStart)
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}

// progressOf tells on a terminal how much of a file was read.
func progressOf(file *os.File, w io.Writer) io.Reader {
	info, err := file.Stat()
	if err != nil || !isTerminal(w) || info.Size() == 0 {
		return file
	}
	return &progressReader{file: file, size: info.Size(), w: w, shown: -1}
}

type progressReader struct {
	file       *os.File
	read, size int64
	shown      int64 // per cent
	w          io.Writer
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.file.Read(b)
	p.read += int64(n)
	if percent := 100 * p.read / p.size; percent != p.shown {
		p.shown = percent
		fmt.Fprintf(p.w, "\r%3d %%", percent)
	}
	if err == io.EOF {
		fmt.Fprint(p.w, "\r     \r")
	}
	return n, err
}

func printImport(w io.Writer, fleet string, r api.ImportResult) (err error) {
	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	for _, e := range r.Errors {
		say("line %d: %s\n", e.Line, e.Problem)
	}
	if more := r.Rejected - len(r.Errors); more > 0 {
		say("and %d further lines\n", more)
	}
	switch {
	case r.DryRun:
		say("%d SIMs are good for fleet %s, %d lines are not; nothing was changed\n", r.Imported, fleet, r.Rejected)
	case r.Repeated:
		say("This batch was imported before: %d SIMs into fleet %s\n", r.Imported, fleet)
	case r.Rejected > 0:
		say("Imported %d SIMs into fleet %s, left out %d lines\n", r.Imported, fleet, r.Rejected)
	default:
		say("Imported %d SIMs into fleet %s\n", r.Imported, fleet)
	}
	return err
}

func newSIMsSeal() *cobra.Command {
	c := &cobra.Command{
		Use: "seal FILE --transport-key KEY --out FILE", Short: "Make a batch of a CSV or JSON file with SIM keys in clear", Args: cobra.ExactArgs(1),
		Long: `Seals the SIM keys of a file to a platform's transport key, so that only the platform can
open them. Do this where the keys are, and send only the result. The file's name ends in
.csv or .json. The fields are iccid, key_version, domain, enc, mac, dek (hexadecimal), and
if need be est_secret and attr.KEY.`,
		Example: "  simroot platform sims seal keys.csv --transport-key $(simroot platform transport-key) --out meters.batch",
	}
	key := c.Flags().String("transport-key", "", "the platform's transport key, hexadecimal")
	out := c.Flags().String("out", "", "file to write, which must not exist")
	c.RunE = func(c *cobra.Command, args []string) error {
		transportKey, err := hex.DecodeString(*key)
		if err != nil || len(transportKey) != api.SealKeySize {
			return wrongUsage("--transport-key: want %d bytes in hexadecimal, as simroot platform transport-key prints them", api.SealKeySize)
		}
		if *out == "" {
			return wrongUsage("where to? Give --out FILE")
		}
		in, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer in.Close()
		var sims *api.PlainReader
		switch filepath.Ext(args[0]) {
		case ".csv":
			sims, err = api.NewPlainCSV(progressOf(in, c.ErrOrStderr()))
		case ".json":
			sims = api.NewPlainJSON(progressOf(in, c.ErrOrStderr()))
		default:
			return wrongUsage("%s: want a file that ends in .csv or .json", args[0])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		f, err := os.OpenFile(*out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		n, err := seal(f, sims, transportKey)
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(*out)
			return fmt.Errorf("%s: %w", args[0], err)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Sealed %d SIMs into %s\n", n, *out)
		return err
	}
	return c
}

// sealStep is how many SIMs are sealed at a time.
const sealStep = 500

// seal writes a batch. The keys that it has read are cleared.
func seal(w io.Writer, sims *api.PlainReader, transportKey []byte) (n int, err error) {
	batch, err := api.NewBatchWriter(w, transportKey)
	if err != nil {
		return 0, err
	}
	for err == nil {
		var some []api.PlainSIM
		for len(some) < sealStep && err == nil {
			var sim api.PlainSIM
			if sim, err = sims.Next(); err == nil {
				some = append(some, sim)
			}
		}
		if err == nil || err == io.EOF {
			n += len(some)
			if failed := batch.Add(some...); failed != nil {
				err = failed
			}
		}
		for _, sim := range some {
			for _, secret := range [][]byte{sim.ENC, sim.MAC, sim.DEK} {
				clear(secret)
			}
		}
	}
	closed := batch.Close()
	if err != io.EOF {
		return n, err
	}
	return n, closed
}
