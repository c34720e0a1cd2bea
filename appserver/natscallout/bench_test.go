package natscallout

import (
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/simroot/simroot/appserver"
)

// What a connection costs the callout beyond the look-up: a request is opened and read, a user and an answer
// are signed, and the answer is sealed.
func BenchmarkAnswer(b *testing.B) {
	c := unconnected(b)
	c.account, c.permissions = DefaultAccount, DefaultPermissions()
	message := asked(b, c, func(*jwt.AuthorizationRequestClaims) {})
	id := appserver.Identity{ICCID: "8949000000000000001", Fleet: "meters", NotAfter: time.Now().Add(time.Hour)}
	b.ReportAllocs()
	for b.Loop() {
		request, server, err := c.open(message)
		if err != nil {
			b.Fatal(err)
		}
		response := jwt.NewAuthorizationResponseClaims(request.UserNkey)
		response.Audience = request.Server.ID
		if response.Jwt, err = c.user(request.UserNkey, id); err != nil {
			b.Fatal(err)
		}
		text, err := response.Encode(c.issuer)
		if err == nil {
			_, err = c.curve.Seal([]byte(text), server)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
