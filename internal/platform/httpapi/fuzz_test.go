package httpapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/api"
)

// anyValue draws JSON of any shape.
func anyValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 6
		if depth == 0 {
			kinds = 4
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.Float64Range(-1e308, 1e308).Draw(t, "number")
		case 3:
			return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "01", "AA==", "24h", "admin", "psk", "certificate"})).Draw(t, "string")
		case 4:
			return rapid.SliceOfN(anyValue(depth-1), 0, 3).Draw(t, "array")
		default:
			return rapid.MapOfN(rapid.String(), anyValue(depth-1), 0, 3).Draw(t, "object")
		}
	})
}

// spoil changes a good body: one value, at any depth, becomes another or vanishes.
func spoil(t *rapid.T, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 && rapid.Bool().Draw(t, "go on") {
			key := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(t, "key")
			v = maps.Clone(v)
			if rapid.Bool().Draw(t, "drop") {
				delete(v, key)
			} else {
				v[key] = spoil(t, v[key])
			}
			return v
		}
	case []any:
		if len(v) > 0 && rapid.Bool().Draw(t, "go on") {
			v = slices.Clone(v)
			i := rapid.IntRange(0, len(v)-1).Draw(t, "index")
			v[i] = spoil(t, v[i])
			return v
		}
	}
	return anyValue(2).Draw(t, "value")
}

func TestNoMalformedRequestIsAnInternalError(t *testing.T) {
	f := newFake()
	_, f.sealingKey, _ = api.GenerateSealKey()
	s, log := newServer(t, f)
	requests := goodRequests(t)
	ids := slices.Sorted(maps.Keys(requests))
	rapid.Check(t, func(rt *rapid.T) {
		r := requests[rapid.SampledFrom(ids).Draw(rt, "operation")]
		body := r.body
		var good any
		switch {
		case json.Unmarshal([]byte(r.body), &good) == nil && rapid.Bool().Draw(rt, "spoil"):
			bad, _ := json.Marshal(spoil(rt, good))
			body = string(bad)
		case rapid.Bool().Draw(rt, "cut"):
			body = body[:rapid.IntRange(0, len(body)).Draw(rt, "length")]
		default:
			body = rapid.String().Draw(rt, "body")
		}
		secret := api.RoleAdmin
		if len(r.roles) == 1 {
			secret = r.roles[0]
		}
		if answer := do(s, r.method, r.path, body, string(secret)); answer.StatusCode >= 500 {
			rt.Fatalf("%s %s with the body %s: status %d\n%s", r.method, r.path, body, answer.StatusCode, log)
		}
	})
}

func FuzzBodiesNeverCauseAnInternalError(f *testing.F) {
	for _, r := range goodRequests(f) {
		f.Add(r.method, r.path, r.body)
	}
	f.Add("POST", api.PathFleets, `{"name":"a","profile":{"type":"psk","slots":[{},{}]}}`)
	f.Add("GET", api.PathSIMs+"?limit=-1&after=%00", "")
	s, log := newServer(f, newFake())
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r, err := http.NewRequest(method, "https://platform"+path, strings.NewReader(body))
		if err != nil || strings.HasPrefix(path, api.PathFeed) {
			return
		}
		r.Header.Set("Authorization", "Bearer admin")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("status %d\n%s", w.Code, log)
		}
	})
}
