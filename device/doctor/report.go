package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Write writes the report for people.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Links {
		line := fmt.Sprintf("%-9s  %-12s  ", f.State, f.Link)
		if f.State != Broken {
			b.WriteString(strings.TrimRight(line+f.Saw, " ") + "\n")
			continue
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		for _, part := range [][2]string{{"saw", f.Saw}, {"means", f.Means}, {"do", f.Do}} {
			// An error may have lines; what it says belongs together.
			fmt.Fprintf(&b, "           %-5s  %s\n", part[0], strings.Join(strings.Fields(part[1]), " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
