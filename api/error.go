package api

import (
	"errors"
	"fmt"
	"time"
)

// Code tells programs why the platform refused. Codes never change their meaning.
type Code string

// The codes.
const (
	CodeBadRequest          Code = "bad_request"           // the request is malformed
	CodeUnauthorized        Code = "unauthorized"          // no token, or one that is unknown, expired or withdrawn
	CodeForbidden           Code = "forbidden"             // the token's role may not do this
	CodeUnknownSIM          Code = "unknown_sim"           // no batch with this ICCID was imported
	CodeUnknownFleet        Code = "unknown_fleet"         //
	CodeUnknownCred         Code = "unknown_credential"    //
	CodeUnknownCampaign     Code = "unknown_campaign"      //
	CodeUnknownToken        Code = "unknown_token"         //
	CodeUnknownTransportKey Code = "unknown_transport_key" // for one batch
	CodeUnknownCert         Code = "unknown_cert"          // of a server
	CodeUnknownCA           Code = "unknown_ca"            // an issuing CA that is not trusted any more, or not yet there
	CodeUnknownServer       Code = "unknown_appserver"     //
	CodeTokenUsed           Code = "token_used"            // the one-time token was used with another key
	CodeUnknownSession      Code = "unknown_session"       // the relay session has ended or never was: start again
	CodeSessionReplaced     Code = "session_replaced"      // another onboarding of the same SIM took over
	CodeOutOfStep           Code = "out_of_step"           // answers for a step that is not the current one
	CodeSIMSuspended        Code = "sim_suspended"         //
	CodeSIMTerminated       Code = "sim_terminated"        //
	CodeReenrolment         Code = "reenrolment_denied"    // the SIM's credential was revoked and the fleet allows no new one
	CodeLineage             Code = "lineage_broken"        // the SIM does not hold the key of the credential that has ended
	CodeKeyTooOld           Code = "key_too_old"           // the key was certified for as long as its fleet allows: a new one is wanted
	CodeCardNotGenuine      Code = "card_not_genuine"      // the card does not hold the keys of this SIM, or its answers were altered
	CodeCardRefused         Code = "card_refused"          // the card refused a command
	CodeCardMisbehaved      Code = "card_misbehaved"       // the card answered something that cannot be true
	CodeTrialFailed         Code = "trial_failed"          // the new credential did not work yet: the SIM goes on with the one it has
	CodeFeedHistory         Code = "feed_history"          // the position is not in this platform's history: take the state anew
	CodeKeyReused           Code = "key_reused"            // the idempotency key names another request
	CodeInProgress          Code = "in_progress"           // the first request under the idempotency key has not ended yet
	CodeConflict            Code = "conflict"              // the state does not allow this
	CodeAlreadyExists       Code = "already_exists"        //
	CodeTooLarge            Code = "too_large"             //
	CodeTooManyRequests     Code = "too_many_requests"     //
	CodeOutcomeUnknown      Code = "outcome_unknown"       // whether the change was made is not known: look
	CodeInternal            Code = "internal"              //
)

// Error is a refusal by the platform (RFC 9457).
type Error struct {
	Status     int           `json:"status"`
	Title      string        `json:"title"`
	Code       Code          `json:"code"`
	Detail     string        `json:"detail,omitempty"`
	RequestID  string        `json:"request_id,omitempty"`
	RetryAfter time.Duration `json:"-"` // from the Retry-After header; 0 if absent
	// Authenticate is the way to identify oneself that a 401 asks for, in the WWW-Authenticate
	// header; empty is Bearer.
	Authenticate string `json:"-"`
}

func (e *Error) Error() string {
	text := e.Detail
	if text == "" {
		text = e.Title
	}
	if e.RequestID != "" {
		return fmt.Sprintf("platform: %s (%s, request %s)", text, e.Code, e.RequestID)
	}
	return fmt.Sprintf("platform: %s (%s)", text, e.Code)
}

// HasCode tells whether err is, or wraps, a refusal with the given code.
func HasCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
