package profile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxSize is the most that a profile's file may have, in bytes.
const MaxSize = 64 << 10

// Error says what is wrong with a profile, and where. It does not quote the file's
// lines, which may hold keys.
type Error struct {
	File  string // name as given
	Line  int    // 0: of the file as a whole
	Field string // path from the top, such as keys[2].hashes; "" for the top
	Err   error
}

func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where += ":" + strconv.Itoa(e.Line)
	}
	if e.Field != "" {
		where += ": " + e.Field
	}
	return fmt.Sprintf("card profile %s: %v", where, e.Err)
}

// Unwrap makes errors.Is and errors.As see the reason.
func (e *Error) Unwrap() error { return e.Err }

// node is a part of a YAML file that knows its place in it. Only what profiles need of
// YAML is taken: mappings, sequences and plain values; no anchors, aliases, tags or merges,
// and a second document is an error. A value is its text as it stands in the file, so
// that an identifier 01 is not the number one.
type node struct {
	file  string
	field string
	ast   ast.Node
}

// errorf is an [*Error] at the node.
func (n node) errorf(format string, args ...any) error {
	e := &Error{File: n.file, Field: n.field, Err: fmt.Errorf(format, args...)}
	if n.ast != nil {
		if t := n.ast.GetToken(); t != nil && t.Position != nil {
			e.Line = t.Position.Line
		}
	}
	return e
}

// document reads a file and returns its top.
func document(file string, b []byte) (node, error) {
	top := node{file: file}
	if len(b) > MaxSize {
		return top, top.errorf("larger than %d bytes", MaxSize)
	}
	tokens := lexer.Tokenize(string(b))
	if err := plain(file, tokens); err != nil {
		return top, err
	}
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return top, syntax(file, err)
	}
	if len(parsed.Docs) != 1 || parsed.Docs[0].Body == nil {
		return top, top.errorf("want one YAML document that describes a profile")
	}
	top.ast = parsed.Docs[0].Body
	return top, nil
}

// Bounds of what is given to the parser, whose time grows with the square of the nesting.
const (
	maxTokens  = 8192
	maxNesting = 4 // of [ and {, and of - and : in one line outside of these
)

// plain tells whether the parser will be quick, and refuses the parts of YAML that
// profiles do not have.
func plain(file string, tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return &Error{File: file, Err: fmt.Errorf("%d words and signs: want at most %d", len(tokens), maxTokens)}
	}
	nesting, line, inLine := 0, 0, 0
	for _, t := range tokens {
		refuse := func(text string) error {
			return &Error{File: file, Line: t.Position.Line, Err: errors.New(text)}
		}
		if t.Position.Line != line {
			line, inLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			nesting++
		case token.MappingEndType, token.SequenceEndType:
			nesting--
		case token.SequenceEntryType, token.MappingValueType:
			if nesting <= 0 {
				inLine++
			}
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.MappingKeyType, token.DirectiveType:
			return refuse("anchors, aliases, tags, merges, complex keys and directives have no place in a profile")
		}
		if nesting > maxNesting || inLine > maxNesting {
			return refuse("nested too deeply for a profile")
		}
	}
	return nil
}

// syntax turns the parser's error, which quotes the file, into one that does not.
func syntax(file string, err error) error {
	e := &Error{File: file, Err: errors.New("this is not YAML")}
	var located interface {
		GetMessage() string
	}
	if errors.As(err, &located) {
		e.Err = fmt.Errorf("this is not YAML: %s", located.GetMessage())
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "["), ":")
	if line, err := strconv.Atoi(first); err == nil {
		e.Line = line
	}
	return e
}

// mapping is a node's fields, in the order of the file.
type mapping struct {
	node
	fields map[string]node
}

// mapping reads a node as a mapping with no other than the given keys.
func (n node) mapping(known ...string) (mapping, error) {
	m := mapping{node: n, fields: map[string]node{}}
	var values []*ast.MappingValueNode
	switch v := n.ast.(type) {
	case *ast.MappingNode:
		values = v.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{v}
	default:
		return m, n.errorf("want fields: %s", strings.Join(known, ", "))
	}
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			return m, node{n.file, n.field, v.Key}.errorf("want a field: %s", strings.Join(known, ", "))
		}
		field := node{file: n.file, field: key.Value, ast: v.Value}
		if n.field != "" {
			field.field = n.field + "." + key.Value
		}
		at := node{file: n.file, field: field.field, ast: key}
		switch {
		case !slices.Contains(known, key.Value):
			return m, at.errorf("unknown field: want one of %s", strings.Join(known, ", "))
		case m.has(key.Value):
			return m, at.errorf("given twice")
		}
		m.fields[key.Value] = field
	}
	return m, nil
}

func (m mapping) has(key string) bool {
	_, there := m.fields[key]
	return there
}

// sequence reads a node as a sequence.
func (n node) sequence() ([]node, error) {
	s, ok := n.ast.(*ast.SequenceNode)
	if !ok {
		return nil, n.errorf("want a list")
	}
	items := make([]node, len(s.Values))
	for i, v := range s.Values {
		items[i] = node{file: n.file, field: fmt.Sprintf("%s[%d]", n.field, i), ast: v}
	}
	return items, nil
}

// text reads a node as a value.
func (n node) text() (string, error) {
	switch v := n.ast.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value, nil
	}
	return "", n.errorf("want a value")
}
