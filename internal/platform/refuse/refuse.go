// Package refuse makes the one error type that crosses the platform's internal
// boundaries: [api.Error], a refusal that the outside may read. Every other error is
// internal, and only the edge turns it into an answer that says nothing of what is inside.
package refuse

import (
	"fmt"
	"net/http"

	"github.com/simroot/simroot/api"
)

// With is a refusal with the given code, HTTP status and detail. The detail says what is
// wrong and what to do next, and holds no secret.
func With(code api.Code, status int, format string, args ...any) *api.Error {
	return &api.Error{Code: code, Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// BadRequest refuses a request that can never be carried out as it stands.
func BadRequest(format string, args ...any) *api.Error {
	return With(api.CodeBadRequest, http.StatusBadRequest, format, args...)
}

// Conflict refuses what the present state does not allow.
func Conflict(format string, args ...any) *api.Error {
	return With(api.CodeConflict, http.StatusConflict, format, args...)
}

// UnknownSIM says that no batch with this ICCID was imported.
func UnknownSIM(iccid string) *api.Error {
	return With(api.CodeUnknownSIM, http.StatusNotFound, "no SIM with ICCID %s is known: import the batch that holds it", iccid)
}

// UnknownFleet says that there is no fleet of this name.
func UnknownFleet(name string) *api.Error {
	return With(api.CodeUnknownFleet, http.StatusNotFound, "there is no fleet %q: create it first", name)
}

// UnknownCredential says that there is no credential with this identifier.
func UnknownCredential(id string) *api.Error {
	return With(api.CodeUnknownCred, http.StatusNotFound, "there is no credential %q", id)
}

// UnknownCampaign says that there is no campaign with this identifier.
func UnknownCampaign(id string) *api.Error {
	return With(api.CodeUnknownCampaign, http.StatusNotFound, "there is no campaign %q", id)
}

// Suspended refuses a step of a SIM that is suspended.
func Suspended(iccid string) *api.Error {
	return With(api.CodeSIMSuspended, http.StatusForbidden, "SIM %s is suspended: resume it first", iccid)
}

// Terminated refuses a step of a SIM whose life has ended.
func Terminated(iccid string) *api.Error {
	return With(api.CodeSIMTerminated, http.StatusForbidden, "SIM %s is terminated: it can never be used again", iccid)
}
