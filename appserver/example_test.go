package appserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// What follows has a middleware and a certificate of its own.
var (
	m   *appserver.Middleware
	own tls.Certificate
)

// A web server whose handlers know which SIM asks, over HTTP/2 and HTTP/1.1.
func ExampleListener_TLS() {
	inner, err := net.Listen("tcp", ":8443")
	if err != nil {
		log.Fatal(err)
	}
	config := m.TLSConfig(&tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{"h2", "http/1.1"}})
	server := &http.Server{
		ConnContext: appserver.ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := appserver.FromContext(r.Context())
			fmt.Fprintf(w, "Good morning, SIM %s of %s\n", id.ICCID, id.Fleet)
		}),
	}
	log.Fatal(server.Serve(m.Listener(inner, config).TLS()))
}

// A server for SIMs with pre-shared keys, over TLS.
func ExampleMiddleware_PSKListener() {
	if err := m.SecretsReady(context.Background()); err != nil {
		log.Fatal(err)
	}
	config, err := m.PSKConfig(&psktls.Config{MaxVersion: psktls.VersionTLS12})
	if err != nil {
		log.Fatal(err)
	}
	inner, err := net.Listen("tcp", ":8883")
	if err != nil {
		log.Fatal(err)
	}
	ln := m.PSKListener(inner, config)
	for {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer conn.Close()
			id, _ := appserver.IdentityOf(conn)
			_, err := conn.Read(make([]byte, 1024))
			if errors.Is(err, appserver.ErrRevoked) {
				log.Printf("SIM %s was cut off", id.ICCID)
			}
		}()
	}
}

// The same over datagrams.
func ExampleMiddleware_DTLSListener() {
	config, err := m.PSKConfig(&psktls.Config{AllowPSKOnly: true}) // for devices without elliptic curves
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.ListenPacket("udp", ":5684")
	if err != nil {
		log.Fatal(err)
	}
	ln, err := m.DTLSListener(socket, &dtls.Config{Config: *config})
	if err != nil {
		log.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	id, _ := appserver.IdentityOf(conn)
	fmt.Println(id.ICCID)
}
