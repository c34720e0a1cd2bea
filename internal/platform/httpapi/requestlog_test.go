package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
)

func TestEachRequestIsOneLineInTheLog(t *testing.T) {
	s, log := newServer(t, newFake())
	answer := do(s, "GET", api.PathSIMs+"/"+knownICCID+"", "", "auditor")
	var line struct {
		Method, Path, Request string
		Status                int
		Duration              int64
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 {
		t.Fatalf("%d lines, want 1:\n%s", lines, log)
	}
	if err := json.Unmarshal([]byte(log.String()), &line); err != nil {
		t.Fatal(err)
	}
	if line.Method != "GET" || line.Path != api.PathSIMs+"/"+knownICCID || line.Status != 200 || line.Duration <= 0 {
		t.Errorf("%+v", line)
	}
	if id := answer.Header.Get("Request-Id"); id == "" || id != line.Request {
		t.Errorf("request ID %q in the answer, %q in the log", id, line.Request)
	}
}

func TestTheLogHoldsNoRelaySession(t *testing.T) {
	s, log := newServer(t, newFake())
	do(s, "POST", api.PathRelay+"/s1", `{"step":1,"responses":["kAA="]}`, "")
	if strings.Contains(log.String(), "/s1") || !strings.Contains(log.String(), api.PathRelay+"/{session}") {
		t.Errorf("%s", log)
	}
}
