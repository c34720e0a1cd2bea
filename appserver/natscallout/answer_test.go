package natscallout

import (
	"log/slog"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/simroot/simroot/appserver"
)

// unconnected is a callout with keys, and nothing else.
func unconnected(t testing.TB) *Callout {
	t.Helper()
	dir := t.TempDir()
	if _, err := MakeKeys(dir); err != nil {
		t.Fatal(err)
	}
	c := &Callout{dir: dir, log: slog.New(slog.DiscardHandler)}
	if err := c.readKeys(); err != nil {
		t.Fatal(err)
	}
	return c
}

// asked is a request as a server makes it, and may be spoilt before it is signed.
func asked(t testing.TB, c *Callout, spoil func(*jwt.AuthorizationRequestClaims)) *nats.Msg {
	t.Helper()
	server, err := nkeys.CreateServer()
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	r := jwt.NewAuthorizationRequestClaims("A")
	r.Audience = requestAudience
	r.Server.ID, _ = server.PublicKey()
	r.UserNkey, _ = user.PublicKey()
	spoil(r)
	text, err := r.Encode(server)
	if err != nil {
		t.Fatal(err)
	}
	return seal(t, c, []byte(text))
}

// seal encrypts to the callout.
func seal(t testing.TB, c *Callout, content []byte) *nats.Msg {
	t.Helper()
	curve, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	to, _ := c.curve.PublicKey()
	from, _ := curve.PublicKey()
	sealed, err := curve.Seal(content, to)
	if err != nil {
		t.Fatal(err)
	}
	return &nats.Msg{Data: sealed, Header: nats.Header{curveHeader: {from}}}
}

func TestARequestThatIsNoServersIsNotTaken(t *testing.T) {
	c := unconnected(t)
	if _, _, err := c.open(asked(t, c, func(*jwt.AuthorizationRequestClaims) {})); err != nil {
		t.Fatalf("one that is: %v", err)
	}
	other, _ := nkeys.CreateServer()
	for name, message := range map[string]*nats.Msg{
		"for another audience":    asked(t, c, func(r *jwt.AuthorizationRequestClaims) { r.Audience = "x" }),
		"of another server":       asked(t, c, func(r *jwt.AuthorizationRequestClaims) { r.Server.ID, _ = other.PublicKey() }),
		"of no server":            asked(t, c, func(r *jwt.AuthorizationRequestClaims) { r.Server.ID = "x" }),
		"for no user":             asked(t, c, func(r *jwt.AuthorizationRequestClaims) { r.UserNkey = "x" }),
		"expired":                 asked(t, c, func(r *jwt.AuthorizationRequestClaims) { r.Expires = 1 }),
		"to another callout":      asked(t, unconnected(t), func(*jwt.AuthorizationRequestClaims) {}),
		"in plain":                {Data: []byte("eyJ")},
		"from a key that is none": {Data: make([]byte, 100), Header: nats.Header{curveHeader: {"X"}}},
	} {
		if _, _, err := c.open(message); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestNoPermissionIsNothingAndNotEverything(t *testing.T) {
	c := unconnected(t)
	c.permissions = Permissions{Publish: []string{"up"}}
	user, _ := nkeys.CreateUser()
	key, _ := user.PublicKey()
	text, err := c.user(key, appserver.Identity{ICCID: "8949000000000000001"})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(claims.Pub.Allow) != 1 || len(claims.Sub.Allow) != 0 || len(claims.Sub.Deny) != 1 || claims.Sub.Deny[0] != ">" {
		t.Errorf("permissions %+v", claims.Permissions)
	}
}

func TestAFleetWithADotIsOnePartOfASubject(t *testing.T) {
	got := fill([]string{"{fleet}.{iccid}.>"}, appserver.Identity{ICCID: "8949", Fleet: "a.b"})
	if got[0] != "a%2eb.8949.>" {
		t.Error(got)
	}
}

func TestSubjectsThatCannotBeAreRefused(t *testing.T) {
	for _, subject := range []string{"", "a..b", "a.>.b", "a b", "a.{imsi}", "a.b*", "{iccid", ".a", "a.{iccid}>"} {
		if (Permissions{Publish: []string{subject}}).Check() == nil {
			t.Errorf("%q is taken", subject)
		}
	}
	for _, subject := range []string{">", "a.*.{iccid}", "{fleet}.{iccid}.>", "_INBOX.{iccid}.>", "x-{iccid}"} {
		if err := (Permissions{Subscribe: []string{subject}}).Check(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	c := unconnected(f)
	f.Add([]byte("eyJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.x"), "X")
	f.Add([]byte("{}"), "")
	f.Fuzz(func(t *testing.T, content []byte, key string) {
		if _, _, err := c.open(&nats.Msg{Data: content, Header: nats.Header{curveHeader: {key}}}); err == nil {
			t.Error("taken, though nobody has sealed it")
		}
		if _, _, err := c.open(seal(t, c, content)); err == nil {
			t.Error("taken, though no server has signed it")
		}
	})
}
