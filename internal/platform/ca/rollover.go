package ca

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.step.sm/crypto/pemutil"

	"github.com/simroot/simroot/internal/platform/keyfile"
)

// ErrRollover is in the chain of errors about a rollover that is not possible now.
var ErrRollover = errors.New("the CA's rollover does not allow this")

// line is the CAs that count: the one that issues, the one that is to follow it, and the one
// before it, until nothing depends on it any more. There are never more than two.
type line struct {
	issuing, next, before *generation
	stored                storedLine
}

func (l *line) all() []*generation {
	all := []*generation{l.issuing}
	for _, g := range []*generation{l.next, l.before} {
		if g != nil {
			all = append(all, g)
		}
	}
	return all
}

// storedLine is the content of the file that says which CAs count. Without it, it is the first.
type storedLine struct {
	Issuing int       `json:"issuing"`
	Next    int       `json:"next,omitempty"`
	Before  int       `json:"before,omitempty"`
	Since   time.Time `json:"since,omitzero"` // of Next or Before
	Until   time.Time `json:"until,omitzero"` // when Before is of no use any more
}

const lineFile = "line.json"

// folder is where a generation is kept: the first one in the CA's own folder.
func (c *CA) folder(number int) string {
	if number == 1 {
		return c.dir
	}
	return filepath.Join(c.dir, "g"+strconv.Itoa(number))
}

func (c *CA) readLine() (*line, error) {
	l := &line{stored: storedLine{Issuing: 1}}
	text, err := os.ReadFile(filepath.Join(c.dir, lineFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(text, &l.stored); err != nil {
			return nil, fmt.Errorf("%s: %w", lineFile, err)
		}
	}
	for _, part := range []struct {
		number int
		into   **generation
	}{{l.stored.Issuing, &l.issuing}, {l.stored.Next, &l.next}, {l.stored.Before, &l.before}} {
		if part.number == 0 {
			continue
		}
		if *part.into, err = openGeneration(c.folder(part.number), part.number, c.safe); err != nil {
			return nil, err
		}
	}
	if l.issuing == nil {
		return nil, fmt.Errorf("%s names no issuing CA", lineFile)
	}
	return l, nil
}

// become writes down which CAs count and goes on with them: before or after a loss of power, never
// between.
func (c *CA) become(s storedLine) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := keyfile.Replace(filepath.Join(c.dir, lineFile), text); err != nil {
		return err
	}
	l, err := c.readLine()
	if err != nil {
		return err
	}
	c.line.Store(l)
	return nil
}

// Rollover is where the CA stands between one and the next.
type Rollover struct {
	Issuing      string    // subject of the root above the CA that issues
	Next, Before string    // "" if there is none
	Since        time.Time // when Next or Before became so
	Until        time.Time // when Before is of no use any more
	Crossed      bool      // Next, or if there is none Issuing, is signed by the root before it too
}

// Rollover returns it.
func (c *CA) Rollover() Rollover {
	l := c.line.Load()
	r := Rollover{Issuing: l.issuing.root.Subject.CommonName, Since: l.stored.Since, Until: l.stored.Until, Crossed: l.issuing.cross != nil}
	if l.next != nil {
		r.Next, r.Crossed = l.next.root.Subject.CommonName, l.next.cross != nil
	}
	if l.before != nil {
		r.Before = l.before.root.Subject.CommonName
	}
	return r
}

// Begin makes the CA that is to follow the present one. From now on both are published; the present
// one goes on issuing. If the present root's key is there, it signs the new root too, so
// that those who know only the present root will trust what the new one vouches for.
// Repeating it changes nothing.
func (c *CA) Begin() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	l := c.line.Load()
	if l.next != nil {
		return nil
	}
	if l.before != nil {
		return fmt.Errorf("%w: certificates of the CA before the present one are in use until %s", ErrRollover, l.stored.Until.Format(time.RFC3339))
	}
	number := l.issuing.number + 1
	dir := c.folder(number)
	if err := os.RemoveAll(dir); err != nil { // of a beginning that was cut, or one that was aborted
		return err
	}
	k, err := c.nextKeys(l.issuing)
	if err != nil {
		return err
	}
	if err := Init(dir, k); err != nil {
		return err
	}
	if err := c.crossSign(l.issuing, dir); err != nil {
		return fmt.Errorf("ca: sign the new root by the present one: %w", err)
	}
	if err := keyfile.SyncFolder(c.dir); err != nil {
		return err
	}
	return c.become(storedLine{Issuing: l.issuing.number, Next: number, Since: c.now().UTC()})
}

// nextURIFile names the issuing key of the next CA, where that is not to be a file.
const nextURIFile = "next.uri"

// nextKeys says where the keys of the next CA are made: where a file in the folder says, or in files, if
// those of the present one are.
func (c *CA) nextKeys(present *generation) (Keys, error) {
	k := Keys{Safe: c.safe}
	uri, err := keyfile.Read(filepath.Join(c.dir, nextURIFile))
	if err == nil {
		k.Issuing = strings.TrimSpace(string(uri))
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if _, err := os.Stat(filepath.Join(c.folder(present.number), issuingURIFile)); err == nil {
		return k, fmt.Errorf("%w: the issuing key is not in a file; write the URI of the next one to %s in the CA's folder, mode 0600", ErrRollover, nextURIFile)
	}
	return k, nil
}

// crossSign has a root sign the root of another generation, if its key is there.
func (c *CA) crossSign(by *generation, dir string) error {
	text, err := c.safe.Read(filepath.Join(c.folder(by.number), rootKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer clear(text)
	parsed, err := pemutil.ParseKey(text)
	if err != nil {
		return err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return fmt.Errorf("%s: holds no private key", rootKeyFile)
	}
	root, err := readCertificate(filepath.Join(dir, rootFile))
	if err != nil {
		return err
	}
	template, err := authority(root.Subject.CommonName, root.PublicKey, root.NotBefore, min(rootLifetime, by.root.NotAfter.Sub(root.NotBefore)))
	if err != nil {
		return err
	}
	signed, err := signAuthority(template, by.root, key)
	if err != nil {
		return err
	}
	return keyfile.Write(filepath.Join(dir, crossFile), encode(signed.Raw))
}

// Finish lets the next CA issue from now on. What the one before has issued is good until the given time,
// to which both stay published. Repeating it changes nothing.
func (c *CA) Finish(until time.Time) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	s := c.line.Load().stored
	switch {
	case s.Next == 0 && s.Before != 0:
		return nil
	case s.Next == 0:
		return fmt.Errorf("%w: none has begun", ErrRollover)
	}
	return c.become(storedLine{Issuing: s.Next, Before: s.Issuing, Since: c.now().UTC(), Until: until.UTC()})
}

// Abort gives up the CA that was to follow, and destroys its keys. Repeating it changes nothing.
func (c *CA) Abort() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	s := c.line.Load().stored
	switch {
	case s.Next == 0 && s.Before != 0:
		return fmt.Errorf("%w: it is finished, and the new CA issues: begin another", ErrRollover)
	case s.Next == 0:
		return nil
	}
	if err := c.become(storedLine{Issuing: s.Issuing}); err != nil {
		return err
	}
	return os.RemoveAll(c.folder(s.Next))
}

// Retire lets go of the CA before the present one when its time is over, and tells whether it has.
func (c *CA) Retire(now time.Time) (bool, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	s := c.line.Load().stored
	if s.Before == 0 || now.Before(s.Until) {
		return false, nil
	}
	return true, c.become(storedLine{Issuing: s.Issuing})
}
