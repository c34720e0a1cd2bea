package httpapi

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
)

type document struct {
	OpenAPI    string                          `json:"openapi"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas         map[string]any `json:"schemas"`
		SecuritySchemes map[string]any `json:"securitySchemes"`
	} `json:"components"`
}

type operation struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	RequestBody *struct {
		Content map[string]struct {
			Schema map[string]any `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string         `json:"description"`
		Content     map[string]any `json:"content"`
	} `json:"responses"`
}

func fetchDocument(t testing.TB, s *Server) document {
	t.Helper()
	answer := do(s, "GET", api.PathOpenAPI, "", "")
	var d document
	if err := json.NewDecoder(answer.Body).Decode(&d); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("OpenAPI document: %v, status %d", err, answer.StatusCode)
	}
	return d
}

// contractPaths reads the constants Path… from the source of package api.
func contractPaths(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../../api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(v.Names[0].Name, "Path") {
				return true
			}
			path, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
			return false
		})
	}
	return paths
}

func TestTheDocumentDescribesTheWholeContract(t *testing.T) {
	s, _ := newServer(t, newFake())
	d := fetchDocument(t, s)
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Errorf("OpenAPI version %q", d.OpenAPI)
	}
	paths := contractPaths(t)
	if len(paths) < 15 {
		t.Fatalf("only %d paths found in package api", len(paths))
	}
	for _, path := range paths {
		if d.Paths[path] == nil {
			t.Errorf("%s of package api is not described", path)
		}
	}
	seen := map[string]bool{}
	for path, operations := range d.Paths {
		if !slices.ContainsFunc(paths, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }) {
			t.Errorf("%s is described, but not in package api", path)
		}
		for method, op := range operations {
			at := method + " " + path
			if op.OperationID == "" || op.Summary == "" || len(op.Description) < 20 || len(op.Tags) != 1 {
				t.Errorf("%s is described incompletely: %+v", at, op)
			}
			if seen[op.OperationID] {
				t.Errorf("%s: the operation ID %s is not its own", at, op.OperationID)
			}
			seen[op.OperationID] = true
			if op.Responses["default"].Content["application/problem+json"] == nil {
				t.Errorf("%s: its refusals are not described: %v", at, op.Responses)
			}
		}
	}
	for id, r := range goodRequests(t) {
		delete(seen, id)
		op := findOperation(d, id)
		var roles []api.Role
		for _, requirement := range op.Security {
			for _, role := range requirement["bearer"] {
				roles = append(roles, api.Role(role))
			}
		}
		if id == "get-secret" || id == "get-secrets" {
			roles = slices.DeleteFunc(roles, func(r api.Role) bool { return r == api.RoleAdmin })
		}
		if !slices.Equal(roles, r.roles) {
			t.Errorf("%s: the document allows %v, the test expects %v", id, roles, r.roles)
		}
	}
	delete(seen, "follow-feed") // has tests of its own
	if len(seen) > 0 {
		t.Errorf("no good request is known for %v", slices.Collect(maps.Keys(seen)))
	}
}

func findOperation(d document, id string) operation {
	for _, operations := range d.Paths {
		for _, op := range operations {
			if op.OperationID == id {
				return op
			}
		}
	}
	return operation{}
}

func TestEveryReferenceInTheDocumentLeadsSomewhere(t *testing.T) {
	s, _ := newServer(t, newFake())
	d := fetchDocument(t, s)
	var text map[string]any
	if err := json.NewDecoder(do(s, "GET", api.PathOpenAPI, "", "").Body).Decode(&text); err != nil {
		t.Fatal(err)
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")] == nil {
				t.Errorf("%s: %s leads nowhere", at, ref)
			}
			for key, value := range v {
				walk(at+"/"+key, value)
			}
		case []any:
			for i, value := range v {
				walk(fmt.Sprint(at, "/", i), value)
			}
		}
	}
	walk("", text)
}

func TestUnknownPathsAndMethodsAreRefusedAsProblems(t *testing.T) {
	s, _ := newServer(t, newFake())
	for _, r := range [][2]string{{"GET", "/"}, {"GET", "/v1/nothing"}, {"PUT", api.PathFleets}, {"GET", "/v1/sims/"}} {
		if e := refusal(t, do(s, r[0], r[1], "", "admin")); e.Status != 404 {
			t.Errorf("%s %s: %+v", r[0], r[1], e)
		}
	}
}
