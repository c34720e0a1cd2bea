package natscallout

import (
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/simroot/simroot/appserver"
)

// What ADR-26 calls things.
const (
	requestSubject  = "$SYS.REQ.USER.AUTH"
	requestAudience = "nats-authorization-request"
	curveHeader     = "Nats-Server-Xkey"
)

// refusal is what the server is told, and logs. Why, is in our own log: what a server tells its client is not
// ours to say.
const refusal = "not a SIM that is let in"

// take answers a request. One that cannot be read is not answered: the server refuses the client when it has
// waited long enough.
func (c *Callout) take(message *nats.Msg) {
	request, server, err := c.open(message)
	if err != nil {
		c.log.Error("a request of NATS cannot be read: do server and callout have the same configuration?", "error", err)
		return
	}
	response := jwt.NewAuthorizationResponseClaims(request.UserNkey)
	response.Audience = request.Server.ID
	id, err := c.admit(request)
	if err == nil {
		response.Jwt, err = c.user(request.UserNkey, id)
	}
	if err != nil {
		response.Error = refusal
		c.log.Info("refused", "client", request.ClientInformation.Host, "name", request.ConnectOptions.Name, "reason", err)
	}
	answer, err := response.Encode(c.issuer)
	sealed := []byte(answer)
	if err == nil && server != "" {
		sealed, err = c.curve.Seal(sealed, server)
	}
	if err == nil {
		err = message.Respond(sealed)
	}
	if err != nil {
		c.log.Error("a request of NATS could not be answered", "error", err)
	}
}

// open decrypts and reads a request. Server is the key that the answer is to be encrypted to.
func (c *Callout) open(message *nats.Msg) (request *jwt.AuthorizationRequestClaims, server string, err error) {
	server = message.Header.Get(curveHeader)
	if server == "" {
		return nil, "", errors.New("it is not encrypted: xkey is missing in the server's auth_callout")
	}
	content, err := c.curve.Open(message.Data, server)
	if err != nil {
		return nil, "", errors.New("it is encrypted to another key than " + curveFile)
	}
	request, err = jwt.DecodeAuthorizationRequestClaims(string(content))
	switch {
	case err != nil:
		return nil, "", err
	case request.Audience != requestAudience || !nkeys.IsValidPublicUserKey(request.UserNkey) || !nkeys.IsValidPublicServerKey(request.Server.ID):
		return nil, "", errors.New("it is no authorization request of a server")
	case request.Issuer != request.Server.ID:
		return nil, "", errors.New("it is signed by another server than it names")
	case request.Expires != 0 && time.Now().Unix() > request.Expires+int64(maxClockSkew/time.Second):
		return nil, "", errors.New("it has expired: is the clock of the server right?")
	}
	return request, server, nil
}

// maxClockSkew is how much the clocks of server and callout may differ.
const maxClockSkew = time.Minute

// admit decides on a request, and tracks the session if it is let in.
func (c *Callout) admit(request *jwt.AuthorizationRequestClaims) (appserver.Identity, error) {
	print, err := fingerprint(request.TLS)
	if err != nil {
		return appserver.Identity{}, err
	}
	name := session{request.Server.ID, request.ClientInformation.ID}
	id, err := c.m.Lookup(print)
	if errors.Is(err, appserver.ErrSuperseded) && c.sessions.known(name) == print {
		err = nil // the server has read its files again, and asks about all sessions; this one lives on
	}
	if err == nil {
		err = c.sessions.begin(name, print)
	} else if id.ICCID != "" {
		err = fmt.Errorf("SIM %s, credential %s: %w", id.ICCID, id.Credential, err)
	}
	return id, err
}

// fingerprint is that of the client's certificate.
func fingerprint(state *jwt.ClientTLS) (appserver.Fingerprint, error) {
	switch {
	case state == nil:
		return appserver.Fingerprint{}, errors.New("it has come without TLS")
	case len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0:
		return appserver.Fingerprint{}, errors.New("the server has not verified a certificate: its tls section needs verify: true")
	}
	block, _ := pem.Decode([]byte(state.VerifiedChains[0][0]))
	if block == nil || block.Type != "CERTIFICATE" {
		return appserver.Fingerprint{}, errors.New("its certificate cannot be read")
	}
	return sha256.Sum256(block.Bytes), nil
}

// user is what a SIM may do, until its credential ends.
func (c *Callout) user(key string, id appserver.Identity) (string, error) {
	u := jwt.NewUserClaims(key)
	u.Audience = c.account // and no name: those of a name that its configuration does not have, NATS closes when it reads that again
	if !id.NotAfter.IsZero() {
		u.Expires = id.NotAfter.Unix()
	}
	u.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket, jwt.ConnectionTypeMqtt, jwt.ConnectionTypeMqttWS}
	u.Permissions = jwt.Permissions{
		Pub:  permission(fill(c.permissions.Publish, id)),
		Sub:  permission(fill(c.permissions.Subscribe, id)),
		Resp: &jwt.ResponsePermission{MaxMsgs: 1, Expires: answerTime},
	}
	results := jwt.CreateValidationResults()
	u.Validate(results)
	if errs := results.Errors(); len(errs) > 0 {
		return "", fmt.Errorf("SIM %s: %w", id.ICCID, errors.Join(errs...))
	}
	return u.Encode(c.issuer)
}

// answerTime is how long a device may take to answer a request that it hears.
const answerTime = time.Minute

// permission allows the subjects, and nothing if there are none: to NATS an empty list allows
// everything.
func permission(subjects []string) jwt.Permission {
	if len(subjects) == 0 {
		return jwt.Permission{Deny: jwt.StringList{">"}}
	}
	return jwt.Permission{Allow: subjects}
}
