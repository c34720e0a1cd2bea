package laws

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
)

// stutterer reports every step twice, as an agent does that has lost the answer, and now
// and then a step that is not the current one.
type stutterer struct {
	t *testing.T
	*api.Client
}

func (s stutterer) AnswerRelay(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error) {
	wrong := a
	wrong.Step += 2
	if _, err := s.Client.AnswerRelay(ctx, session, wrong); !api.HasCode(err, api.CodeOutOfStep) {
		s.t.Errorf("answers for a step to come: want a refusal %s, got: %v", api.CodeOutOfStep, err)
	}
	first, err := s.Client.AnswerRelay(ctx, session, a)
	second, again := s.Client.AnswerRelay(ctx, session, a)
	if !reflect.DeepEqual(first, second) || (err == nil) != (again == nil) {
		s.t.Errorf("the same answers got %+v (%v) first and %+v (%v) when repeated", first, err, second, again)
	}
	return first, err
}

// Answers that are reported again are answered as before, and change nothing.
func TestARepeatedReportChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	d, err := device.New(t.Context(), sim)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Onboard(t.Context(), stutterer{t, w.Agent}); err != nil {
		t.Fatal(err)
	}
	w.active(someICCID)
}

// An agent that talks nonsense gets clear refusals, and the session goes on for one
// that makes sense.
func TestAnAgentThatTalksNonsenseIsRefused(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	w.sims("meters", "common", someICCID)
	aid := []byte{0xA0, 0, 0, 5, 0x59, 0, 0x10}
	for name, open := range map[string]api.RelayOpen{
		"another version": {Version: 99, ICCID: someICCID, Applet: aid},
		"no ICCID":        {Version: api.RelayVersion, Applet: aid},
		"short ICCID":     {Version: api.RelayVersion, ICCID: "8988", Applet: aid},
		"letters":         {Version: api.RelayVersion, ICCID: "8988211990000000001x", Applet: aid},
		"no applet":       {Version: api.RelayVersion, ICCID: someICCID},
		"endless applet":  {Version: api.RelayVersion, ICCID: someICCID, Applet: make([]byte, 17)},
	} {
		if _, err := w.Agent.OpenRelay(t.Context(), open); !api.HasCode(err, api.CodeBadRequest) {
			t.Errorf("%s: want a refusal %s, got: %v", name, api.CodeBadRequest, err)
		}
	}
	step, err := w.Agent.OpenRelay(t.Context(), api.RelayOpen{Version: api.RelayVersion, ICCID: someICCID, Applet: aid})
	if err != nil {
		t.Fatal(err)
	}
	for name, responses := range map[string][][]byte{
		"no answers":          {},
		"too many answers":    {{0x90, 0}, {0x90, 0}, {0x90, 0}},
		"an answer too short": {{0x90}, {0x90, 0}},
		"an answer too long":  {make([]byte, 300), {0x90, 0}},
		"one left out":        {{0x90, 0}},
	} {
		if _, err := w.Agent.AnswerRelay(t.Context(), step.Session, api.RelayAnswers{Step: step.Step, Responses: responses}); !api.HasCode(err, api.CodeBadRequest) {
			t.Errorf("%s: want a refusal %s, got: %v", name, api.CodeBadRequest, err)
		}
	}
	var refusal *api.Error
	if _, err := w.Agent.AnswerRelay(t.Context(), "0123", api.RelayAnswers{Step: 1, Responses: [][]byte{{0x90, 0}}}); !errors.As(err, &refusal) || refusal.Code != api.CodeUnknownSession {
		t.Errorf("a session that never was: want a refusal %s, got: %v", api.CodeUnknownSession, err)
	}
}
