package rows

import (
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// of says of which table columns are, where several have columns of these names.
func of(table, columns string) string {
	return table + "." + strings.ReplaceAll(columns, ", ", ", "+table+".")
}

// micros is how a time is stored: microseconds since 1970, and 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment reads a stored time.
type moment struct{ at *time.Time }

// Scan implements [sql.Scanner].
func (m moment) Scan(value any) error {
	var n sql.NullInt64
	if err := n.Scan(value); err != nil {
		return err
	}
	*m.at = time.Time{}
	if n.Int64 != 0 {
		*m.at = time.UnixMicro(n.Int64).UTC()
	}
	return nil
}

// optional reads a text that may be absent.
type optional struct{ text *string }

// Scan implements [sql.Scanner].
func (o optional) Scan(value any) error {
	var s sql.NullString
	err := s.Scan(value)
	*o.text = s.String
	return err
}

// orNull stores an empty text as absent, so that unique indexes leave it alone.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// names reads names that are stored with a space between them.
type names struct{ list *[]string }

// Scan implements [sql.Scanner].
func (n names) Scan(value any) error {
	var s sql.NullString
	err := s.Scan(value)
	*n.list = nil
	if s.String != "" {
		*n.list = strings.Split(s.String, " ")
	}
	return err
}

// hash reads a stored SHA-256.
type hash struct{ sum *[32]byte }

// Scan implements [sql.Scanner].
func (h hash) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok || len(b) != len(h.sum) {
		return fmt.Errorf("a hash of %d bytes: want %d", len(b), len(h.sum))
	}
	copy(h.sum[:], b)
	return nil
}
