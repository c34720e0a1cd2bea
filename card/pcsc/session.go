package pcsc

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// session is a resource manager context. The library serialises the calls of one
// session, so each [Card] has its own.
type session struct {
	lib     *library
	context long
}

// dial reaches the service.
func dial() (*session, error) {
	lib, err := load()
	if err != nil {
		return nil, err
	}
	s := &session{lib: lib}
	if err := failure(lib.establishContext(scopeSystem, 0, 0, &s.context)); err != nil {
		return nil, fmt.Errorf("reach PC/SC: %w", err)
	}
	return s, nil
}

// release ends the session and whatever call of it is still waiting.
func (s *session) release() { s.lib.releaseContext(s.context) }

// namesSize holds the names of all readers that pcscd can have: 16 of at most 128 bytes.
const namesSize = 4096

// readers lists the readers and what is in them.
func (s *session) readers() ([]Reader, error) {
	list := make([]byte, namesSize)
	length := dword(len(list))
	switch result := s.lib.listReaders(s.context, 0, &list[0], &length); Code(result) {
	case success:
	case noReaders:
		return nil, nil
	default:
		return nil, fmt.Errorf("list the readers: %w", failure(result))
	}
	var readers []Reader
	var states []readerState
	for name := range bytes.SplitSeq(list[:min(length, namesSize)], []byte{0}) {
		if len(name) > 0 {
			readers = append(readers, Reader{Name: string(name)})
			states = append(states, readerState{name: cString(string(name)), current: stateUnaware})
		}
	}
	if len(readers) == 0 {
		return nil, nil
	}
	if err := failure(s.lib.getStatusChange(s.context, 0, &states[0], dword(len(states)))); err != nil {
		return nil, fmt.Errorf("ask the readers for their state: %w", err)
	}
	for i, state := range states {
		readers[i].State = stateOf(state.event)
		if readers[i].Ready() {
			readers[i].ATR = slices.Clone(state.atr[:min(state.atrLen, dword(len(state.atr)))])
			readers[i].Protocols = protocols(readers[i].ATR)
		}
	}
	return readers, nil
}

// stateOf reads the flags of SCardGetStatusChange.
func stateOf(event dword) State {
	switch {
	case event&statePresent == 0:
		return Empty
	case event&stateMute != 0:
		return Mute
	case event&stateAlone != 0:
		return Exclusive
	case event&stateInUse != 0:
		return InUse
	}
	return Present
}

// open connects to the card in the reader that want names (see [Open]). The card owns
// the session from then on.
func (s *session) open(want string) (*Card, error) {
	readers, err := s.readers()
	if err != nil {
		return nil, err
	}
	reader, err := pick(readers, want)
	if err != nil {
		return nil, err
	}
	c := &Card{session: s, reader: reader.Name, atr: reader.ATR, turn: make(chan struct{}, 1), transaction: make(chan struct{}, 1)}
	result := s.lib.connect(s.context, cString(reader.Name), shareShared, protocolT0|protocolT1, &c.handle, &c.protocol)
	if err := failure(result); err != nil {
		return nil, fmt.Errorf("connect to the card in %q: %w", reader.Name, err)
	}
	return c, nil
}

// cString is s as C wants it.
func cString(s string) *byte {
	s, _, _ = strings.Cut(s, "\x00")
	return &append([]byte(s), 0)[0]
}
