package psktls

import "fmt"

// pair12 is the protections of a TLS 1.2 connection.
type pair12 struct{ client, server *protection }

// keys12 has the key compute the master secret, and derives the connection's keys from it
// (RFC 5246, 6.3, 8.1). other is the ECDH result, nil in plain PSK. The transcript ends
// with ClientKeyExchange, as RFC 7627, 3 wants it.
func (h *handshake) keys12(other []byte) (*pair12, error) {
	client, server := h.hello.random[:], h.server.random[:]
	hash := h.suite.hash
	label, seed := labelMaster, join(client, server)
	if h.state.ExtendedMasterSecret {
		label, seed = labelExtendedMaster, h.transcript.sum()
	}
	master, err := h.key.MasterSecret(h.ctx, hash, other, label, seed)
	if err == nil && len(master) != masterSecretLen {
		err = fmt.Errorf("a master secret of %d bytes instead of %d", len(master), masterSecretLen)
	}
	if err != nil {
		return nil, keyFailed("the key", err)
	}
	h.master = master
	if err := h.logSecret("CLIENT_RANDOM", master); err != nil {
		return nil, err
	}
	if h.state.ExtendedMasterSecret {
		h.state.export = exporter12(hash, master, join(client, server))
	}

	keyLen, ivLen := h.suite.aead.keyLen, h.suite.aead.fixedIVLen()
	block := prf(hash, master, labelKeyExpansion, join(server, client), 2*keyLen+2*ivLen)
	keys, ivs := block[:2*keyLen], block[2*keyLen:]
	p := &pair12{}
	if p.client, err = protect12(h.suite, keys[:keyLen], ivs[:ivLen]); err != nil {
		return nil, internal(err)
	}
	if p.server, err = protect12(h.suite, keys[keyLen:], ivs[ivLen:]); err != nil {
		return nil, internal(err)
	}
	return p, nil
}

// finished12 is the verify_data over the messages so far (RFC 5246, 7.4.9).
func (h *handshake) finished12(label string) []byte {
	return prf(h.suite.hash, h.master, label, h.transcript.sum(), finishedLen12)
}

// sendFinished12 changes the key for what goes out and sends Finished under it.
func (h *handshake) sendFinished12(label string, p *protection) error {
	if err := h.sendRaw(recordChangeCipherSpec, []byte{1}); err != nil {
		return err
	}
	h.changeOut(p)
	if err := h.send(finished{h.finished12(label)}); err != nil {
		return err
	}
	return h.flight()
}

// receiveFinished12 reads the peer's change of keys, and Finished under the new one.
func (h *handshake) receiveFinished12(label string, p *protection) error {
	if err := h.readChangeCipherSpec(p); err != nil {
		return err
	}
	return h.receiveFinished(h.finished12(label))
}

func join(a, b []byte) []byte { return append(append(make([]byte, 0, len(a)+len(b)), a...), b...) }
