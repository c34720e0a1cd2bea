package domain

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/simroot/simroot/gp/scp03"
)

// DefaultAID is the issuer security domain's name on cards in the field.
var DefaultAID = []byte{0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00}

// MaxFailed is how many failed authentications in a row block the key set for good.
const MaxFailed = 10

// State is what the security domain keeps across power cycles. Its JSON form holds the
// keys in clear: only the card's own image may receive it.
type State struct {
	AID        []byte
	KeyVersion byte // 30 to 3F for SCP03
	Keys       scp03.Keys

	// SequenceCounter is that of the last session begun; the next one takes the next.
	SequenceCounter uint32

	// Failed counts the failed authentications since the last successful one.
	Failed int
}

// NewState is a fresh security domain under [DefaultAID] with the given keys.
func NewState(keys scp03.Keys, version byte) State {
	return State{AID: bytes.Clone(DefaultAID), KeyVersion: version, Keys: keys}
}

// Check tells whether a card can work with this state.
func (s State) Check() error {
	switch {
	case len(s.AID) < 5 || len(s.AID) > 16:
		return fmt.Errorf("security domain: an AID of %d bytes: want 5 to 16", len(s.AID))
	case s.KeyVersion < 0x30 || s.KeyVersion > 0x3F:
		return fmt.Errorf("security domain: key version %02X: SCP03 has 30 to 3F", s.KeyVersion)
	case s.SequenceCounter > scp03.MaxSequenceCounter:
		return fmt.Errorf("security domain: sequence counter %d: want at most %d", s.SequenceCounter, scp03.MaxSequenceCounter)
	case s.Failed < 0:
		return fmt.Errorf("security domain: %d failed authentications", s.Failed)
	}
	return s.Keys.Check()
}

// Blocked tells whether the key set is blocked for good.
func (s State) Blocked() bool { return s.Failed >= MaxFailed }

// storedState is the JSON form of a [State].
type storedState struct {
	AID             []byte `json:"aid"`
	KeyVersion      byte   `json:"keyVersion"`
	ENC             []byte `json:"enc"`
	MAC             []byte `json:"mac"`
	DEK             []byte `json:"dek"`
	SequenceCounter uint32 `json:"sequenceCounter"`
	Failed          int    `json:"failed"`
}

// MarshalJSON writes the state, with its keys, for the card's image.
func (s State) MarshalJSON() ([]byte, error) {
	return json.Marshal(storedState{
		AID: s.AID, KeyVersion: s.KeyVersion,
		ENC: s.Keys.ENC, MAC: s.Keys.MAC, DEK: s.Keys.DEK,
		SequenceCounter: s.SequenceCounter, Failed: s.Failed,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *State) UnmarshalJSON(b []byte) error {
	var stored storedState
	if err := json.Unmarshal(b, &stored); err != nil {
		return err
	}
	*s = State{
		AID: stored.AID, KeyVersion: stored.KeyVersion,
		Keys:            scp03.Keys{ENC: stored.ENC, MAC: stored.MAC, DEK: stored.DEK},
		SequenceCounter: stored.SequenceCounter, Failed: stored.Failed,
	}
	return s.Check()
}
