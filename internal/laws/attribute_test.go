package laws

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
)

// An operator's note on a SIM reaches the policy of a server: it lets the SIM in,
// and hangs up on it when the note says otherwise. A restart of the platform changes nothing.
func TestANoteOnASIMOpensAndClosesTheDoorOfAServer(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	d, err := device.New(t.Context(), sim)
	if err != nil {
		t.Fatal(err)
	}
	config, err := d.TLSConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Middleware(t.Context(), filepath.Join(t.TempDir(), "server"), func(o *appserver.Options) {
		o.Policy = func(id appserver.Identity) error {
			if tenant, _ := id.Attributes.Get("tenant"); tenant != "north" {
				return errors.New("of another tenant")
			}
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	server := w.greeter(m)
	note := func(c api.AttributeChange) {
		t.Helper()
		told := make(chan struct{}, 1)
		stop := m.Watch(func(change appserver.Change) {
			if change.ICCID == someICCID {
				select {
				case told <- struct{}{}:
				default:
				}
			}
		})
		defer stop()
		if _, err := w.Admin.SetSIMAttributes(t.Context(), someICCID, c); err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatal("the server has not heard of the note")
		}
	}

	if c, _, err := server.greet(config); err == nil {
		c.Close()
		t.Fatal("without a note the SIM is let in")
	}
	note(api.AttributeChange{Set: api.Attributes{"tenant": "north", "site": "4711"}})
	live, name, err := server.greet(config)
	if err != nil || name != someICCID {
		t.Fatalf("with the note: server sees SIM %q, %v", name, err)
	}
	defer live.Close()
	note(api.AttributeChange{Set: api.Attributes{"tenant": "south"}})
	if err := live.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := live.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the live connection is not closed: %v", err)
	}
	if c, _, err := server.greet(config); err == nil {
		c.Close()
		t.Error("a SIM of another tenant is let in")
	}

	w.restart()
	kept, err := w.Admin.SIM(t.Context(), someICCID)
	if err != nil || kept.Attributes["tenant"] != "south" || kept.Attributes["site"] != "4711" {
		t.Errorf("after a restart the platform knows %v, %v", kept.Attributes, err)
	}
}
