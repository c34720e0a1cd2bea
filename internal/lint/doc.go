// Package lint holds the house rules that no general linter knows, as tests: which room
// may import which, how long a file may be, what a package may not be called. Run
// them with "make lint" or "go test ./internal/lint".
package lint
