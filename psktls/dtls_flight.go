package psktls

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// flightPart is a message of a flight: what is repeated until the peer has answered it
// (RFC 6347, 4.2.4).
type flightPart struct {
	kind  uint8 // of record
	epoch uint16
	seq   uint16 // of message
	typ   uint8
	body  []byte
}

// add puts a message into the flight and the transcript.
func (d *DTLS) add(m message) error {
	b := cryptobyte.NewBuilder(make([]byte, 0, 128))
	m.appendBody(b)
	body, err := b.Bytes()
	if err != nil {
		return internal(err)
	}
	d.addBody(m.messageType(), body)
	return nil
}

// addBody is add for a body that is written already.
func (d *DTLS) addBody(typ uint8, body []byte) {
	epoch := uint16(0)
	if typ == typeFinished {
		epoch = 1
	}
	d.flight = append(d.flight, flightPart{recordHandshake, epoch, d.sequence, typ, body})
	d.h.transcript.add(encodeDTLS(typ, d.sequence, body))
	d.sequence++
}

// addFinished ends a flight with the change of keys and Finished.
func (d *DTLS) addFinished(label string) error {
	d.flight = append(d.flight, flightPart{kind: recordChangeCipherSpec, body: []byte{1}})
	return d.add(finished{d.h.finished12(label)})
}

// launch sends the flight for the first time. If it is to be answered, it will be
// repeated by the clock.
func (d *DTLS) launch(answered bool) error {
	d.timeout, d.repeated, d.deadline = firstTimeout, 0, time.Time{}
	if !answered {
		d.timeout = 0
	}
	return d.transmit()
}

// transmit sends the flight, as many records to a datagram as fit.
func (d *DTLS) transmit() error {
	var datagram []byte
	flush := func() {
		if len(datagram) > 0 {
			d.out, datagram = append(d.out, datagram), nil
		}
	}
	for _, part := range d.flight {
		overhead := dtlsHeaderLen
		if part.epoch == 1 {
			overhead = d.write.overheadDTLS()
		}
		if part.kind != recordHandshake {
			if len(datagram)+overhead+len(part.body) > d.mtu {
				flush()
			}
			var err error
			if datagram, err = d.seal(datagram, part.kind, part.epoch, part.body); err != nil {
				return err
			}
			continue
		}
		for offset, first := 0, true; first || offset < len(part.body); first = false {
			left := len(part.body) - offset
			room := d.mtu - len(datagram) - overhead - dtlsFragmentLen
			if room < min(left, 32) { // not worth a fragment
				flush()
				room = d.mtu - overhead - dtlsFragmentLen
			}
			n := min(room, left)
			if part.typ == typeClientHello {
				n = left // whole, since a server that keeps no state cannot put it together
			}
			content := appendFragmentHeader(make([]byte, 0, dtlsFragmentLen+n), part.typ, len(part.body), part.seq, offset, n)
			var err error
			datagram, err = d.seal(datagram, part.kind, part.epoch, append(content, part.body[offset:offset+n]...))
			if err != nil {
				return err
			}
			offset += n
		}
	}
	flush()
	d.sent = d.now
	if d.timeout > 0 {
		d.deadline = d.now.Add(d.timeout)
	}
	return nil
}

// fragments takes in what a handshake record holds. What does not fit is thrown away.
func (d *DTLS) fragments(r dtlsRecord) error {
	for content := r.body; len(content) > 0; {
		f, rest, err := cutFragment(content)
		if err != nil {
			return nil
		}
		content = rest
		if d.state == awaitClientHello && d.ahead[0].body == nil {
			// Those before it the cookies have answered; ours go on from here (RFC 6347, 4.2.1, 4.2.2).
			d.next, d.sequence, d.seq[0] = f.seq, f.seq, r.seq
		}
		switch ahead := f.seq - d.next; {
		case d.Complete() && f.seq >= d.next:
			continue // renegotiation, which is not done
		case f.typeEpoch() != r.epoch:
			continue
		case f.seq < d.next:
			d.repeat = d.repeat || d.endsFlight(f.kind)
		case ahead < maxDTLSAhead:
			if d.ahead[ahead].add(f) != nil {
				return nil
			}
		}
		if err := d.messages(); err != nil {
			return err
		}
	}
	return nil
}

// typeEpoch is the epoch that a message of the handshake belongs to.
func (f fragment) typeEpoch() uint16 {
	if f.kind == typeFinished {
		return 1
	}
	return 0
}

// endsFlight says whether a message is the last of the peer's flight that ours answers.
func (d *DTLS) endsFlight(kind uint8) bool {
	switch d.state {
	case awaitClientKeyExchange:
		return kind == typeClientHello
	case awaitFinished:
		return d.client && kind == typeServerHelloDone
	case dtlsComplete:
		return !d.client && kind == typeFinished
	}
	return false
}

// messages deals with what has come in full and in order.
func (d *DTLS) messages() error {
	for d.ahead[0].body != nil && d.ahead[0].missing == 0 {
		m := d.ahead[0]
		copy(d.ahead[:], d.ahead[1:])
		d.ahead[maxDTLSAhead-1] = assembly{}
		seq := d.next
		d.next++
		if err := d.message(m.kind, m.body, encodeDTLS(m.kind, seq, m.body)); err != nil {
			return err
		}
	}
	return nil
}
