package laws

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
)

// stranger makes requests that the OpenAPI document allows, and some that it does not. It is seeded: what
// it finds it finds again.
type stranger struct {
	rand    *rand.Rand
	schemas map[string]map[string]any
}

var oddTexts = []string{"", "x", "meters", "89882119900000000017", "☃", "../..", "%00", strings.Repeat("9", 300), "-1", "2160h", "AAAA", "null"}

// value makes one for a schema.
func (s *stranger) value(schema map[string]any, depth int) any {
	if s.rand.IntN(12) == 0 || depth > 6 {
		return []any{nil, -1, 1 << 40, true, oddTexts[s.rand.IntN(len(oddTexts))], []any{}, map[string]any{}}[s.rand.IntN(7)]
	}
	if ref, ok := schema["$ref"].(string); ok {
		return s.value(s.schemas[ref[strings.LastIndexByte(ref, '/')+1:]], depth+1)
	}
	if all, ok := schema["enum"].([]any); ok && len(all) > 0 {
		return all[s.rand.IntN(len(all))]
	}
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]any); ok && len(kinds) > 0 {
		kind, _ = kinds[s.rand.IntN(len(kinds))].(string)
	}
	switch kind {
	case "object":
		out := map[string]any{}
		properties, _ := schema["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if p, ok := properties[name].(map[string]any); ok && name != "$schema" && s.rand.IntN(5) > 0 {
				out[name] = s.value(p, depth+1)
			}
		}
		return out
	case "array":
		items, _ := schema["items"].(map[string]any)
		out := []any{}
		for range s.rand.IntN(4) {
			out = append(out, s.value(items, depth+1))
		}
		return out
	case "integer", "number":
		return []int64{0, 1, 2, -1, 1000, 1 << 53}[s.rand.IntN(6)]
	case "boolean":
		return s.rand.IntN(2) == 0
	}
	if examples, ok := schema["examples"].([]any); ok && len(examples) > 0 && s.rand.IntN(2) == 0 {
		return examples[0]
	}
	return oddTexts[s.rand.IntN(len(oddTexts))]
}

// Whatever a client of any role sends, it is answered, and never as a fault of the platform's.
func TestNoRequestThatTheOpenAPIDocumentSuggestsIsAFault(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	w.sims("meters", "common", "89882119900000000017")
	tokens := map[string]string{"": "", "wrong": "simroot_guess"}
	for _, role := range []api.Role{api.RoleAdmin, api.RoleOperator, api.RoleAuditor, api.RoleAppServer} {
		made, err := w.Admin.CreateToken(t.Context(), api.TokenRequest{Name: "stranger", Role: role})
		if err != nil {
			t.Fatal(err)
		}
		tokens[string(role)] = made.Secret
	}
	roots, err := api.LoadRoots(w.TrustAnchor())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	answer, err := client.Get(w.URL + api.PathOpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]map[string]any }
	}
	err = json.NewDecoder(answer.Body).Decode(&document)
	answer.Body.Close()
	if err != nil || len(document.Paths) == 0 {
		t.Fatal(err, len(document.Paths))
	}
	s := &stranger{rand.New(rand.NewPCG(1, 2)), document.Components.Schemas}
	statuses := map[int]int{}
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(document.Paths[path])) {
			text := document.Paths[path][method]
			var op struct {
				OperationID string
				Parameters  []struct {
					Name, In string
					Schema   map[string]any
				}
				RequestBody *struct {
					Content map[string]struct{ Schema map[string]any }
				}
			}
			if json.Unmarshal(text, &op) != nil || op.OperationID == "" || op.OperationID == "follow-feed" {
				continue
			}
			for _, role := range slices.Sorted(maps.Keys(tokens)) {
				secret := tokens[role]
				for range 5 {
					target, query := path, url.Values{}
					var headers [][2]string
					for _, p := range op.Parameters {
						v := fmt.Sprint(s.value(p.Schema, 0))
						switch {
						case p.In == "path":
							target = strings.ReplaceAll(target, "{"+p.Name+"}", url.PathEscape(v))
						case s.rand.IntN(3) == 0:
						case p.In == "query":
							query.Set(p.Name, v)
						case p.In == "header":
							headers = append(headers, [2]string{p.Name, strings.Map(func(r rune) rune {
								if r < ' ' || r > '~' {
									return -1
								}
								return r
							}, v)})
						}
					}
					var body []byte
					kind := ""
					if op.RequestBody != nil {
						for k, c := range op.RequestBody.Content {
							kind = k
							body, _ = json.Marshal(s.value(c.Schema, 0))
						}
						if len(body) > 0 && s.rand.IntN(10) == 0 {
							body = body[:s.rand.IntN(len(body))]
						}
					}
					r, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), w.URL+target+"?"+query.Encode(), bytes.NewReader(body))
					if err != nil {
						continue // not even a request
					}
					if kind != "" {
						r.Header.Set("Content-Type", kind)
					}
					for _, h := range headers {
						r.Header.Set(h[0], h[1])
					}
					if secret != "" {
						r.Header.Set("Authorization", "Bearer "+secret)
					}
					answer, err := client.Do(r)
					if err != nil {
						t.Fatalf("%s as %q: %v", op.OperationID, role, err)
					}
					said, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
					answer.Body.Close()
					statuses[answer.StatusCode/100]++
					if answer.StatusCode >= 500 {
						t.Errorf("%s as %q: %s %s?%s %s: %d %s", op.OperationID, role, method, target, query.Encode(), body, answer.StatusCode, said)
					}
				}
			}
		}
	}
	if statuses[2] == 0 || statuses[4] == 0 {
		t.Errorf("answers by class: %v: the requests are not varied", statuses)
	}
	t.Log("answers by class:", statuses)
}
