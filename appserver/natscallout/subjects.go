package natscallout

import (
	"fmt"
	"strings"

	"github.com/simroot/simroot/appserver"
)

// Permissions are the subjects that a SIM may use. {iccid} and {fleet} stand for its own; wildcards are those
// of NATS.
type Permissions struct {
	Publish, Subscribe []string
}

// DefaultPermissions give a SIM the subjects under its ICCID, and an inbox of its own for answers: a
// client's inbox prefix must be _INBOX.ICCID.
func DefaultPermissions() Permissions {
	return Permissions{Publish: []string{"devices.{iccid}.>"}, Subscribe: []string{"devices.{iccid}.>", "_INBOX.{iccid}.>"}}
}

// Check refuses what is no subject of NATS.
func (p Permissions) Check() error {
	for _, list := range [][]string{p.Publish, p.Subscribe} {
		for _, template := range list {
			if err := checkSubject(template); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSubject refuses what is no subject of NATS, or has a name in braces that is not known.
func checkSubject(template string) error {
	plain := strings.NewReplacer("{iccid}", "1", "{fleet}", "f").Replace(template)
	if strings.ContainsAny(plain, "{} \t\r\n") {
		return fmt.Errorf("subject %q: want {iccid} and {fleet} only, and no spaces", template)
	}
	tokens := strings.Split(plain, ".")
	for i, token := range tokens {
		switch {
		case token == "":
			return fmt.Errorf("subject %q: an empty part", template)
		case token == ">" && i < len(tokens)-1:
			return fmt.Errorf("subject %q: > must be the last part", template)
		case len(token) > 1 && strings.ContainsAny(token, "*>"):
			return fmt.Errorf("subject %q: a wildcard must be a part of its own", template)
		}
	}
	return nil
}

// fill puts a SIM into templates.
func fill(templates []string, id appserver.Identity) []string {
	// A dot in the name of a fleet would make two parts of it, and "a.>" of fleet a reach into fleet a.b.
	fleet := strings.ReplaceAll(id.Fleet, ".", "%2e")
	r := strings.NewReplacer("{iccid}", id.ICCID, "{fleet}", fleet)
	filled := make([]string, len(templates))
	for i, template := range templates {
		filled[i] = r.Replace(template)
	}
	return filled
}
