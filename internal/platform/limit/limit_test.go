package limit

import (
	"net/netip"
	"testing"
	"time"
)

func TestABurstIsLetInAndThenTheRate(t *testing.T) {
	l, now := New[string](Rate{PerSecond: 2, Burst: 3}), time.Unix(0, 0)
	for i := range 3 {
		if wait := l.Take("a", now); wait != 0 {
			t.Fatalf("%d: wait %s", i, wait)
		}
	}
	wait := l.Take("a", now)
	if wait != 500*time.Millisecond {
		t.Errorf("wait %s, want half a second", wait)
	}
	if l.Take("b", now) != 0 {
		t.Error("another pays for it")
	}
	if l.Take("a", now.Add(wait)) != 0 || l.Take("a", now.Add(wait)) == 0 {
		t.Error("after the wait one more, and one only")
	}
	if l.Take("a", now.Add(-time.Hour)) == 0 {
		t.Error("a clock that goes backwards lets in")
	}
	if l.Take("a", now.Add(time.Hour)) != 0 {
		t.Error("an hour later it is refused")
	}
}

func TestTheMemoryIsBounded(t *testing.T) {
	l, now := New[int](Rate{PerSecond: 1, Burst: 1}), time.Unix(0, 0)
	l.most = 10
	for i := range 1000 {
		l.Take(i, now)
		l.Take(0, now) // comes again and again, and is not forgotten
	}
	if len(l.buckets) != 10 || l.recent.Len() != 10 {
		t.Errorf("%d buckets, %d in the list", len(l.buckets), l.recent.Len())
	}
	if l.Take(0, now) == 0 {
		t.Error("who comes all the time was forgotten")
	}
}

func TestTheZeroRateDoesNotLimit(t *testing.T) {
	l := New[int](Rate{})
	for range 1000 {
		if l.Take(1, time.Unix(0, 0)) != 0 {
			t.Fatal("refused")
		}
	}
}

func TestANetworkIsAnIPv4AddressOrAnIPv6Subnet(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Network(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
