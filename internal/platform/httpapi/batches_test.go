package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/simroot/simroot/api"
)

// endless is n bytes that are nowhere in memory.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.n)
	e.n -= n
	return int(n), nil
}

func importOf(s *Server, body io.Reader) *http.Response {
	r := httptest.NewRequest("POST", api.PathBatches+"?fleet=meters", body)
	r.Header.Set("Authorization", "Bearer operator")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestABatchIsNotHeldInMemory(t *testing.T) {
	f := newFake()
	s, _ := newServer(t, f)
	const size = 256 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	answer := importOf(s, &endless{size})
	runtime.ReadMemStats(&after)
	if answer.StatusCode != http.StatusOK || f.imported != size {
		t.Fatalf("status %d, %d bytes imported", answer.StatusCode, f.imported)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("an import of %d bytes allocated %d", size, used)
	}
}

func TestATooLargeBatchIsRefused(t *testing.T) {
	s, _ := newServer(t, newFake())
	if e := refusal(t, importOf(s, &endless{maxBatchBody + 1})); e.Status != 413 || e.Code != api.CodeTooLarge {
		t.Errorf("%+v", e)
	}
}

func TestABatchThatIsCutShortOnTheWayIsABadRequest(t *testing.T) {
	s, _ := newServer(t, newFake())
	cut := io.MultiReader(bytes.NewReader([]byte("{}\n")), failing{})
	if e := refusal(t, importOf(s, cut)); e.Status != 400 || e.Code != api.CodeBadRequest {
		t.Errorf("%+v", e)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
