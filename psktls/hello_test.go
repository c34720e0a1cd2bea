package psktls

import (
	"bytes"
	"crypto/tls"
	"testing"
)

// changed is the alert of a side whose peer sends its first message changed.
func changed(t *testing.T, c course, client bool, at int, change func(body []byte) message) error {
	t.Helper()
	err, _ := deceived(t, c, client, at, func(kind uint8, content []byte) (uint8, []byte) {
		raw, err := encode(change(bytes.Clone(content[handshakeHeaderLen:])))
		if err != nil {
			panic(err)
		}
		return kind, raw
	}, false)
	return err
}

func TestWrongServerHellosAreRefused(t *testing.T) {
	const ecdhe12, dhe13, retry13 = 0, 2, 4
	zeros := make([]byte, 32)
	for name, c := range map[string]struct {
		course int
		change func(m *serverHello)
		alert  Alert
	}{
		"a version of the future":    {dhe13, func(m *serverHello) { m.selected = 0x0305 }, AlertIllegalParameter},
		"TLS 1.2 by extension":       {dhe13, func(m *serverHello) { m.selected = VersionTLS12 }, AlertIllegalParameter},
		"TLS 1.1":                    {ecdhe12, func(m *serverHello) { m.version = tls.VersionTLS11 }, AlertProtocolVersion},
		"TLS 1.2 instead of 1.3":     {dhe13, func(m *serverHello) { m.selected = 0 }, AlertProtocolVersion},
		"a suite of another version": {dhe13, func(m *serverHello) { m.suite = TLS_PSK_WITH_AES_128_CCM }, AlertIllegalParameter},
		"a suite not offered":        {ecdhe12, func(m *serverHello) { m.suite = TLS_PSK_WITH_AES_128_CCM }, AlertIllegalParameter},
		"a suite of another hash":    {dhe13, func(m *serverHello) { m.suite = TLS_AES_256_GCM_SHA384 }, AlertIllegalParameter},
		"compression":                {dhe13, func(m *serverHello) { m.compression = 1 }, AlertIllegalParameter},
		"compression in TLS 1.2":     {ecdhe12, func(m *serverHello) { m.compression = 1 }, AlertIllegalParameter},
		"another session id":         {dhe13, func(m *serverHello) { m.sessionID = []byte{1} }, AlertIllegalParameter},
		"no PSK":                     {dhe13, func(m *serverHello) { m.psk = nil }, AlertHandshakeFailure},
		"a PSK not offered":          {dhe13, func(m *serverHello) { *m.psk = 1 }, AlertIllegalParameter},
		"no key share":               {dhe13, func(m *serverHello) { m.share = nil }, AlertMissingExtension},
		"a group not sent":           {dhe13, func(m *serverHello) { m.share.group = CurveP256 }, AlertIllegalParameter},
		"a key of the wrong length":  {dhe13, func(m *serverHello) { m.share.data = m.share.data[1:] }, AlertIllegalParameter},
		"a key of low order":         {dhe13, func(m *serverHello) { m.share.data = zeros }, AlertIllegalParameter},
		"ALPN not offered":           {ecdhe12, func(m *serverHello) { m.alpn = []string{"x"} }, AlertUnsupportedExtension},
		"an extension out of place":  {dhe13, func(m *serverHello) { m.extendedMaster = true }, AlertUnsupportedExtension},
		"a cookie in ServerHello":    {dhe13, func(m *serverHello) { m.cookie = []byte{1} }, AlertUnsupportedExtension},
		"no secure renegotiation":    {ecdhe12, func(m *serverHello) { m.renegotiation = false }, AlertHandshakeFailure},
		"no uncompressed points":     {ecdhe12, func(m *serverHello) { m.pointFormats = []byte{1} }, AlertIllegalParameter},
		"retry for the same group":   {retry13, func(m *serverHello) { m.share.group = X25519 }, AlertIllegalParameter},
		"retry for an unknown group": {retry13, func(m *serverHello) { m.share.group = tls.CurveP521 }, AlertIllegalParameter},
		"retry for nothing":          {retry13, func(m *serverHello) { m.share = nil }, AlertIllegalParameter},
		"retry without a version":    {retry13, func(m *serverHello) { m.selected = 0 }, AlertMissingExtension},
		"retry with a PSK":           {retry13, func(m *serverHello) { m.psk = new(uint16) }, AlertIllegalParameter},
		"retry with another session": {retry13, func(m *serverHello) { m.sessionID = []byte{1} }, AlertIllegalParameter},
	} {
		t.Run(name, func(t *testing.T) {
			err := changed(t, courses(t)[c.course], true, 0, func(body []byte) message {
				m, err := parseServerHello(body)
				if err != nil {
					panic(err)
				}
				c.change(m)
				return m
			})
			wantAlert(t, err, c.alert, false)
		})
	}
}

func TestASecondRetryOrAChangeOfMindIsRefused(t *testing.T) {
	for alert, change := range map[Alert]func(m *serverHello){
		AlertUnexpectedMessage: func(m *serverHello) {
			m.random, m.share, m.psk, m.cookie = retryRandom, &keyShare{group: X25519}, nil, []byte{1}
		},
		AlertIllegalParameter: func(m *serverHello) { m.suite = TLS_CHACHA20_POLY1305_SHA256 },
	} {
		err := changed(t, courses(t)[4], true, 1, func(body []byte) message {
			m, err := parseServerHello(body)
			if err != nil {
				panic(err)
			}
			change(m)
			return m
		})
		wantAlert(t, err, alert, false)
	}
}

func TestADowngradeIsDetected(t *testing.T) {
	// The server could speak TLS 1.3, and somebody strips it from the client's offer.
	c := course{client: clientConfig(), server: serverConfig()}
	a, b := pipe()
	victim, server := Client(a, c.client), Server(b, c.server)
	go server.Handshake() //nolint:errcheck // the client's view is the point
	strip := &stripper{end: a}
	victim.conn = strip
	victim.in.conn = strip
	wantAlert(t, victim.Handshake(), AlertIllegalParameter, false)
	a.Close()
}

// stripper takes TLS 1.3 from a ClientHello on its way.
type stripper struct {
	*end
	done bool
}

func (s *stripper) Write(record []byte) (int, error) {
	if s.done {
		return s.end.Write(record)
	}
	s.done = true
	m, err := parseClientHello(record[recordHeaderLen+handshakeHeaderLen:])
	if err != nil {
		return 0, err
	}
	m.versions, m.hasPSK, m.modes, m.hasShares = nil, false, nil, false
	raw, err := encode(m)
	if err != nil {
		return 0, err
	}
	out, err := (&protection{}).seal(nil, recordHandshake, raw)
	if err != nil {
		return 0, err
	}
	_, err = s.end.Write(out)
	return len(record), err
}

func TestExtendedMasterSecretMayBeRequired(t *testing.T) {
	c := courses(t)[0]
	c.client.RequireExtendedMasterSecret, c.server.RequireExtendedMasterSecret = true, true
	connected(t, c.client, c.server)
	err := changed(t, c, false, 0, func(body []byte) message {
		m, err := parseClientHello(body)
		if err != nil {
			panic(err)
		}
		m.extendedMaster = false
		return m
	})
	wantAlert(t, err, AlertHandshakeFailure, false)
	err = changed(t, c, true, 0, func(body []byte) message {
		m, err := parseServerHello(body)
		if err != nil {
			panic(err)
		}
		m.extendedMaster = false
		return m
	})
	wantAlert(t, err, AlertHandshakeFailure, false)
}

func TestWrongClientHellosAreRefused(t *testing.T) {
	const ecdhe12, dhe13, retry13 = 0, 2, 4
	for name, c := range map[string]struct {
		course, at int
		change     func(m *clientHello)
		alert      Alert
	}{
		"TLS 1.1":                       {ecdhe12, 0, func(m *clientHello) { m.version = tls.VersionTLS11 }, AlertProtocolVersion},
		"no version in common":          {dhe13, 0, func(m *clientHello) { m.versions = []uint16{0x7F1C} }, AlertProtocolVersion},
		"compression only":              {ecdhe12, 0, func(m *clientHello) { m.compression = []byte{1} }, AlertIllegalParameter},
		"compression in TLS 1.3":        {dhe13, 0, func(m *clientHello) { m.compression = []byte{1, 0} }, AlertIllegalParameter},
		"a renegotiation":               {ecdhe12, 0, func(m *clientHello) { m.suites = nil; m.suites = append(m.suites, 0x1234) }, AlertHandshakeFailure},
		"no PSK":                        {dhe13, 0, func(m *clientHello) { m.hasPSK = false }, AlertHandshakeFailure},
		"no modes":                      {dhe13, 0, func(m *clientHello) { m.modes = nil }, AlertMissingExtension},
		"unknown modes":                 {dhe13, 0, func(m *clientHello) { m.modes = []byte{0xFA} }, AlertHandshakeFailure},
		"a binder too many":             {dhe13, 0, func(m *clientHello) { m.binders = append(m.binders, m.binders[0]) }, AlertIllegalParameter},
		"a wrong binder":                {dhe13, 0, func(m *clientHello) { m.binders[0][3] ^= 1 }, AlertDecryptError},
		"a longer binder":               {dhe13, 0, func(m *clientHello) { m.binders[0] = append(bytes.Clone(m.binders[0]), 0) }, AlertDecryptError},
		"anything under the binder":     {dhe13, 0, func(m *clientHello) { m.random[0] ^= 1 }, AlertDecryptError},
		"no key share":                  {dhe13, 0, func(m *clientHello) { m.hasShares = false }, AlertMissingExtension},
		"a share of no group of its":    {dhe13, 0, func(m *clientHello) { m.curves = []uint16{uint16(CurveP256)} }, AlertIllegalParameter},
		"the same share twice":          {dhe13, 0, func(m *clientHello) { m.shares = append(m.shares, m.shares[0]) }, AlertIllegalParameter},
		"a fallback":                    {ecdhe12, 0, func(m *clientHello) { m.suites = append(m.suites, scsvFallback); m.version = VersionTLS12 }, AlertInappropriateFallback},
		"no suite":                      {dhe13, 0, func(m *clientHello) { m.suites = []uint16{0x1234} }, AlertHandshakeFailure},
		"another random after retry":    {retry13, 1, func(m *clientHello) { m.random[0] ^= 1 }, AlertIllegalParameter},
		"the wrong share after retry":   {retry13, 1, func(m *clientHello) { m.shares[0].group = X25519 }, AlertIllegalParameter},
		"early data after retry":        {retry13, 1, func(m *clientHello) { m.earlyData = true }, AlertIllegalParameter},
		"a wrong binder after retry":    {retry13, 1, func(m *clientHello) { m.binders[0][3] ^= 1 }, AlertDecryptError},
		"early data, binder not redone": {dhe13, 0, func(m *clientHello) { m.earlyData = true }, AlertDecryptError},
	} {
		t.Run(name, func(t *testing.T) {
			course := courses(t)[c.course]
			if c.alert == AlertInappropriateFallback {
				course.server.MaxVersion = VersionTLS13
			}
			err := changed(t, course, false, c.at, func(body []byte) message {
				m, err := parseClientHello(body)
				if err != nil {
					panic(err)
				}
				c.change(m)
				return m
			})
			wantAlert(t, err, c.alert, false)
		})
	}
}

func TestWrongKeyExchangesAreRefused(t *testing.T) {
	c := courses(t)[0]
	err := changed(t, c, true, 1, func(body []byte) message {
		m, err := parseServerKeyExchange(body, true)
		if err != nil {
			panic(err)
		}
		m.share.group = tls.CurveP521
		return m
	})
	wantAlert(t, err, AlertIllegalParameter, false)
	err = changed(t, c, false, 1, func(body []byte) message {
		m, err := parseClientKeyExchange(body, true)
		if err != nil {
			panic(err)
		}
		m.public = make([]byte, 32)
		return m
	})
	wantAlert(t, err, AlertIllegalParameter, false)
}

func TestExtensionsAreReadStrictly(t *testing.T) {
	hello := func(extensions ...byte) []byte {
		body := append([]byte{3, 3}, make([]byte, 32)...)
		body = append(body, 0, 0, 2, 0x13, 0x01, 1, 0, byte(len(extensions)>>8), byte(len(extensions)))
		return append(body, extensions...)
	}
	for name, c := range map[string]struct {
		body []byte
		want error
	}{
		"none":                    {hello(), nil},
		"one unknown":             {hello(0xFA, 0xFA, 0, 1, 9), nil},
		"one twice":               {hello(0, 23, 0, 0, 0, 23, 0, 0), errRepeated},
		"an unknown twice":        {hello(0xFA, 0xFA, 0, 0, 0xFA, 0xFA, 0, 0), errRepeated},
		"one too long":            {hello(0, 23, 0, 1, 0), errMalformed},
		"trailing bytes":          {append(hello(), 0), errMalformed},
		"a torn list":             {hello(0, 23, 0), errMalformed},
		"pre_shared_key not last": {hello(append(append([]byte{0, 41, 0, 44, 0, 7, 0, 1, 'x', 0, 0, 0, 0, 0, 33, 32}, make([]byte, 32)...), 0, 23, 0, 0)...), errPSKPlace},
	} {
		if _, err := parseClientHello(c.body); err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	var many []byte
	for i := range 100 {
		many = append(many, 0xF0, byte(i), 0, 0)
	}
	if _, err := parseClientHello(hello(many...)); err != nil {
		t.Error(err)
	}
	if _, err := parseClientHello(hello(append(many, 0xF0, 50, 0, 0)...)); err != errRepeated {
		t.Error(err)
	}
}
