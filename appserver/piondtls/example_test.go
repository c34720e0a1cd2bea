package piondtls_test

import (
	"crypto/tls"
	"log"
	"net"
	"strings"

	"github.com/pion/dtls/v3"
	coapserver "github.com/plgd-dev/go-coap/v3/dtls/server"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/mux"
	"github.com/plgd-dev/go-coap/v3/options"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/piondtls"
)

// What follows has a middleware and a certificate of its own.
var (
	m   *appserver.Middleware
	own tls.Certificate
)

// A CoAP server for SIMs with certificates.
func ExampleListen() {
	ln, err := piondtls.Listen(m, "udp", &net.UDPAddr{Port: 5684}, dtls.WithCertificates(own))
	if err != nil {
		log.Fatal(err)
	}
	router := mux.NewRouter()
	err = router.Handle("/whoami", mux.HandlerFunc(func(w mux.ResponseWriter, _ *mux.Message) {
		id, _ := appserver.IdentityOf(w.Conn().NetConn())
		if err := w.SetResponse(codes.Content, message.TextPlain, strings.NewReader(id.ICCID)); err != nil {
			log.Print(err)
		}
	}))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(coapserver.New(options.WithMux(router)).Serve(ln))
}
