package api

import (
	"fmt"
	"maps"
	"slices"
)

// Bounds of a SIM's [Attributes].
const (
	MaxAttributes     = 16
	MaxAttributeKey   = 32 // bytes, of a-z, 0-9, '_', '.' and '-'
	MaxAttributeValue = 64 // bytes
)

// Attributes are what an operator notes of a SIM for application servers: a tenant, a site, a
// hardware revision. The platform gives them no meaning.
type Attributes map[string]string

// Check tells whether they lie within their bounds.
func (a Attributes) Check() error {
	if len(a) > MaxAttributes {
		return fmt.Errorf("%d attributes: a SIM has at most %d", len(a), MaxAttributes)
	}
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if err := checkAttributeKey(key); err != nil {
			return err
		}
		if err := checkAttributeValue(key, a[key]); err != nil {
			return err
		}
	}
	return nil
}

func checkAttributeKey(key string) error {
	if len(key) < 1 || len(key) > MaxAttributeKey {
		return fmt.Errorf("attribute %.40q: a key has 1 to %d bytes", key, MaxAttributeKey)
	}
	for i := range len(key) {
		switch c := key[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return fmt.Errorf("attribute %q: a key consists of a-z, 0-9, '_', '.' and '-'", key)
		}
	}
	return nil
}

func checkAttributeValue(key, value string) error {
	if len(value) < 1 || len(value) > MaxAttributeValue {
		return fmt.Errorf("attribute %s: a value of %d bytes: want 1 to %d", key, len(value), MaxAttributeValue)
	}
	for _, r := range value {
		if r < ' ' || r == 0x7F || r == '\uFFFD' {
			return fmt.Errorf("attribute %s: a value is text in UTF-8 without control characters", key)
		}
	}
	return nil
}

// AttributeChange asks for a change of a SIM's attributes (POST …/sims/{iccid}/attributes):
// all of it is made, or nothing. What is not named stays.
type AttributeChange struct {
	Set    Attributes `json:"set,omitempty"`
	Remove []string   `json:"remove,omitempty" maxItems:"16"`
}

// Apply returns the attributes after the change; those given stay as they are.
func (c AttributeChange) Apply(to Attributes) (Attributes, error) {
	if err := c.Set.Check(); err != nil {
		return nil, err
	}
	after := maps.Clone(to)
	if after == nil {
		after = Attributes{}
	}
	for _, key := range c.Remove {
		if err := checkAttributeKey(key); err != nil {
			return nil, err
		}
		if _, both := c.Set[key]; both {
			return nil, fmt.Errorf("attribute %s: it cannot be set and removed at once", key)
		}
		delete(after, key)
	}
	maps.Copy(after, c.Set)
	if len(after) == 0 {
		return nil, nil
	}
	return after, after.Check()
}
