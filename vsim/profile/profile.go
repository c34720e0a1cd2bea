// Package profile reads personalisation profiles: what a SIM is delivered with before
// any platform has seen it. A profile is a YAML file (docs/profiles.md); those that known
// clients in the field expect come with the package, under the names of [Names].
package profile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
)

// Profile describes the applet of a new card.
type Profile struct {
	// Name is that of a profile of the package, or the file name of one's own.
	Name string

	// Description says in a line whom the profile is for.
	Description string

	// Type of the applet: 1 (asymmetric keys too) or 2 (secrets and files only).
	Type int

	// AIDs are the names of the applet, the one for EF.DIR first.
	AIDs [][]byte

	// SignatureLength is the form of tag 33.
	SignatureLength applet.SignatureLength

	// Containers are keys, secrets and files, in this order.
	Containers []Container
}

// Container is one object of the store, and how it is filled when a card is made.
type Container struct {
	Object iotsafe.Object

	// Content is what the container holds from the start; nil: nothing, or what Fill says.
	Content []byte

	// Fill draws a content for each card anew.
	Fill Fill

	// Padded makes a file look filled to its capacity, see [applet.Container].
	Padded bool
}

// Fill is a content that each card has for itself.
type Fill byte

// The kinds of content that are drawn when a card is made.
const (
	Empty        Fill = iota
	FreshKeyPair      // of the two halves beside each other, P-256
	FreshSecret       // of 32 bytes, or as long as its type of key wants
)

// freshSecretSize is the length of a secret that is drawn and may have any, in bytes.
const freshSecretSize = 32

//go:embed profiles/*.yaml
var embedded embed.FS

// Names lists the profiles of the package: the general ones first.
func Names() []string {
	return []string{"common", "wolfssl", "wolfssl2", "cira", "orange-test", "orange-cloud", "m33mu", "zariot", "type2"}
}

// Named returns a profile of the package.
func Named(name string) (*Profile, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("unknown card profile %q: want one of %s, or a .yaml file", name, strings.Join(Names(), ", "))
	}
	b, err := embedded.ReadFile("profiles/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	return Parse(name, b)
}

// Load reads a profile of the user's own. Its errors are of type [*Error] where the
// content is to blame.
func Load(file string) (*Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("card profile: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("card profile: %w", err)
	}
	return Parse(file, b)
}

// Find is [Load] if name is that of a YAML file, else [Named].
func Find(name string) (*Profile, error) {
	switch filepath.Ext(name) {
	case ".yaml", ".yml":
		return Load(name)
	}
	return Named(name)
}

// State is the applet of a new card of this profile, with an identifier, keys and
// secrets of its own.
func (p *Profile) State() (applet.State, error) {
	s, err := applet.NewState(p.Type, p.objects()...)
	if err != nil {
		return s, fmt.Errorf("card profile %s: %w", p.Name, err)
	}
	s.AIDs, s.SignatureLength = p.AIDs, p.SignatureLength
	for i, c := range p.Containers {
		made := &s.Objects[i]
		made.Padded = c.Padded
		switch {
		case c.Content != nil:
			made.Content = c.Content
		case c.Fill == FreshSecret:
			size, fixed := aesKeySizes[c.Object.KeyType]
			if !fixed {
				size = freshSecretSize
			}
			made.Content = make([]byte, size)
			rand.Read(made.Content)
		case c.Fill == FreshKeyPair && c.Object.Kind == iotsafe.PrivateKey:
			if err := freshKeyPair(made, &s.Objects[i+1]); err != nil {
				return s, fmt.Errorf("card profile %s: %w", p.Name, err)
			}
		}
		made.Object.Active = len(made.Content) > 0
	}
	return s, nil
}

func (p *Profile) objects() []iotsafe.Object {
	objects := make([]iotsafe.Object, len(p.Containers))
	for i, c := range p.Containers {
		objects[i] = c.Object
	}
	return objects
}

func freshKeyPair(private, public *applet.Container) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if private.Content, err = key.Bytes(); err != nil {
		return err
	}
	public.Content, err = key.PublicKey.Bytes()
	public.Object.Active = true
	return err
}
