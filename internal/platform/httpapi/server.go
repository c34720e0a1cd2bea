package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// How long a client may take. A feed and a batch have no limit as a whole, but each of
// their parts must come across in readTimeout or writeTimeout.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = time.Minute
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 10 * time.Second // requests under way at shutdown
	maxHeader     = 16 << 10
)

// Server serves the contract.
type Server struct {
	services Services
	limits   limiters
	watch    Watch
	log      *slog.Logger
	api      huma.API
	handler  http.Handler

	serving context.Context // ends when the feeds must
	stop    context.CancelFunc
}

// New returns a server that writes its request log to log.
func New(services Services, log *slog.Logger) (*Server, error) {
	mux := http.NewServeMux()
	s := &Server{services: services, limits: newLimiters(services.Limits), watch: services.Watch, log: log, api: newAPI(mux)}
	if s.watch == nil {
		s.watch = nobody{}
	}
	s.serving, s.stop = context.WithCancel(context.Background())
	s.addRelay()
	s.addEST()
	s.addFeed()
	s.addFleets()
	s.addTransportKeys()
	s.addSIMs()
	s.addCredentials()
	s.addCampaigns()
	s.addTrust()
	s.addRevocation()
	s.addServers()
	s.addRollover()
	s.addAccess()
	s.addAppServers()
	if err := s.addPlatform(); err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, refuse.With(api.CodeBadRequest, http.StatusNotFound, "there is no such operation: %s describes those that there are", api.PathOpenAPI))
	})
	s.handler = s.logged(plainOCSP(mux))
	return s, nil
}

// Handler is the contract as a handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers requests on l over TLS 1.2 or later until ctx ends. Then it ends the feeds at once, lets
// other requests under way finish for a while, and returns nil if they did.
func (s *Server) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	server := s.server(s.handler)
	server.TLSConfig = config
	return s.serve(ctx, server, func() error { return server.ServeTLS(l, "", "") })
}

// ServePlain answers requests on l without TLS until ctx ends, those that need none: see [Server.Plain].
func (s *Server) ServePlain(ctx context.Context, l net.Listener) error {
	server := s.server(s.Plain())
	return s.serve(ctx, server, func() error { return server.Serve(l) })
}

func (s *Server) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// Failed handshakes and the like: anyone can cause them.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// serve runs a server until ctx ends.
func (s *Server) serve(ctx context.Context, server *http.Server, run func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- run() }()
	select {
	case err := <-failed:
		s.stop()
		return err
	case <-ctx.Done():
	}
	s.stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := server.Shutdown(drain)
	if err != nil {
		err = fmt.Errorf("requests were still under way %s after the end: %w", drainTimeout, errors.Join(err, server.Close()))
	}
	<-failed
	return err
}
