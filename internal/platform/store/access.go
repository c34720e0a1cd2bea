package store

import (
	"time"

	"github.com/simroot/simroot/api"
)

// Token is the row of a token.
type Token struct {
	api.Token
	Hash       [32]byte // SHA-256 of the secret
	SealingKey []byte
	Withdrawn  time.Time // zero: it was not
}

// Tokens are the rows of tokens, by ID.
type Tokens interface {
	InsertToken(Token) error // ErrExists
	Token(id string) (Token, error)
	TokenByHash(hash [32]byte) (Token, error)
	// ListTokens leaves out those that were withdrawn.
	ListTokens(after string, limit int) ([]Token, error)
	// WithdrawToken sets Withdrawn.
	WithdrawToken(id string, at time.Time) error
}

// AppServer is the row of an application server.
type AppServer struct {
	api.AppServer
	Invitation [32]byte // SHA-256 of the one-time token
	PublicKey  []byte   // SubjectPublicKeyInfo in DER, once it has registered
	SealingKey []byte
	Withdrawn  time.Time // zero: it was not
}

// AppServerCertificate is the row of a certificate that an application server was given.
type AppServerCertificate struct {
	Serial    string // hexadecimal
	AppServer string // its ID
	NotAfter  time.Time
}

// AppServers are the rows of application servers, by ID.
type AppServers interface {
	InsertAppServer(AppServer) error // ErrExists
	AppServer(id string) (AppServer, error)
	AppServerByInvitation(hash [32]byte) (AppServer, error)
	// ListAppServers leaves out those that were withdrawn.
	ListAppServers(after string, limit int) ([]AppServer, error)
	// UpdateAppServer changes PublicKey, SealingKey, Registered, NotAfter and Withdrawn.
	UpdateAppServer(AppServer) error

	InsertAppServerCertificate(AppServerCertificate) error // ErrExists
	// AppServerCertificates returns those of an application server that have not expired at now, those
	// that end first before the others.
	AppServerCertificates(id string, now time.Time) ([]AppServerCertificate, error)
}

// Answer is what a request with an idempotency key was answered.
type Answer struct {
	Principal, Key string
	Request        [32]byte // SHA-256 of the request
	Answer         []byte   // in an envelope
	Expires        time.Time
}

// Answers are the rows of answers, by principal and key.
type Answers interface {
	InsertAnswer(Answer) error // ErrExists
	Answer(principal, key string) (Answer, error)
	// ForgetAnswers removes up to limit answers that have expired at now, and tells how many.
	ForgetAnswers(now time.Time, limit int) (int64, error)
}
