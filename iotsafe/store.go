package iotsafe

import (
	"context"
	"fmt"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

// insGetData is GET DATA.
const insGetData = 0xCB

// What GET DATA is asked for in P1, besides the kinds of objects.
const (
	p1Application = 0x00
	p1List        = 0x01
)

// maxListRounds bounds the parts of an object list: 64 of 255 bytes are far more than
// an applet holds.
const maxListRounds = 64

// infoSize is the size of the application information, which some peers demand as Le.
const infoSize = 0x44

// Info asks the applet what it offers.
func (a *Applet) Info(ctx context.Context) (Info, error) {
	what := Error{Op: opInfo}
	b, err := a.call(ctx, what, apdu.Command{INS: insGetData, P1: p1Application, Le: infoSize})
	if err != nil {
		return Info{}, err
	}
	if len(b) == 0 {
		return Info{}, what.failed(errNoData)
	}
	return ParseInfo(b)
}

// Objects lists what the applet's store holds.
func (a *Applet) Objects(ctx context.Context) ([]Object, error) {
	what := Error{Op: opList}
	if err := a.acquire(ctx); err != nil {
		return nil, what.failed(err)
	}
	defer a.release()
	c := apdu.Command{INS: insGetData, P1: p1List, Le: apdu.MaxLe}
	var list []byte
	for range maxListRounds {
		r, err := a.send(ctx, c)
		switch {
		case err != nil:
			return nil, what.failed(err)
		case r.SW != apdu.MoreData && !r.SW.Succeeded():
			return nil, what.refused(r.SW)
		}
		list = append(list, r.Data...)
		if r.SW != apdu.MoreData {
			return ParseObjects(list)
		}
		c.P2 = 0x01
	}
	return nil, what.failed(fmt.Errorf("the card still had more after %d parts", maxListRounds))
}

// ParseObjects reads an object list, descriptions that follow each other, and passes over
// what it does not know. Some applets describe several keys in one structure, where a label
// or an identifier that comes again begins the next.
func ParseObjects(list []byte) ([]Object, error) {
	entries, err := tlv.ParseSimple(list)
	if err != nil {
		return nil, fmt.Errorf("iotsafe: object list: %w", err)
	}
	var objects []Object
	for _, e := range entries {
		kind := Kind(e.Tag)
		if !kind.known() {
			continue
		}
		attributes, err := tlv.ParseSimple(e.Value)
		if err != nil {
			return nil, fmt.Errorf("iotsafe: description of a %s: %w", kind, err)
		}
		for _, one := range splitObjects(kind, attributes) {
			o := object(kind, one)
			if err := o.Check(); err != nil {
				return nil, fmt.Errorf("iotsafe: object list: %w", err)
			}
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// splitObjects cuts the attributes of one structure where another object begins: where a
// label or an identifier comes for the second time, or behind the attributes of a named one.
func splitObjects(kind Kind, attributes []tlv.Object) [][]tlv.Object {
	isID := func(a tlv.Object) bool { return byte(a.Tag) == kind.IDTag() }
	if first := slices.IndexFunc(attributes, isID); first < 0 || !slices.ContainsFunc(attributes[first+1:], isID) {
		return [][]tlv.Object{attributes}
	}
	var all [][]tlv.Object
	var labelled, named, described bool
	begin := 0
	for i, a := range attributes {
		label, id := byte(a.Tag) == kind.LabelTag(), isID(a)
		if (label || id) && (label && labelled || id && named || named && described) {
			all, begin = append(all, attributes[begin:i]), i
			labelled, named, described = false, false, false
		}
		labelled, named, described = labelled || label, named || id, described || !label && !id
	}
	return append(all, attributes[begin:])
}

// Object asks for the description of one object.
func (a *Applet) Object(ctx context.Context, kind Kind, id ID) (Object, error) {
	what := Error{Op: opDescribe, Kind: kind, ID: id}
	c, err := command(insGetData, kind, id)
	if err != nil {
		return Object{}, what.failed(err)
	}
	c.P1 = byte(kind)
	b, err := a.call(ctx, what, c)
	if err != nil {
		return Object{}, err
	}
	o, err := ParseObject(kind, b)
	if err != nil {
		return Object{}, what.failed(err)
	}
	if o.ID != id {
		return Object{}, what.failed(fmt.Errorf("the card described %s %s instead", o.Kind, o.ID))
	}
	return o, nil
}

// command is a command on one object, with an answer.
func command(ins byte, kind Kind, id ID) (apdu.Command, error) {
	if !kind.known() {
		return apdu.Command{}, fmt.Errorf("unknown %s", kind)
	}
	if err := id.Check(); err != nil {
		return apdu.Command{}, err
	}
	return apdu.Command{INS: ins, Data: tlv.AppendSimple(nil, kind.IDTag(), []byte(id)...), Le: apdu.MaxLe}, nil
}
