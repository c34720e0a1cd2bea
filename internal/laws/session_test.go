package laws

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // a stolen database is read without the platform

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
	"github.com/simroot/simroot/vsim"
)

// stolenSession reads out of a database which session a SIM is in.
func stolenSession(t testing.TB, file, iccid string) (session string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT session FROM sims WHERE iccid = ?", iccid).Scan(&session); err != nil {
		t.Fatal(err)
	}
	return session
}

// Who reads the database while a SIM is onboarded does not find there what it takes to speak in the session: neither
// the name that the agent knows it by, nor another that is good for anything.
func TestAStolenDatabaseLetsNobodySpeakInASession(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	card := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	step, err := w.Agent.OpenRelay(t.Context(), api.RelayOpen{Version: api.RelayVersion, ICCID: someICCID, Applet: []byte{0xA0, 0, 0, 5, 0x59, 0, 0x10}})
	if err != nil {
		t.Fatal(err)
	}
	session := step.Session
	stolen := 0
	for step.Result == nil {
		answers := api.RelayAnswers{Step: step.Step}
		for _, b := range step.Commands {
			command, err := apdu.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := apdu.Exchange(t.Context(), card, command)
			if err != nil {
				t.Fatal(err)
			}
			answers.Responses = append(answers.Responses, answer.Bytes())
			if !answer.SW.Processed() {
				break
			}
		}
		copied := filepath.Join(t.TempDir(), "stolen")
		if err := sqlite.Backup(t.Context(), filepath.Join(w.Dir, "platform.db"), copied); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(copied)
		if err != nil {
			t.Fatal(err)
		}
		name := session[strings.LastIndex(session, "-")+1:]
		if bytes.Contains(content, []byte(name)) {
			t.Errorf("at step %d the agent's name of the session lies in the database", step.Step)
		}
		if known := stolenSession(t, copied, someICCID); known != "" {
			stolen++
			for _, guess := range []string{known, strings.TrimSuffix(session, name) + known} {
				if _, err := w.Agent.AnswerRelay(t.Context(), guess, answers); !api.HasCode(err, api.CodeUnknownSession) {
					t.Errorf("step %d could be answered with what lies in the database: %v", step.Step, err)
				}
			}
		}
		if step, err = w.Agent.AnswerRelay(t.Context(), session, answers); err != nil {
			t.Fatal(err)
		}
	}
	if stolen == 0 {
		t.Error("no session was found in the database: the test looks in the wrong place")
	}
	w.active(someICCID)
}
