package est

import (
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// Of TLS 1.3 connections (RFC 9266, 2).
const (
	exporterLabel  = "EXPORTER-Channel-Binding"
	exporterLength = 32
)

// binding is the text by which a request proves that it was made for this connection, as
// challengePassword (RFC 7030, 3.5): the base64 of tls-unique (RFC 5929, 3), or of
// tls-exporter where TLS 1.3 has no tls-unique. Empty if the connection has none.
func binding(connection *tls.ConnectionState) string {
	if connection == nil {
		return ""
	}
	value := connection.TLSUnique
	if connection.Version >= tls.VersionTLS13 {
		var err error
		if value, err = connection.ExportKeyingMaterial(exporterLabel, nil, exporterLength); err != nil {
			return ""
		}
	}
	return base64.StdEncoding.EncodeToString(value)
}

// bound checks the channel binding of a request.
func (r *request) bound(connection *tls.ConnectionState, policy api.EST) error {
	if r.challenge == nil {
		if policy.RequireChannelBinding {
			return refuse.BadRequest("csr.challengePassword: this fleet requires the channel binding (RFC 7030, 3.5): tls-unique of the connection in TLS 1.2, tls-exporter (RFC 9266) in TLS 1.3, in base64")
		}
		return nil
	}
	want := binding(connection)
	if want == "" {
		return refuse.BadRequest("csr.challengePassword: this connection has no channel binding, perhaps because it was resumed: connect anew, or leave it out")
	}
	if subtle.ConstantTimeCompare([]byte(*r.challenge), []byte(want)) != 1 {
		return refuse.BadRequest("csr.challengePassword: it is not the channel binding of this connection (tls-unique in TLS 1.2, tls-exporter in TLS 1.3, in base64): make the request after the handshake, on the connection that it is sent on")
	}
	return nil
}
