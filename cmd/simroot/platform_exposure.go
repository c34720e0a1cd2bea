package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/internal/platform"
	"github.com/simroot/simroot/internal/platform/httpapi"
	"github.com/simroot/simroot/internal/platform/limit"
)

// exposure is how a platform shows itself to those who run it, and what it takes from strangers.
type exposure struct {
	admin, log     string
	limits         map[string]string
	trustedProxies []string
}

func addExposure(c *cobra.Command) *exposure {
	e := &exposure{}
	flags := c.Flags()
	flags.StringVar(&e.admin, "admin", "", "address for metrics, health and readiness, in clear; off for none (default loopback, the port 1000 above that of --listen)")
	flags.StringVar(&e.log, "log", "text", "form of the log on standard error: text or json")
	flags.StringToStringVar(&e.limits, "limit", nil, "bound requests without a token: sim, address or total=PER-SECOND/BURST, or =off; may be repeated (default sim=0.1/20,address=200/2000,total=5000/10000)")
	flags.StringSliceVar(&e.trustedProxies, "trusted-proxy", nil, "address or network whose X-Forwarded-For is believed; may be repeated")
	return e
}

// set fills in the options of a platform.
func (e *exposure) set(o *platform.Options) error {
	switch e.log {
	case "text":
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	case "json":
		o.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	default:
		return wrongUsage("--log %q: want text or json", e.log)
	}
	limits := httpapi.DefaultLimits()
	for name, text := range e.limits {
		rate, err := parseRate(text)
		if err != nil {
			return wrongUsage("--limit %s=%s: %v", name, text, err)
		}
		switch name {
		case "sim":
			limits.SIM = rate
		case "address":
			limits.Address = rate
		case "total":
			limits.Total = rate
		default:
			return wrongUsage("--limit %s: want sim, address or total", name)
		}
	}
	for _, text := range e.trustedProxies {
		network, err := netip.ParsePrefix(text)
		if address, wrong := netip.ParseAddr(text); wrong == nil {
			network, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return wrongUsage("--trusted-proxy %q: want an address or a network such as 10.0.0.0/8", text)
		}
		limits.TrustedProxies = append(limits.TrustedProxies, network.Masked())
	}
	o.Limits = &limits
	return nil
}

// parseRate reads PER-SECOND/BURST or off.
func parseRate(text string) (r limit.Rate, err error) {
	if text == "off" {
		return r, nil
	}
	rate, burst, ok := strings.Cut(text, "/")
	r.PerSecond, err = strconv.ParseFloat(rate, 64)
	if err == nil {
		r.Burst, err = strconv.Atoi(burst)
	}
	if !ok || err != nil || !(r.PerSecond > 0 && r.PerSecond <= 1e6) || r.Burst < 1 {
		return r, fmt.Errorf("want PER-SECOND/BURST such as 10/100, or off")
	}
	return r, nil
}

// listen opens the listener of those who run the platform, nil for none. Unless it was said, it is on
// loopback, 1000 above the port of the platform, and at any port if that is.
func (e *exposure) listen(at net.Addr, asked string) (net.Listener, error) {
	address := e.admin
	switch {
	case address == "off":
		return nil, nil
	case address == "":
		port := 0
		if tcp, ok := at.(*net.TCPAddr); ok && !strings.HasSuffix(asked, ":0") && tcp.Port+1000 <= 65535 {
			port = tcp.Port + 1000
		}
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	case strings.HasPrefix(address, ":"):
		address = "127.0.0.1" + address
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the listener for metrics and health: %w (choose another with --admin ADDR, or --admin off)", err)
	}
	return l, nil
}
