package psktls

// MaxConnectionID is the length in bytes of the longest connection id of ours.
const MaxConnectionID = 32

// carries says whether a record with this id of the peer's has room for a fragment even
// where only small datagrams arrive.
func (d *DTLS) carries(id []byte) bool {
	const rest = dtlsHeaderLen + 1 + 8 + 16 + dtlsFragmentLen + 32 // the longest nonce and tag, and 32 bytes
	return len(id)+rest <= min(d.mtu, smallMTU)
}

// identify puts the ids that were agreed on into the records of both directions (RFC 9146, 3):
// an empty one is none.
func (d *DTLS) identify(write, read *protection) {
	switch {
	case d.h.server.connectionID == nil:
		return
	case d.client:
		write.id = d.h.server.connectionID
	default:
		write.id = d.h.hello.connectionID
	}
	read.id = d.id
	d.h.state.ConnectionIDs = len(write.id)+len(read.id) > 0
}

// Newest says whether the datagram that Receive took last has an authentic record that is newer
// than all before. If it came from another address than the peer's and the peer puts our connection
// id into its records, the peer's address may change to that one (RFC 9146, 6), and not
// otherwise.
func (d *DTLS) Newest() bool { return d.newest }

// Routed says whether the peer puts our connection id into its records, once the handshake is
// complete.
func (d *DTLS) Routed() bool { return d.read != nil && len(d.read.id) > 0 }

// DTLSConnectionID finds the first connection id in a datagram from anybody, nil if there is none.
// Ids have n bytes; with none, or fewer, there is no id.
func DTLSConnectionID(datagram []byte, n int) []byte {
	for n > 0 {
		r, rest, ok := cutRecord(datagram, n)
		if !ok || len(r.id) > 0 {
			return r.id
		}
		datagram = rest
	}
	return nil
}
