package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/limit"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// Limits bound what may be asked without a token, and with a wrong one. Zero rates do not limit.
type Limits struct {
	// SIM is how often onboardings of one SIM may begin.
	SIM limit.Rate
	// Address is how often one IPv4 address, or one /64 of IPv6, may come. Behind one address there may
	// be many devices.
	Address limit.Rate
	// Total is how often all together may come.
	Total limit.Rate
	// TrustedProxies are believed what they say in X-Forwarded-For of who comes through them.
	TrustedProxies []netip.Prefix
}

// DefaultLimits are for one node.
func DefaultLimits() Limits {
	return Limits{
		SIM:     limit.Rate{PerSecond: 0.1, Burst: 20},
		Address: limit.Rate{PerSecond: 200, Burst: 2000},
		Total:   limit.Rate{PerSecond: 5000, Burst: 10_000},
	}
}

type limiters struct {
	proxies []netip.Prefix
	sim     *limit.Limiter[string]
	address *limit.Limiter[netip.Prefix]
	total   *limit.Limiter[struct{}]
}

func newLimiters(l Limits) limiters {
	return limiters{l.TrustedProxies, limit.New[string](l.SIM), limit.New[netip.Prefix](l.Address), limit.New[struct{}](l.Total)}
}

// client is the address that a request comes from. Of X-Forwarded-For counts what stands last, but for
// the proxies that are trusted: anybody can write what stands before.
func (l *limiters) client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(l.proxies, func(p netip.Prefix) bool { return p.Contains(from.WithZone("")) }) {
			break
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		from = next.Unmap()
	}
	return from
}

// admit lets a request without a good token in, or refuses it.
func (s *Server) admit(r *http.Request, now time.Time) error {
	if wait := s.limits.address.Take(limit.Network(s.limits.client(r)), now); wait > 0 {
		return s.tooMany("address", "too many requests from this address", wait)
	}
	if wait := s.limits.total.Take(struct{}{}, now); wait > 0 {
		return s.tooMany("total", "the platform has too much to do", wait)
	}
	return nil
}

// admitSIM lets an onboarding of a SIM begin, or refuses it.
func (s *Server) admitSIM(iccid string) error {
	if wait := s.limits.sim.Take(iccid, time.Now()); wait > 0 {
		return s.tooMany("sim", "this SIM is onboarded again and again", wait)
	}
	return nil
}

func (s *Server) tooMany(by, what string, wait time.Duration) error {
	s.watch.Limited(by)
	e := refuse.With(api.CodeTooManyRequests, http.StatusTooManyRequests, "%s: come again in %s", what, (wait + time.Second - 1).Truncate(time.Second))
	e.RetryAfter = wait
	return e
}

// limited lets requests pass that take no token.
func (s *Server) limited(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if err := s.admit(r, time.Now()); err != nil {
		s.refuse(w, r, err)
		return
	}
	next(ctx)
}

// guessed counts a request with a wrong token or certificate like one without, so that guessing is no use.
func (s *Server) guessed(r *http.Request, refusal error) error {
	if !api.HasCode(refusal, api.CodeUnauthorized) {
		return refusal
	}
	if err := s.admit(r, time.Now()); err != nil {
		return err
	}
	return refusal
}
