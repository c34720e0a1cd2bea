package api

import "time"

// Paths of the relay. The device agent opens a session and then trades the card's
// answers for further commands until the platform says that it is done. It needs no
// token: the SIM proves itself through the secure channel, and the agent sees only
// sealed commands.
const (
	PathRelay = "/v1/relay"
)

// RelayVersion is the version of the relay protocol that this package speaks. The
// platform answers an agent of another version with a clear refusal.
const RelayVersion = 1

// RelayOpen opens a session: POST [PathRelay].
type RelayOpen struct {
	Version int    `json:"version"`
	ICCID   string `json:"iccid"`
	// Applet is the AID under which the agent found the IoT SAFE applet.
	Applet []byte `json:"applet"`
	// Trial says that the agent can try a new credential before it takes the place of the one
	// in use: see [RelayStep].
	Trial bool `json:"trial,omitempty"`
	// TrialRenewal says that it can also try a certificate that is not on the SIM yet, with the key
	// that is in use there.
	TrialRenewal bool `json:"trial_renewal,omitempty"`
	// Agent names the software, for the operator's eyes.
	Agent string `json:"agent,omitempty"`
}

// RelayAnswers reports what the card answered: POST [PathRelay]/{session}. It may be
// repeated: the platform answers a repetition with the same [RelayStep].
type RelayAnswers struct {
	// Step is the number of the step that is answered.
	Step int `json:"step"`
	// Responses are the card's answers, status words included, in the order of the
	// commands. They may be fewer than the commands only if the last one is not a success.
	Responses [][]byte `json:"responses"`
	// Worked answers a trial: servers accept the credential.
	Worked bool `json:"worked,omitempty"`
	// Failure says why the card could not be reached, or that a trial has failed; the
	// session then ends.
	Failure string `json:"failure,omitempty"`
}

// RelayStep is what the agent does next.
type RelayStep struct {
	Session string `json:"session"`
	Step    int    `json:"step"`
	// Commands are to be sent to the card in order, on a channel that the agent
	// has opened for the session: their class bytes name channel 0 and the agent puts
	// its own channel there (secure messaging does not cover those bits). The agent
	// follows 61xx and 6Cxx itself, and stops at the first answer that is no success
	// (9000, 62xx, 63xx or 91xx).
	Commands [][]byte `json:"commands,omitempty"`
	// Trial is a new credential, if the agent has said that it can try one. The SIM holds it beside
	// the one in use, or, of a renewal, holds its key, and the certificate is only here. The agent
	// uses it at a server once. Until it reports that this has worked, the SIM and the servers go
	// on with the credential before.
	Trial *Credential `json:"trial,omitempty"`
	// Result ends the session.
	Result *RelayResult `json:"result,omitempty"`
}

// RelayResult tells the agent what the SIM holds now.
type RelayResult struct {
	Credential Credential `json:"credential"`
	// Changed is false if the SIM already held a good credential.
	Changed bool `json:"changed"`
	// RenewAt is when the agent should come again.
	RenewAt time.Time `json:"renew_at"`
}
