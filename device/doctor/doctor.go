// Package doctor finds out why a device cannot use its SIM. It walks the chain from the port
// to the handshake, link by link, and stops at the first that is broken: it tells what it
// saw there, what that means, and what to do.
//
//	report := doctor.Examine(ctx, doctor.Options{Open: open, Card: "modem:/dev/ttyUSB2"})
//	report.Write(os.Stdout)
//
// It changes nothing on the SIM, and asks it for no more than one signature, or one master
// secret, that nobody else gets to see.
package doctor

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/iotsafe"
)

// Options say what to examine.
type Options struct {
	Card string // the card's URI, for words and advice
	Open func(context.Context) (card.Conn, error)
	AIDs [][]byte // to look for the applet under; nil: the known ones

	// Record, if not nil, is given the opened card, and returns what is used in its place.
	Record func(card.Conn) (card.Conn, error)

	Platform      string         // URL; empty: it is left out
	PlatformRoots *x509.CertPool // nil: those of the system
	Server        string         // HOST:PORT; empty: it is left out
	ServerRoots   *x509.CertPool // nil: the anchors on the SIM, or those of the system
	Identity      string         // of the SIM's PSK; empty: the one that the SIM names

	Now func() time.Time // the device's clock; nil: time.Now

	// Progress, if not nil, is told which link is examined next: at of total, from 0.
	Progress func(link string, at, total int)
}

// State is what became of a link.
type State string

// The states.
const (
	Good     State = "good"
	Broken   State = "broken"    // the first one, at which the walk stopped
	NotTried State = "not tried" // behind the broken one
	LeftOut  State = "left out"  // nobody asked for it
)

// Finding is what was found at one link.
type Finding struct {
	Link  string `json:"link"`
	State State  `json:"state"`
	Saw   string `json:"saw,omitempty"`   // what was there
	Means string `json:"means,omitempty"` // of a broken link: what it means
	Do    string `json:"do,omitempty"`    // and what to do
}

// Report is what was found at all links, in the order of the chain.
type Report struct {
	Good  bool      `json:"good"` // no link is broken
	Links []Finding `json:"links"`
}

// Broken is the broken link, nil if there is none.
func (r Report) Broken() *Finding {
	for n := range r.Links {
		if r.Links[n].State == Broken {
			return &r.Links[n]
		}
	}
	return nil
}

// link is one link of the chain, and how to examine it.
type link struct {
	name  string
	check func(context.Context, *patient) Finding
}

// Names of links that errors are sorted to.
const (
	linkPort  = "port"
	linkModem = "modem/reader"
	linkSIM   = "SIM"
)

// chain is all there is between a program and a handshake, nearest first.
var chain = []link{
	{linkPort, port},
	{linkModem, modemOrReader},
	{linkSIM, sim},
	{"channel", channel},
	{"AID", aid},
	{"applet", applet},
	{"objects", objects},
	{"certificate", certificate},
	{"platform", platform},
	{"clock", clock},
	{"server", server},
	{"handshake", handshake},
}

// linkTime bounds the examination of one link. The slowest is a modem that has to be found.
const linkTime = 2 * time.Minute

// Examine walks the chain.
func Examine(ctx context.Context, o Options) Report {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AIDs == nil {
		o.AIDs = iotsafe.AIDs
	}
	p := &patient{Options: o}
	defer p.close()
	r := Report{Good: true}
	for at, l := range chain {
		if !r.Good {
			r.Links = append(r.Links, Finding{Link: l.name, State: NotTried})
			continue
		}
		if o.Progress != nil {
			o.Progress(l.name, at, len(chain))
		}
		bounded, cancel := context.WithTimeout(ctx, linkTime)
		f := l.check(bounded, p)
		cancel()
		f.Link = l.name
		r.Good = f.State != Broken
		r.Links = append(r.Links, f)
	}
	return r
}

// patient is what is known so far.
type patient struct {
	Options

	card    card.Conn
	raw     card.Conn // the same without a recorder
	failure error     // of opening it, for the link that it belongs to

	iccid   card.ICCID
	channel int
	opened  bool // the channel, by us
	aid     []byte
	applet  *iotsafe.Applet
	typeII  bool

	device     *device.Device
	credential *device.Credential // of a Type I SIM
	identity   string             // of a Type II SIM's PSK; empty if nobody names it

	asked *platformAnswer // nil: not asked yet
}

func (p *patient) close() {
	p.closeChannel()
	switch {
	case p.device != nil:
		_ = p.device.Close() // with the card
	case p.card != nil:
		_ = p.card.Close()
	}
}

func (p *patient) closeChannel() {
	if p.opened {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = card.CloseChannel(ctx, p.card, p.channel)
		p.opened = false
	}
}

// modem is the modem that the card is in, nil if there is none.
func (p *patient) modem() *modem.Card {
	m, _ := p.raw.(*modem.Card)
	return m
}

func good(saw string) Finding { return Finding{State: Good, Saw: saw} }

func leftOut(saw string) Finding { return Finding{State: LeftOut, Saw: saw} }

func broken(saw, means, do string) Finding {
	return Finding{State: Broken, Saw: saw, Means: means, Do: do}
}

// failed is a link that broke with an error. If the error is a known one, that says what it
// means; otherwise the words given here do.
func failed(err error, means, do string) Finding {
	if c := causeOf(err); c != nil {
		means, do = c.means, c.do
	}
	return broken(err.Error(), means, do)
}
