package device

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MetricsType is the content type of [AgentStatus.Metrics].
const MetricsType = "text/plain; version=0.0.4; charset=utf-8"

// Metrics is the status in Prometheus' text format. Times are seconds since 1970, 0 where
// there is none.
func (s AgentStatus) Metrics() []byte {
	var b strings.Builder
	one := func(name, kind, help string, value float64) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %s\n", name, help, name, kind, name, number(value))
	}
	fmt.Fprint(&b, "# HELP simroot_agent_state What the agent is about: 1 for the state it is in.\n# TYPE simroot_agent_state gauge\n")
	for _, state := range AgentStates {
		fmt.Fprintf(&b, "simroot_agent_state{state=%s} %s\n", label(string(state)), number(truth(s.State == state)))
	}
	if s.ICCID != "" {
		c := AgentCredential{}
		if s.Credential != nil {
			c = *s.Credential
		}
		fmt.Fprint(&b, "# HELP simroot_agent_sim_info The SIM and its credential.\n# TYPE simroot_agent_sim_info gauge\n")
		fmt.Fprintf(&b, "simroot_agent_sim_info{iccid=%s,credential=%s,type=%s,fleet=%s} 1\n", label(s.ICCID), label(c.ID), label(string(c.Type)), label(c.Fleet))
	}
	var notAfter time.Time
	if s.Credential != nil {
		notAfter = s.Credential.NotAfter
	}
	one("simroot_agent_credential_not_after_seconds", "gauge", "When the SIM's credential ends.", seconds(notAfter))
	one("simroot_agent_renew_at_seconds", "gauge", "When the device is to come to the platform again.", seconds(s.RenewAt))
	one("simroot_agent_next_attempt_seconds", "gauge", "When the agent tries again.", seconds(s.NextAttempt))
	one("simroot_agent_last_success_seconds", "gauge", "When the platform last confirmed the credential.", seconds(s.LastSuccess))
	one("simroot_agent_failures", "gauge", "Attempts since the last one that succeeded.", float64(s.Failures))
	one("simroot_agent_attempts_total", "counter", "Onboardings begun.", float64(s.Totals.Attempts))
	one("simroot_agent_attempts_failed_total", "counter", "Onboardings that failed.", float64(s.Totals.Failed))
	one("simroot_agent_credentials_total", "counter", "New credentials that the SIM was given.", float64(s.Totals.Credentials))
	one("simroot_agent_commands_total", "counter", "APDUs exchanged in onboardings.", float64(s.Totals.Commands))
	one("simroot_agent_bytes_total", "counter", "Bytes in these APDUs.", float64(s.Totals.Bytes))
	one("simroot_agent_sim_lost_total", "counter", "Times that the SIM went away.", float64(s.Totals.SIMLost))
	return []byte(b.String())
}

// ServeHTTP answers with the metrics of the status at that moment.
func (a *Agent) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", MetricsType)
	w.Write(a.Status().Metrics()) //nolint:errcheck // who asked has left
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

var escapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func label(s string) string { return `"` + escapes.Replace(strings.ToValidUTF8(s, "\uFFFD")) + `"` }
