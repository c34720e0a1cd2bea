package psktls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// DTLS is one side of a DTLS 1.2 connection (RFC 6347) with a pre-shared key, as a
// machine without input, output and clock: datagrams and the time go in, datagrams and
// the time of the next retransmission come out. Package psktls/dtls puts it on a network.
//
// It speaks the suites of TLS 1.2 that [Config] allows, and shares with TLS its messages,
// keys and what is said in the package comment. What is not authentic
// is thrown away silently, so that strangers cannot end a connection that is complete. A wrong
// key therefore shows as a handshake that nobody answers.
//
// A DTLS is not safe for concurrent use. An error of Start, Receive or Expire is the end
// of the connection; what Outgoing then has is still to be sent.
type DTLS struct {
	h      *handshake // its Conn holds only what was agreed on
	client bool
	state  dtlsState
	err    error

	mtu  int
	now  time.Time
	seq  [2]uint64 // of the next record to be sent, for each epoch
	out  [][]byte
	data [][]byte

	id     []byte // ours, which the peer is to put into its records; nil if ids are not spoken
	newest bool   // the datagram has a record that is authentic and newer than all before

	read, write *protection  // of epoch 1
	window      replayWindow // of epoch 1
	early       [][]byte     // records of epoch 1 that came before its keys
	forged      int          // records thrown away because they are not authentic

	next     uint16 // message that is next to come
	ahead    [maxDTLSAhead]assembly
	sequence uint16 // of the next message to be sent
	flight   []flightPart
	repeat   bool // the peer repeats its flight: it has not got ours
	timeout  time.Duration
	deadline time.Time
	sent     time.Time
	repeated int // times that the flight was sent by the clock

	exchange dtlsExchange
}

// Retransmission (RFC 6347, 4.2.4.1).
const (
	firstTimeout = time.Second
	lastTimeout  = time.Minute
	maxRepeats   = 7 // then two minutes have gone by
)

const (
	// MinMTU and DefaultMTU are lengths of datagrams in bytes, without headers of UDP and IP.
	MinMTU     = 128
	DefaultMTU = 1200

	// smallMTU is what still arrives where larger datagrams get lost (RFC 6347, 4.1.1.1).
	smallMTU = 508
)

// maxEarly is how many records are kept that came before their keys.
const maxEarly = 8

// ErrDTLSTimeout is the end of a handshake that the peer does not answer, or not as somebody
// with the same key.
var ErrDTLSTimeout = errors.New("psktls: the peer does not answer the DTLS handshake: is it there, and do both sides have the same key under this identity?")

// ErrDatagramTooLong is for data that does not fit in one datagram.
var ErrDatagramTooLong = errors.New("psktls: the data is too long for one datagram")

// DTLSOptions are what DTLS has beyond TLS.
type DTLSOptions struct {
	// MTU is the length in bytes of the longest datagram to be sent; zero means DefaultMTU.
	MTU int

	// ConnectionID, if not nil, offers connection ids (RFC 9146), or takes up the offer.
	// The peer then puts this one into every protected record; of an empty one it puts
	// none, while we put its id into ours. At most MaxConnectionID bytes.
	ConnectionID []byte
}

// NewDTLS is a client or a server.
func NewDTLS(config *Config, client bool, options DTLSOptions) (*DTLS, error) {
	if config == nil {
		return nil, fmt.Errorf("%w: nil", ErrConfig)
	}
	mtu := options.MTU
	if mtu == 0 {
		mtu = DefaultMTU
	}
	if n := len(options.ConnectionID); n > MaxConnectionID {
		return nil, fmt.Errorf("%w: a connection id of %d bytes: at most %d are possible", ErrConfig, n, MaxConnectionID)
	}
	if mtu < MinMTU || mtu > maxPlaintext {
		return nil, fmt.Errorf("%w: an MTU of %d bytes: %d to %d are possible", ErrConfig, mtu, MinMTU, maxPlaintext)
	}
	only12 := *config
	only12.MaxVersion = VersionTLS12
	set, err := only12.settle(client)
	if err != nil {
		return nil, err
	}
	d := &DTLS{client: client, mtu: mtu, id: bytes.Clone(options.ConnectionID), h: &handshake{Conn: &Conn{client: client}, set: set}}
	d.h.in.protection, d.h.out.protection = &protection{}, &protection{}
	d.state = awaitClientHello
	if client {
		d.state = awaitServerHello
	}
	return d, nil
}

// Start begins a client's handshake. A server waits for the datagram that [DTLSCookies]
// found good.
func (d *DTLS) Start(ctx context.Context, now time.Time) error {
	d.h.ctx, d.now = ctx, now
	if !d.client {
		return nil
	}
	return d.end(d.startClient())
}

// Receive takes a datagram from the peer, and overwrites it. The context goes to the Key.
func (d *DTLS) Receive(ctx context.Context, now time.Time, datagram []byte) error {
	if d.err != nil {
		return d.err
	}
	d.h.ctx, d.now, d.repeat, d.newest = ctx, now, false, false
	for {
		r, rest, ok := cutRecord(datagram, len(d.id))
		if !ok {
			break
		}
		if err := d.record(r); err != nil {
			return d.end(err)
		}
		datagram = rest
	}
	for d.read != nil && len(d.early) > 0 {
		r, _, _ := cutRecord(d.early[0], len(d.id))
		d.early = d.early[1:]
		if err := d.record(r); err != nil {
			return d.end(err)
		}
	}
	if d.repeat && now.Sub(d.sent) >= firstTimeout/4 {
		return d.end(d.transmit())
	}
	return nil
}

// Deadline is when Expire is to be called; zero means never.
func (d *DTLS) Deadline() time.Time { return d.deadline }

// Expire repeats the last flight if its time has come.
func (d *DTLS) Expire(now time.Time) error {
	if d.err != nil || d.deadline.IsZero() || now.Before(d.deadline) {
		return d.err
	}
	d.now = now
	if d.repeated++; d.repeated >= maxRepeats {
		err := ErrDTLSTimeout
		if d.forged > 0 {
			err = fmt.Errorf("%w (%d records were not authentic)", err, d.forged)
		}
		return d.end(d.h.confess(err))
	}
	if d.repeated >= 2 {
		d.mtu = min(d.mtu, smallMTU)
	}
	d.timeout = min(2*d.timeout, lastTimeout)
	return d.end(d.transmit())
}

// Outgoing hands over the datagrams to be sent.
func (d *DTLS) Outgoing() [][]byte {
	out := d.out
	d.out = nil
	return out
}

// Incoming hands over the application data that has come, by records.
func (d *DTLS) Incoming() [][]byte {
	data := d.data
	d.data = nil
	return data
}

// Complete says whether the handshake is.
func (d *DTLS) Complete() bool { return d.state == dtlsComplete }

// ConnectionState is what the handshake has agreed on, and zero before it is complete.
func (d *DTLS) ConnectionState() ConnectionState { return d.h.ConnectionState() }

// MaxData is how many bytes of application data one datagram holds.
func (d *DTLS) MaxData() int { return d.mtu - d.write.overheadDTLS() }

// Send makes a datagram of application data. The handshake is complete.
func (d *DTLS) Send(b []byte) error {
	switch {
	case d.err == io.EOF:
		return errOutClosed
	case d.err != nil:
		return d.err
	case !d.Complete():
		return errors.New("psktls: application data before the handshake is complete")
	case len(b) > d.MaxData():
		return fmt.Errorf("%w: %d bytes, at most %d", ErrDatagramTooLong, len(b), d.MaxData())
	}
	return d.emit(recordApplicationData, b)
}

// Close says close_notify, or user_canceled before the handshake is complete.
func (d *DTLS) Close() {
	if d.err != nil {
		return
	}
	alert := AlertCloseNotify
	if !d.Complete() {
		alert = AlertUserCanceled
	}
	d.emit(recordAlert, []byte{alertLevelWarning, byte(alert)}) //nolint:errcheck // nobody waits for it
	if alert == AlertUserCanceled {
		d.emit(recordAlert, []byte{alertLevelWarning, byte(AlertCloseNotify)}) //nolint:errcheck // likewise
	}
	d.err, d.deadline = errOutClosed, time.Time{}
}

// end tells the peer of an error of ours, and stops.
func (d *DTLS) end(err error) error {
	if err == nil {
		return nil
	}
	var alert *AlertError
	switch {
	case err == io.EOF: // answered in kind (RFC 5246, 7.2.1)
		d.emit(recordAlert, []byte{alertLevelWarning, byte(AlertCloseNotify)}) //nolint:errcheck // nobody waits for it
	case errors.As(err, &alert) && !alert.Remote:
		d.emit(recordAlert, []byte{alertLevelFatal, byte(alert.Alert)}) //nolint:errcheck // likewise
	}
	d.err, d.deadline = err, time.Time{}
	return err
}

// emit makes a datagram of one record in the newest epoch.
func (d *DTLS) emit(kind uint8, content []byte) error {
	epoch := uint16(0)
	if d.write != nil {
		epoch = 1
	}
	datagram, err := d.seal(nil, kind, epoch, content)
	if err == nil {
		d.out = append(d.out, datagram)
	}
	return err
}

// seal appends the next record of an epoch.
func (d *DTLS) seal(dst []byte, kind uint8, epoch uint16, content []byte) ([]byte, error) {
	p := d.write
	if epoch == 0 {
		p = nil
	}
	if dst == nil {
		dst = make([]byte, 0, len(content)+p.overheadDTLS())
	}
	r := dtlsRecord{kind: kind, epoch: epoch, seq: d.seq[epoch], body: content}
	d.seq[epoch]++
	return p.sealDTLS(dst, r)
}

// record takes a record in.
func (d *DTLS) record(r dtlsRecord) error {
	switch {
	case r.epoch == 1 && d.read == nil:
		if len(d.early) < maxEarly {
			d.early = append(d.early, bytes.Clone(r.raw))
		}
		return nil
	case r.epoch == 1 && d.window.fresh(r.seq):
		kind, content, err := d.read.openDTLS(r)
		if err != nil {
			d.forged++
			return nil
		}
		d.newest = d.window.mark(r.seq) || d.newest
		r.kind, r.body = kind, content
	case r.epoch != 0:
		return nil
	}
	switch {
	case r.kind == recordHandshake:
		return d.fragments(r)
	case r.kind == recordAlert && len(r.body) == alertRecordLen && (r.epoch == 1 || !d.Complete()):
		return d.alert(r)
	case r.kind == recordApplicationData && r.epoch == 1 && d.Complete():
		d.data = append(d.data, bytes.Clone(r.body))
	}
	// change_cipher_spec says nothing that the epoch does not. The rest is thrown away.
	return nil
}

// alert is one from the peer. Before the handshake is complete anybody can have sent it, as in
// TLS; not to listen would let a client wait two minutes for a server that has refused it.
func (d *DTLS) alert(r dtlsRecord) error {
	level, alert := r.body[0], Alert(r.body[1])
	switch {
	case alert == AlertCloseNotify && d.Complete():
		return io.EOF
	case alert == AlertCloseNotify || level == alertLevelFatal:
		return remote(alert, advicePSK)
	}
	return nil
}
