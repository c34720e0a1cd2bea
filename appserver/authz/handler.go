package authz

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/simroot/simroot/appserver"
)

// The paths of the contract.
const (
	PathForward   = "/forward-auth" // any method; the question is in headers
	PathAuthorise = "/authorise"    // POST JSON; what EMQX understands as well
	PathVerneMQ   = "/vernemq"      // POST; the webhook auth_on_register
)

// Options configures [New].
type Options struct {
	// Middleware tells what is accepted.
	Middleware *appserver.Middleware
	// Token, if not empty, must come with every request, as a bearer token.
	Token string
	// Rate is how many questions are answered in a second, over all; 0: 10000. What comes faster is denied.
	Rate int

	Logger *slog.Logger // nil: [slog.Default]
}

// Handler answers.
type Handler struct {
	m      *appserver.Middleware
	token  [sha256.Size]byte
	open   bool // no token is wanted
	bucket bucket
	log    *slog.Logger
	mux    *http.ServeMux
}

// New returns a handler for the paths of the contract.
func New(o Options) (*Handler, error) {
	if o.Middleware == nil {
		return nil, errors.New("authz: Options need Middleware")
	}
	if o.Rate < 0 {
		return nil, errors.New("authz: Options.Rate cannot be negative")
	}
	if o.Rate == 0 {
		o.Rate = 10000
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &Handler{m: o.Middleware, open: o.Token == "", token: sha256.Sum256([]byte(o.Token)), log: o.Logger, mux: http.NewServeMux()}
	h.bucket.rate = float64(o.Rate)
	h.mux.HandleFunc(PathForward, h.forward)
	h.mux.HandleFunc("POST "+PathAuthorise, h.authorise)
	h.mux.HandleFunc("POST "+PathVerneMQ, h.vernemq)
	return h, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(given))
	if !h.open && subtle.ConstantTimeCompare(sum[:], h.token[:]) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "who asks must send the token of this endpoint", http.StatusUnauthorized)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// answer asks the middleware, within the rate.
func (h *Handler) answer(q question, malformed error) (appserver.Identity, error) {
	if !h.bucket.take() {
		return appserver.Identity{}, errBusy
	}
	if malformed != nil {
		return appserver.Identity{}, malformed
	}
	return q.ask(h.m)
}

// said logs a denial. What strangers send is not in it, and they do not fill the log.
func (h *Handler) said(path string, id appserver.Identity, err error) {
	level := slog.LevelInfo
	if id.ICCID == "" {
		level = slog.LevelDebug
	}
	h.log.Log(context.Background(), level, "denied", "path", path, "iccid", id.ICCID, "credential", id.Credential, "reason", reason(err))
}

// The headers of a question and its answer.
const (
	HeaderCertificate = "X-SSL-Client-Cert"           // PEM, URL-encoded: nginx's $ssl_client_escaped_cert
	HeaderTraefik     = "X-Forwarded-Tls-Client-Cert" // DER in base64, URL-encoded or not: Traefik's passTLSClientCert
	HeaderSHA256      = "X-SSL-Client-SHA256"
	HeaderSerial      = "X-SSL-Client-Serial"
	HeaderVerify      = "X-SSL-Client-Verify" // if it is there it must be SUCCESS: nginx's $ssl_client_verify

	HeaderICCID      = "Simroot-ICCID"
	HeaderFleet      = "Simroot-Fleet"
	HeaderCredential = "Simroot-Credential"
	HeaderReason     = "Simroot-Reason"
)

// forward answers with 204 and headers, or 403.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request) {
	q, malformed := headerQuestion(r.Header)
	id, err := h.answer(q, malformed)
	if err != nil {
		h.said(PathForward, id, err)
		w.Header().Set(HeaderReason, reason(err))
		text := "denied"
		if errors.Is(err, errMalformed) {
			text = err.Error() // to who has configured the server in front
		}
		http.Error(w, text, http.StatusForbidden)
		return
	}
	w.Header().Set(HeaderICCID, id.ICCID)
	w.Header().Set(HeaderFleet, id.Fleet)
	w.Header().Set(HeaderCredential, id.Credential)
	w.WriteHeader(http.StatusNoContent)
}

// headerQuestion reads the question of forward authentication.
func headerQuestion(header http.Header) (q question, err error) {
	one := func(name string) string {
		values := header.Values(name)
		if len(values) > 1 && err == nil {
			err = fmt.Errorf("%w: %s comes more than once", errMalformed, name)
		}
		if len(values) == 0 {
			return ""
		}
		return values[0]
	}
	certificate, traefik := one(HeaderCertificate), one(HeaderTraefik)
	q = question{SHA256: one(HeaderSHA256), Serial: one(HeaderSerial)}
	if verify := one(HeaderVerify); verify != "" && verify != "SUCCESS" && err == nil {
		err = fmt.Errorf("%w: the server in front has not verified the certificate", appserver.ErrUnknown)
	}
	if certificate != "" && traefik != "" && err == nil {
		err = fmt.Errorf("%w: two certificates", errMalformed)
	}
	if text := certificate + traefik; text != "" && err == nil {
		if len(text) > maxCertificate {
			return q, fmt.Errorf("%w: the certificate has more than %d bytes", errMalformed, maxCertificate)
		}
		if q.Certificate, err = url.PathUnescape(text); err != nil { // where + stays +
			return q, fmt.Errorf("%w: the certificate is not URL-encoded", errMalformed)
		}
	}
	return q, err
}

// maxBody bounds a question in JSON, in bytes.
const maxBody = 2 * maxCertificate

// verdict is the answer in JSON. A denial is one of 200, for to EMQX any other code means that
// somebody else is to decide.
type verdict struct {
	Result     string            `json:"result"` // allow or deny
	Reason     string            `json:"reason,omitempty"`
	Superuser  bool              `json:"is_superuser"`
	Attributes map[string]string `json:"client_attrs,omitempty"`
	ExpireAt   int64             `json:"expire_at,omitempty"` // seconds since 1970
}

func (h *Handler) authorise(w http.ResponseWriter, r *http.Request) {
	var q question
	id, err := h.answer(q.read(w, r))
	if err != nil {
		h.said(PathAuthorise, id, err)
		write(w, verdict{Result: "deny", Reason: reason(err)})
		return
	}
	v := verdict{Result: "allow", Attributes: map[string]string{"iccid": id.ICCID, "fleet": id.Fleet, "credential": id.Credential}}
	if !id.NotAfter.IsZero() {
		v.ExpireAt = id.NotAfter.Unix()
	}
	write(w, v)
}

func (q question) read(w http.ResponseWriter, r *http.Request) (question, error) {
	err := readJSON(w, r, &q)
	return q, err
}

func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: want JSON of at most %d bytes", errMalformed, maxBody)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: want one JSON value", errMalformed)
	}
	return nil
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // who asked has gone
}

// vernemq answers the hooks auth_on_register and auth_on_register_m5. The user name is what the broker takes
// from the certificate (use_identity_as_username), which is the ICCID.
func (h *Handler) vernemq(w http.ResponseWriter, r *http.Request) {
	var hook struct {
		Username string `json:"username"`
	}
	err := readJSON(w, r, &hook)
	if name := r.Header.Get("Vernemq-Hook"); err == nil && name != "auth_on_register" && name != "auth_on_register_m5" {
		err = fmt.Errorf("%w: this answers the hook auth_on_register only", errMalformed)
	}
	id, err := h.answer(question{ICCID: hook.Username}, err)
	if err != nil {
		h.said(PathVerneMQ, id, err)
		write(w, map[string]any{"result": map[string]string{"error": "not_allowed"}})
		return
	}
	write(w, map[string]string{"result": "ok"})
}
