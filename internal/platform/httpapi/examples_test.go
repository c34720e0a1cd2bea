package httpapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// Every body that is asked for, and every answer to a good request, is shown by an example, and one in
// JSON fits its schema.
func TestEveryOperationShowsWhatItTakesAndAnswers(t *testing.T) {
	s, _ := newServer(t, newFake())
	d := s.api.OpenAPI()
	shown := 0
	check := func(at string, content map[string]*huma.MediaType, mode huma.ValidateMode) {
		for kind, body := range content {
			example := body.Example
			for _, e := range body.Examples {
				example = e.Value
			}
			if example == nil || reflect.ValueOf(example).IsZero() {
				t.Errorf("%s: %s has no example", at, kind)
				continue
			}
			shown++
			if body.Schema == nil {
				t.Errorf("%s: %s has no schema", at, kind)
				continue
			}
			text, err := json.Marshal(example)
			if err != nil {
				t.Fatal(at, err)
			}
			var plain any
			if err := json.Unmarshal(text, &plain); err != nil {
				t.Fatal(at, err)
			}
			var result huma.ValidateResult
			huma.Validate(d.Components.Schemas, body.Schema, huma.NewPathBuffer(nil, 0), mode, plain, &result)
			for _, err := range result.Errors {
				t.Errorf("%s: the example %s does not fit: %v", at, text, err)
			}
		}
	}
	for path, item := range d.Paths {
		for _, op := range operations(item) {
			if op.RequestBody != nil {
				check(op.OperationID+" takes", op.RequestBody.Content, huma.ModeWriteToServer)
			}
			good := 0
			for status, r := range op.Responses {
				if strings.HasPrefix(status, "2") {
					good++
					check(op.OperationID+" answers", r.Content, huma.ModeReadFromServer)
					if len(r.Content) == 0 && status != "204" {
						t.Errorf("%s %s: what it answers with %s is not described", op.Method, path, status)
					}
				}
			}
			if good == 0 {
				t.Errorf("%s %s: no good answer is described", op.Method, path)
			}
		}
	}
	if shown < len(goodRequests(t)) {
		t.Errorf("only %d examples were seen", shown)
	}
}

// What is served is what was checked.
func TestTheServedDocumentHoldsTheExamples(t *testing.T) {
	s, _ := newServer(t, newFake())
	op := findOperation(fetchDocument(t, s), "get-sim")
	body, ok := op.Responses["200"].Content["application/json"].(map[string]any)
	if !ok {
		t.Fatalf("get-sim is not described: %+v", op)
	}
	if example, _ := body["example"].(map[string]any); example["iccid"] != exampleICCID {
		t.Errorf("the example of a SIM is served as %v", body["example"])
	}
}
