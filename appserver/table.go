package appserver

import (
	"hash/maphash"
	"slices"
)

// table holds records of one size without a pointer to each: a million of them cost the
// garbage collector nothing, and growing moves none. A record keeps its number until it is
// removed; the number may then be given to another.
//
// A frozen copy shares the table's chunks. Whoever changes a record afterwards does so in
// a chunk of its own, so that the copy can be written to disk while changes go on.
type table[T any] struct {
	chunks []*[chunkLen]T
	owned  []bool // whether no frozen copy shares the chunk
	used   uint32 // records that were ever given out
	free   []uint32
}

const chunkLen = 512

// at is the record to look at.
func (t *table[T]) at(i uint32) *T { return &t.chunks[i/chunkLen][i%chunkLen] }

// edit is the record to change.
func (t *table[T]) edit(i uint32) *T {
	n := i / chunkLen
	if !t.owned[n] {
		own := *t.chunks[n]
		t.chunks[n], t.owned[n] = &own, true
	}
	return &t.chunks[n][i%chunkLen]
}

// add gives out a record, which is zero.
func (t *table[T]) add() (uint32, *T) {
	if last := len(t.free) - 1; last >= 0 {
		i := t.free[last]
		t.free = t.free[:last]
		return i, t.edit(i)
	}
	i := t.used
	t.used++
	if int(i/chunkLen) == len(t.chunks) {
		t.chunks, t.owned = append(t.chunks, new([chunkLen]T)), append(t.owned, true)
	}
	return i, t.edit(i)
}

// remove takes a record back.
func (t *table[T]) remove(i uint32) {
	var zero T
	*t.edit(i) = zero
	t.free = append(t.free, i)
}

// len is the number of records that are given out.
func (t *table[T]) len() int { return int(t.used) - len(t.free) }

// freeze is a copy that nothing changes any more.
func (t *table[T]) freeze() table[T] {
	clear(t.owned)
	return table[T]{chunks: slices.Clone(t.chunks), used: t.used, free: slices.Clone(t.free)}
}

// index finds the numbers of records by a key that the records hold: of itself it keeps four
// bytes for each and the room between them (open addressing, linear probing, at most three
// quarters full). It grows a shard at a time, so that no change waits for the whole.
type index struct {
	seed   maphash.Seed
	shards [shards]shard
}

const shards = 256

type shard struct {
	slots []uint32 // 0 is empty, otherwise see slotOf; a power of two of them
	used  int
}

// A slot is a record's number plus one, and four bits of its key's hash: most records with another
// key need not be looked at. Before the numbers run out there are 30 GB of records.
const numberBits = 28

func slotOf(hash uint64, i uint32) uint32 {
	if i+1 >= 1<<numberBits {
		panic("appserver: too many records for an index")
	}
	return tagOf(hash) | (i + 1)
}

func tagOf(hash uint64) uint32 { return uint32(hash>>48) << numberBits }

func numberIn(slot uint32) uint32 { return slot&(1<<numberBits-1) - 1 }

func newIndex() index { return index{seed: maphash.MakeSeed()} }

// place is where the search for a key begins.
func (x *index) place(key []byte) (s *shard, hash uint64) {
	hash = maphash.Bytes(x.seed, key)
	return &x.shards[hash>>56], hash
}

// find returns the number of the record for which is says true, among those that the key
// may belong to.
func (x *index) find(key []byte, is func(i uint32) bool) (uint32, bool) {
	s, hash := x.place(key)
	if s.used == 0 {
		return 0, false
	}
	mask := uint64(len(s.slots) - 1)
	tag := tagOf(hash)
	for at := hash & mask; s.slots[at] != 0; at = (at + 1) & mask {
		slot := s.slots[at]
		if i := numberIn(slot); slot&^(1<<numberBits-1) == tag && is(i) {
			return i, true
		}
	}
	return 0, false
}

// insert adds a record that is not there yet. KeyOf tells the key of any record.
func (x *index) insert(key []byte, i uint32, keyOf func(i uint32) []byte) {
	s, hash := x.place(key)
	if 4*(s.used+1) > 3*len(s.slots) {
		old := s.slots
		s.slots = make([]uint32, max(16, 2*len(old)))
		for _, slot := range old {
			if slot != 0 {
				s.put(maphash.Bytes(x.seed, keyOf(numberIn(slot))), slot)
			}
		}
	}
	s.put(hash, slotOf(hash, i))
	s.used++
}

func (s *shard) put(hash uint64, slot uint32) {
	mask := uint64(len(s.slots) - 1)
	at := hash & mask
	for s.slots[at] != 0 {
		at = (at + 1) & mask
	}
	s.slots[at] = slot
}

// remove takes out a record, if it is there, and closes the gap.
func (x *index) remove(key []byte, i uint32, keyOf func(i uint32) []byte) {
	s, hash := x.place(key)
	if s.used == 0 {
		return
	}
	mask := uint64(len(s.slots) - 1)
	at := hash & mask
	for s.slots[at] != slotOf(hash, i) {
		if s.slots[at] == 0 {
			return
		}
		at = (at + 1) & mask
	}
	s.used--
	s.slots[at] = 0
	for next := (at + 1) & mask; s.slots[next] != 0; next = (next + 1) & mask {
		slot := s.slots[next]
		s.slots[next] = 0
		s.put(maphash.Bytes(x.seed, keyOf(numberIn(slot))), slot)
	}
}
