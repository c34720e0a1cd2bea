package terminator

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// heard is a server of HTTP behind that answers with what it was sent.
func heard(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the trailer comes after it
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			fmt.Fprintf(w, "%s: %s\n", name, strings.Join(r.Header[name], "|"))
		}
		for name, values := range r.Trailer {
			fmt.Fprintf(w, "trailer %s: %s\n", name, values)
		}
		fmt.Fprintln(w, "host", r.Host)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// client is an HTTP client on a device.
func (s *scene) client(d device) *http.Client {
	transport := &http.Transport{ForceAttemptHTTP2: true}
	s.Cleanup(transport.CloseIdleConnections)
	if s.way.Kind == TLS {
		transport.TLSClientConfig = s.tlsConfig(d)
	} else {
		transport.DialTLSContext = func(context.Context, string, string) (net.Conn, error) { return s.dial(d) }
	}
	return &http.Client{Transport: transport, Timeout: patience}
}

func TestAServerOfHTTPIsToldWhoSpeaksAndNobodyElsesWord(t *testing.T) {
	for _, kind := range streams {
		t.Run(string(kind), func(t *testing.T) {
			s := terminate(t, kind, HTTP, heard(t), Options{})
			d := s.device(1)
			request, err := http.NewRequest("POST", "https://"+s.way.Listen+"/meter?x=1", io.MultiReader(strings.NewReader("23 kWh"))) // chunked
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "meters.example"
			lies := http.Header{
				"Simroot-Iccid": {"untrue"}, "SIMROOT-FLEET": {"untrue"}, "simroot_iccid": {"untrue"}, "Simroot.Credential": {"untrue"},
				"Simroot-Anything": {"untrue"}, "sImRoOt-_!iccid": {"untrue"}, "X-Forwarded-For": {"untrue"}, "Forwarded": {"for=untrue"},
				"Connection": {"Simroot-Iccid, Simroot-Fleet"}, "Kept": {"kept"},
			}
			if kind == TLS {
				delete(lies, "Connection") // net/http's client has a rule of its own for HTTP/2
			}
			request.Header = lies
			request.Trailer = http.Header{"Simroot-Iccid": {"untrue"}}
			response, err := s.client(d).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[Kind]int{TLS: 2, TLSPSK: 1}[kind]; response.ProtoMajor != want {
				t.Errorf("HTTP/%d, want %d", response.ProtoMajor, want)
			}
			for _, want := range []string{"Simroot-Iccid: " + d.iccid, "Simroot-Fleet: meters", "Simroot-Credential: " + d.credential, "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https", "Kept: kept", "host meters.example"} {
				if !bytes.Contains(body, []byte(want+"\n")) {
					t.Errorf("the server does not hear %q", want)
				}
			}
			if bytes.Contains(body, []byte("untrue")) {
				t.Errorf("the server hears an untruth:\n%s", body)
			}
		})
	}
}

// What Go's client does not send: fields that another one names as belonging to the connection.
func TestFieldsOfTheConnectionDoNotTakeTheIdentityWithThem(t *testing.T) {
	s := terminate(t, TLSPSK, HTTP, heard(t), Options{})
	d := s.device(1)
	conn := s.connect(d)
	say(t, conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close, Simroot-Iccid, simroot-fleet\r\nSimroot-Iccid: untrue\r\n\r\n")
	all, err := io.ReadAll(conn)
	if err != nil || !bytes.Contains(all, []byte("Simroot-Iccid: "+d.iccid+"\n")) || bytes.Contains(all, []byte("untrue")) {
		t.Errorf("%v:\n%s", err, all)
	}
	conn = s.connect(d)
	say(t, conn, "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\nConnection: close\r\n\r\n")
	if all, _ = io.ReadAll(conn); !bytes.HasPrefix(all, []byte("HTTP/1.1 405 ")) {
		t.Errorf("CONNECT: %s", all)
	}
}

func TestAServerOfHTTPThatIsNotThereIsABadGateway(t *testing.T) {
	s := terminate(t, TLS, HTTP, nobody(t), Options{})
	client := s.client(s.device(1))
	for range 3 {
		response, err := client.Get("https://" + s.way.Listen)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadGateway {
			t.Error(response.Status)
		}
	}
	if n := s.log.Count("cannot be reached"); n != 1 {
		t.Errorf("%d lines of its absence, want 1", n)
	}
}

func TestARevokedSIMsRequestIsCutOff(t *testing.T) {
	for _, kind := range streams {
		t.Run(string(kind), func(t *testing.T) {
			came, gone := make(chan struct{}), make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(came)
				<-r.Context().Done()
				close(gone)
			}))
			defer server.Close()
			s := terminate(t, kind, HTTP, server.Listener.Addr().String(), Options{})
			d := s.device(1)
			failed := make(chan error, 1)
			go func() {
				_, err := s.client(d).Get("https://" + s.way.Listen)
				failed <- err
			}()
			within(t, "the request", came)
			s.revoke(d)
			within(t, "its end at the server behind", gone)
			if err := <-failed; err == nil {
				t.Error("the device has an answer")
			}
		})
	}
}

func TestARequestUnderWayIsAnsweredWhenTheTerminatorStops(t *testing.T) {
	came, leave := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(came)
		<-leave
		fmt.Fprint(w, "an answer") //nolint:errcheck // the client will tell
	}))
	defer server.Close()
	s := terminate(t, TLS, HTTP, server.Listener.Addr().String(), Options{})
	client := s.client(s.device(1))
	answered := make(chan string, 1)
	go func() {
		response, err := client.Get("https://" + s.way.Listen)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answered <- string(body)
	}()
	within(t, "the request", came)
	s.stop()
	close(leave)
	select {
	case got := <-answered:
		if got != "an answer" {
			t.Error(got)
		}
	case <-time.After(patience):
		t.Error("no answer")
	}
	within(t, "the terminator to stop", s.stopped)
}

// A connection that has become something else (RFC 9110, 7.8), such as a WebSocket, is cut off as well.
func TestARevokedSIMsWebSocketIsCutOff(t *testing.T) {
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n") //nolint:errcheck // the client will tell
		io.Copy(conn, conn)                                                                                      //nolint:errcheck // any end is one
		close(gone)
	}))
	defer server.Close()
	s := terminate(t, TLSPSK, HTTP, server.Listener.Addr().String(), Options{})
	d := s.device(1)
	conn := s.connect(d)
	say(t, conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	say(t, conn, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(reader, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	s.revoke(d)
	within(t, "the end at the server behind", gone)
}
