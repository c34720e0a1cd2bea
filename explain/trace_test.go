package explain_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/simroot/simroot/card/trace"
	"github.com/simroot/simroot/explain"
)

// scripted answers commands as a table says.
type scripted map[string]string

func (s scripted) Transmit(_ context.Context, command []byte) ([]byte, error) {
	answer, known := s[hex.EncodeToString(command)]
	if !known {
		return nil, errors.New("the modem did not answer in time")
	}
	return hex.DecodeString(answer)
}

func (s scripted) Close() error { return nil }

// What package trace records is read, whatever it left out.
func TestARecordedTraceIsToldWithoutGap(t *testing.T) {
	card := scripted{
		"0070000001":                   "019000",
		"01a4040007a0000005590010":     "9000",
		"8184000008":                   "01020304050607089000",
		"8148000009d10411121314d30104": "212223249000",
		"81cd000003850103":             "6147",
	}
	var recorded bytes.Buffer
	c := trace.Record(card, &recorded)
	for _, command := range []string{"0070000001", "01a4040007a0000005590010", "8184000008", "8148000009d10411121314d30104", "81cd000003850103", "812a010100"} {
		b, err := hex.DecodeString(command)
		if err != nil {
			t.Fatal(err)
		}
		c.Transmit(t.Context(), b) //nolint:errcheck // failures are recorded too
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	told, unknown := conversation(t, explain.Options{ShowSecrets: true}, recorded.String())
	if unknown {
		t.Errorf("there is a gap in\n%s", told)
	}
	for _, want := range []string{"IoT SAFE applet", "8 bytes, left out", "D1 secret", "4 bytes, left out", "71 bytes wait", "the modem did not answer in time"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is missing in\n%s", want, told)
		}
	}
}
