package psktls

// pair is the traffic secrets of one stage of TLS 1.3, and the protections under them.
type pair struct {
	suite                      *suite
	clientSecret, serverSecret []byte
	client, server             *protection
}

// trafficKeys derives a pair from the schedule, and logs it.
func (h *handshake) trafficKeys(s *schedule, client, server, clientLog, serverLog string) (*pair, error) {
	messages := h.transcript.sum()
	p := &pair{suite: h.suite, clientSecret: s.derive(client, messages), serverSecret: s.derive(server, messages)}
	if err := h.logSecret(clientLog, p.clientSecret); err != nil {
		return nil, err
	}
	if err := h.logSecret(serverLog, p.serverSecret); err != nil {
		return nil, err
	}
	var err error
	if p.client, err = protect13(h.suite, p.clientSecret); err != nil {
		return nil, internal(err)
	}
	if p.server, err = protect13(h.suite, p.serverSecret); err != nil {
		return nil, internal(err)
	}
	return p, nil
}

// handshakeKeys are the keys after ServerHello. The schedule is at its handshake stage.
func (h *handshake) handshakeKeys(s *schedule) (*pair, error) {
	return h.trafficKeys(s, "c hs traffic", "s hs traffic", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET")
}

// applicationKeys are the keys after the server's Finished. The schedule goes to its master
// stage.
func (h *handshake) applicationKeys(s *schedule) (*pair, error) {
	if err := s.advance(); err != nil {
		return nil, internal(err)
	}
	p, err := h.trafficKeys(s, "c ap traffic", "s ap traffic", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0")
	if err != nil {
		return nil, err
	}
	exporter := s.derive("exp master", h.transcript.sum())
	h.state.export = exporter13(h.suite.hash, exporter)
	return p, h.logSecret("EXPORTER_SECRET", exporter)
}

func (p *pair) clientFinished(t *transcript) []byte {
	return finishedMAC(p.suite.hash, p.clientSecret, t.sum())
}

func (p *pair) serverFinished(t *transcript) []byte {
	return finishedMAC(p.suite.hash, p.serverSecret, t.sum())
}

// internal is a failure of our own computations, if it is one.
func internal(err error) error {
	if err == nil {
		return nil
	}
	return fail(AlertInternalError, "%w", err)
}
