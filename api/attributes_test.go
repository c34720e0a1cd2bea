package api

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

func TestAttributesHaveBounds(t *testing.T) {
	many := Attributes{}
	for n := range MaxAttributes {
		many[fmt.Sprint("a", n)] = "v"
	}
	good := []Attributes{
		nil, {"site": "Zürich, Gleis 4"}, {strings.Repeat("k", MaxAttributeKey): strings.Repeat("v", MaxAttributeValue)}, {"a.b-c_9": "1"}, many,
	}
	for _, a := range good {
		if err := a.Check(); err != nil {
			t.Errorf("%v: %v", a, err)
		}
	}
	tooMany := maps.Clone(many)
	tooMany["one-more"] = "v"
	bad := []Attributes{
		tooMany, {"": "v"}, {"Site": "v"}, {"a b": "v"}, {strings.Repeat("k", MaxAttributeKey+1): "v"},
		{"k": ""}, {"k": strings.Repeat("v", MaxAttributeValue+1)}, {"k": "a\nb"}, {"k": "\xFF"}, {"k": "\x7F"},
	}
	for _, a := range bad {
		if a.Check() == nil {
			t.Errorf("%q is taken", a)
		}
	}
}

func TestAChangeOfAttributesTouchesWhatItNames(t *testing.T) {
	before := Attributes{"tenant": "a", "site": "x"}
	after, err := AttributeChange{Set: Attributes{"tenant": "b"}, Remove: []string{"site", "absent"}}.Apply(before)
	if err != nil || !maps.Equal(after, Attributes{"tenant": "b"}) {
		t.Errorf("got %v, %v", after, err)
	}
	if !maps.Equal(before, Attributes{"tenant": "a", "site": "x"}) {
		t.Errorf("what was given became %v", before)
	}
	if after, err := (AttributeChange{Remove: []string{"tenant", "site"}}).Apply(before); err != nil || after != nil {
		t.Errorf("all removed: got %v, %v", after, err)
	}
	for _, c := range []AttributeChange{
		{Set: Attributes{"site": "y"}, Remove: []string{"site"}}, {Set: Attributes{"SITE": "y"}}, {Remove: []string{"not a key"}},
	} {
		if after, err := c.Apply(before); err == nil {
			t.Errorf("%+v is taken: %v", c, after)
		}
	}
}
