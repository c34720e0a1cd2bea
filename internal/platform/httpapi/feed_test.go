package httpapi

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simroot/simroot/api"
)

// follow makes a request for the feed to a handler that runs in this test's bubble, and
// returns its lines as they come and a channel that is closed at its end.
func follow(ctx context.Context, s *Server, after string) (lines chan api.FeedLine, done chan struct{}) {
	return followAs(ctx, s, after, "appserver")
}

// followAs is follow with a given token.
func followAs(ctx context.Context, s *Server, after, secret string) (lines chan api.FeedLine, done chan struct{}) {
	in, out := io.Pipe()
	w := &pipeWriter{header: http.Header{}, out: out}
	lines, done = make(chan api.FeedLine, 10_000), make(chan struct{})
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			var line api.FeedLine
			if json.Unmarshal(scanner.Bytes(), &line) != nil {
				return
			}
			lines <- line
		}
	}()
	go func() {
		defer close(done)
		defer out.Close()
		r := httptest.NewRequestWithContext(ctx, "GET", api.PathFeed+"?after="+after, nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		s.Handler().ServeHTTP(w, r)
	}()
	return lines, done
}

// pipeWriter is an answer that can be read while it is written.
type pipeWriter struct {
	header http.Header
	out    *io.PipeWriter
}

func (w *pipeWriter) Header() http.Header              { return w.header }
func (w *pipeWriter) WriteHeader(int)                  {}
func (w *pipeWriter) Write(b []byte) (int, error)      { return w.out.Write(b) }
func (w *pipeWriter) Flush()                           {}
func (w *pipeWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *pipeWriter) SetWriteDeadline(time.Time) error { return nil }

func TestTheFeedTellsPastAndComingEventsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.happen(2500) // more than are read at once
		s, _ := newServer(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		lines, done := follow(ctx, s, "5")

		header := <-lines
		if header.Header == nil || header.Header.ID != "history" || header.Header.Head != 2500 {
			t.Fatalf("first line %+v, want the header", header)
		}
		expect := func(from, to int64) {
			t.Helper()
			for seq := from; seq <= to; seq++ {
				if line := <-lines; line.Event == nil || line.Event.Seq != seq {
					t.Fatalf("%+v, want event %d", line, seq)
				}
			}
		}
		expect(6, 2500)
		f.happen(3)
		expect(2501, 2503)

		begun := time.Now()
		line := <-lines
		if line.Heartbeat == nil || line.Heartbeat.Head != 2503 {
			t.Fatalf("%+v, want a heartbeat with the head 2503", line)
		}
		if silence := time.Since(begun); silence > api.FeedHeartbeat {
			t.Errorf("silence of %s, want at most %s", silence, api.FeedHeartbeat)
		}
		f.happen(1)
		expect(2504, 2504)

		cancel() // the client goes
		<-done
	})
}

func TestAPositionOfAnotherHistoryIsRefused(t *testing.T) {
	f := newFake()
	f.happen(2)
	s, _ := newServer(t, f)
	for _, query := range []string{"after=99", "after=1&id=other&mark=m1", "after=1&id=history&mark=m2"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", api.PathFeed+"?"+query, nil)
		r.Header.Set("Authorization", "Bearer appserver")
		s.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), string(api.CodeFeedHistory)) {
			t.Errorf("%s: got %d %s", query, w.Code, w.Body)
		}
	}
}

func TestTheStateComesBeforeTheEventsAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.happen(2)
		s, _ := newServer(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		lines, done := follow(ctx, s, "0&state=true")
		if line := <-lines; line.Header == nil || !line.Header.State || line.Header.Seq != 2 || line.Header.Mark != "m2" || !line.Header.Time.Equal(time.Now()) {
			t.Fatalf("%+v, want a header at 2", line)
		}
		if line := <-lines; line.State == nil || line.State.SIM.ICCID != knownICCID {
			t.Errorf("%+v, want the state of a SIM", line)
		}
		if line := <-lines; line.Heartbeat == nil || line.Heartbeat.Head != 2 {
			t.Errorf("%+v, want a heartbeat", line)
		}
		f.happen(1)
		if line := <-lines; line.Event == nil || line.Event.Seq != 3 {
			t.Errorf("%+v, want event 3", line)
		}
		cancel()
		<-done
	})
}

// hasty is a feed whose last event can be read before it is the head.
type hasty struct {
	*fake
	head int64
}

func (f *hasty) Head() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head
}

func TestNoEventIsToldBeforeItIsTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.happen(2)
		s, _ := newServer(t, f)
		early := &hasty{f, 1}
		s.services.Feed = early
		ctx, cancel := context.WithCancel(t.Context())
		lines, done := follow(ctx, s, "1")
		<-lines
		if line := <-lines; line.Heartbeat == nil || line.Heartbeat.Head != 1 {
			t.Errorf("%+v, want a heartbeat with the head 1", line)
		}
		f.mu.Lock()
		early.head = 2
		f.mu.Unlock()
		line := <-lines
		for line.Heartbeat != nil {
			line = <-lines
		}
		if line.Event == nil || line.Event.Seq != 2 {
			t.Errorf("%+v, want event 2", line)
		}
		cancel()
		<-done
	})
}

func (f *hasty) Wait(ctx context.Context, after int64) error {
	if f.Head() > after {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestTheFeedEndsBetweenTwoLinesIfItCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s, log := newServer(t, f)
		lines, done := follow(t.Context(), s, "0")
		<-lines
		f.mu.Lock()
		f.err = errors.New("the database is gone")
		f.mu.Unlock()
		f.happen(1)
		<-done
		if _, more := <-lines; more {
			t.Error("a further line")
		}
		if !strings.Contains(log.String(), "the database is gone") {
			t.Error("the log does not tell why")
		}
	})
}

func TestShutdownEndsFeedsAtOnceAndLetsRequestsFinish(t *testing.T) {
	f := newFake()
	f.happen(1)
	entered, release := make(chan struct{}), make(chan struct{})
	services := f.services()
	services.Health = func(context.Context) error { close(entered); <-release; return nil }
	s, _ := newServer(t, f)
	s.services = services
	base, client, stop, served := serve(t, s)

	request, _ := http.NewRequestWithContext(t.Context(), "GET", base+api.PathFeed, nil)
	request.Header.Set("Authorization", "Bearer appserver")
	feed, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Body.Close()
	lines := bufio.NewReader(feed.Body)
	for range 2 { // header, event
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	slow := make(chan int)
	go func() {
		answer, err := client.Get(base + api.PathHealth)
		if err != nil {
			slow <- 0
			return
		}
		answer.Body.Close()
		slow <- answer.StatusCode
	}()
	<-entered
	stop()
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("the feed ended with %q, %v, want a clean end", rest, err)
	}
	close(release)
	if status := <-slow; status != http.StatusOK {
		t.Errorf("the request under way got the status %d", status)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestAFollowerThatIsGoneIsForgotten(t *testing.T) {
	f := newFake()
	feed := &watchedFeed{fake: f, waiting: make(chan struct{}), gone: make(chan struct{})}
	services := f.services()
	services.Feed = feed
	s, _ := newServer(t, f)
	s.services = services
	base, client, _, _ := serve(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, "GET", base+api.PathFeed, nil)
	request.Header.Set("Authorization", "Bearer appserver")
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	<-feed.waiting
	cancel()
	answer.Body.Close()
	<-feed.gone
}

// watchedFeed tells when its one follower waits, and when that one was sent away.
type watchedFeed struct {
	*fake
	waiting, gone chan struct{}
	once          sync.Once
}

func (f *watchedFeed) Wait(ctx context.Context, after int64) error {
	f.once.Do(func() { close(f.waiting) })
	err := f.fake.Wait(ctx, after)
	if errors.Is(err, context.Canceled) {
		close(f.gone)
	}
	return err
}

// serve runs a server on loopback until the test ends or stop is called.
func serve(t testing.TB, s *Server) (base string, client *http.Client, stop func(), served chan error) {
	t.Helper()
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	client = certificate.Client()
	pair := certificate.TLS.Certificates[0]
	certificate.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := client.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	client = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(context.Background())
	served = make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		served <- s.Serve(ctx, l, &tls.Config{Certificates: []tls.Certificate{pair}})
	}()
	t.Cleanup(func() { cancel(); client.CloseIdleConnections(); <-ended })
	return "https://" + l.Addr().String(), client, cancel, served
}

func TestOldTLSIsRefused(t *testing.T) {
	s, _ := newServer(t, newFake())
	base, client, _, _ := serve(t, s)
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig.MaxVersion = tls.VersionTLS11
	transport.TLSClientConfig.MinVersion = tls.VersionTLS10
	if answer, err := client.Get(base + api.PathHealth); err == nil {
		answer.Body.Close()
		t.Error("TLS 1.1 was accepted")
	}
}
