package twice

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

type place struct {
	number       [Size]byte
	first, again uint32
}

func number(n uint64) (b [Size]byte) {
	binary.BigEndian.PutUint64(b[2:], n)
	return b
}

func twiceIn(t *testing.T, l *List) (all []place) {
	t.Helper()
	if err := l.Twice(func(number [Size]byte, first, again uint32) { all = append(all, place{number, first, again}) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatStandsTwiceIsFoundWithItsPlaces(t *testing.T) {
	for _, count := range []int{0, 1, 2, 1000, held - 1, held, held + 1, 3*held + 77} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			var l List
			first := map[[Size]byte]uint32{}
			var want []place
			for at := range uint32(count) {
				n := number(r.Uint64N(uint64(10 * count))) // some stand three times
				if before, known := first[n]; known {
					want = append(want, place{n, before, at})
				} else {
					first[n] = at
				}
				if err := l.Add(n, at); err != nil {
					t.Fatal(err)
				}
			}
			slices.SortFunc(want, func(a, b place) int {
				return slices.Compare(append(a.number[:], binary.BigEndian.AppendUint32(nil, a.again)...), append(b.number[:], binary.BigEndian.AppendUint32(nil, b.again)...))
			})
			if got := twiceIn(t, &l); !slices.Equal(got, want) {
				t.Errorf("%d numbers stand again, want %d", len(got), len(want))
			}
			if cap(l.last) > 2*held {
				t.Errorf("%d entries are in memory", cap(l.last))
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

func TestTheFirstNumberOfAllMayStandTwice(t *testing.T) {
	var l List
	for at := range uint32(3) {
		if err := l.Add(number(0), at+5); err != nil {
			t.Fatal(err)
		}
	}
	if got := twiceIn(t, &l); !slices.Equal(got, []place{{number(0), 5, 6}, {number(0), 5, 7}}) {
		t.Errorf("got %v", got)
	}
}

func TestAFileThatIsCutShortIsNoticed(t *testing.T) {
	var l List
	defer l.Close()
	for at := range uint32(held) {
		if err := l.Add(number(uint64(at)), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.file.Truncate(10 * int64(len(entry{}))); err != nil {
		t.Fatal(err)
	}
	if err := l.Twice(func([Size]byte, uint32, uint32) {}); err == nil {
		t.Error("nobody has noticed")
	}
}

func BenchmarkAMillion(b *testing.B) {
	for b.Loop() {
		var l List
		for at := range uint32(1_000_000) {
			if err := l.Add(number(rand.Uint64()), at); err != nil {
				b.Fatal(err)
			}
		}
		if err := l.Twice(func([Size]byte, uint32, uint32) {}); err != nil {
			b.Fatal(err)
		}
		l.Close()
	}
}
