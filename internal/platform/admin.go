package platform

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

// Paths of the listener for those who run the platform.
const (
	pathMetrics = "/metrics" // Prometheus
	pathHealth  = "/healthz" // 200 while the process works at all
	pathReady   = "/readyz"  // 200 if everything is there that requests need, else 503
)

// readyTimeout bounds the checks of readiness.
const readyTimeout = 5 * time.Second

// readiness is the answer to pathReady. Why a check failed is in the log.
type readiness struct {
	Ready  bool            `json:"ready"`
	Checks map[string]bool `json:"checks"`
}

// checks are what the platform cannot work without.
func (p *Platform) checks() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"store": func(ctx context.Context) error {
			return p.store.Update(ctx, func(tx store.Tx) error {
				return tx.SetSetting("ready", p.options.Clock().UTC().Format(time.RFC3339))
			})
		},
		"ca": func(context.Context) error { return p.authority.Check(p.options.Clock()) },
		"kek": func(ctx context.Context) error {
			sealed, err := p.secrets.envelope.Seal(ctx, "ready", []byte("ready"))
			if err == nil {
				_, err = p.secrets.envelope.Open(ctx, "ready", sealed)
			}
			return err
		},
	}
}

// ready carries the checks out.
func (p *Platform) ready(ctx context.Context) readiness {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	r := readiness{Ready: true, Checks: map[string]bool{}}
	for name, check := range p.checks() {
		err := check(ctx)
		r.Checks[name] = err == nil
		if err != nil {
			r.Ready = false
			p.options.Log.ErrorContext(ctx, "the platform is not ready", "check", name, "error", err)
		}
	}
	return r
}

// ServeAdmin serves metrics, health and readiness on l, in clear and to everybody who reaches it,
// until ctx ends: l belongs on loopback or on a network of those who run the platform.
func (p *Platform) ServeAdmin(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET "+pathMetrics, p.metrics.Handler())
	mux.HandleFunc("GET "+pathHealth, func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	turn := make(chan struct{}, 1) // one at a time: a check writes
	mux.HandleFunc("GET "+pathReady, func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-r.Context().Done():
			return
		}
		answer, status := p.ready(r.Context()), http.StatusOK
		if !answer.Ready {
			status = http.StatusServiceUnavailable
		}
		answerJSON(w, status, answer)
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(p.options.Log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who is gone needs no answer
}
