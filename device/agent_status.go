package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/simroot/simroot/api"
)

// AgentState is what an [Agent] is about.
type AgentState string

// The states. In [AgentRefused] and [AgentStopped] the agent has ended.
const (
	AgentStarting   AgentState = "starting"   // nothing is known yet
	AgentOnboarding AgentState = "onboarding" // a session with the platform is under way
	AgentReady      AgentState = "ready"      // the SIM holds a good credential; waiting for its renewal
	AgentRetrying   AgentState = "retrying"   // the platform could not help for now; it is asked again
	AgentSIMAway    AgentState = "sim_away"   // the SIM cannot be opened; it is used when it is back
	AgentRefused    AgentState = "refused"    // the platform has refused this SIM for good
	AgentStopped    AgentState = "stopped"    // told to stop
)

// AgentStates are all of them.
var AgentStates = []AgentState{AgentStarting, AgentOnboarding, AgentReady, AgentRetrying, AgentSIMAway, AgentRefused, AgentStopped}

// AgentStatus is what an [Agent] tells of itself. It holds no secret.
type AgentStatus struct {
	State AgentState `json:"state"`
	Since time.Time  `json:"since"` // of State

	ICCID      string           `json:"iccid,omitempty"`
	Credential *AgentCredential `json:"credential,omitempty"` // of that SIM, as the platform last confirmed it
	RenewAt    time.Time        `json:"renew_at,omitzero"`

	// NextAttempt is when the platform, or the SIM in AgentSIMAway, is tried again.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	LastAttempt time.Time `json:"last_attempt,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`

	// Problem is what is wrong and what to do, in words; Code is the platform's, if it
	// has refused. Failures counts the attempts since the last that succeeded.
	Problem  string   `json:"problem,omitempty"`
	Code     api.Code `json:"code,omitempty"`
	Failures int      `json:"failures"`

	Totals AgentTotals `json:"totals"`
}

// AgentCredential is the credential that a SIM holds.
type AgentCredential struct {
	ID        string             `json:"id"`
	Type      api.CredentialType `json:"type"`
	Fleet     string             `json:"fleet"`
	Identity  string             `json:"identity,omitempty"` // of a PSK
	NotBefore time.Time          `json:"not_before"`
	NotAfter  time.Time          `json:"not_after"`
}

// AgentTotals counts since the agent began.
type AgentTotals struct {
	Attempts    int `json:"attempts"`    // onboardings begun
	Failed      int `json:"failed"`      // of these
	Credentials int `json:"credentials"` // new ones that the SIM was given
	Commands    int `json:"commands"`    // APDUs of onboardings
	Bytes       int `json:"bytes"`       // in these
	SIMLost     int `json:"sim_lost"`    // times that the SIM went away
}

// StatusFile returns a report for [AgentOptions] that keeps the status in a file, as JSON.
func StatusFile(name string) func(AgentStatus) error {
	return func(s AgentStatus) error {
		text, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return err
		}
		return replace(name, append(text, '\n'))
	}
}

// ReadStatusFile reads what [StatusFile] has written.
func ReadStatusFile(name string) (s AgentStatus, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s is not the status file of an agent: %w", name, err)
	}
	if !slices.Contains(AgentStates, s.State) {
		return s, fmt.Errorf("%s is not the status file of an agent, or of a newer one: it names the state %q", name, s.State)
	}
	return s, nil
}

// MetricsFile returns a report for [AgentOptions] that keeps the metrics in a file, for
// the textfile collector of a node exporter: see [AgentStatus.Metrics].
func MetricsFile(name string) func(AgentStatus) error {
	return func(s AgentStatus) error { return replace(name, s.Metrics()) }
}

// replace writes a file as a whole: who reads it sees the old content or the new, whatever
// happens. Everybody may read it.
func replace(name string, content []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if gone := os.Remove(file.Name()); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}()
	_, err = file.Write(content)
	// Synced, for a name may reach the disk before the content does: a loss of power is not to
	// leave an empty file.
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}
