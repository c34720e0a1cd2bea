package apdu

import (
	"testing"

	"pgregory.net/rapid"
)

func TestChannelsSitInTheClassByteAsTheStandardSays(t *testing.T) {
	for _, c := range []struct {
		cla  byte
		ch   int
		want byte
	}{
		{0x00, 0, 0x00}, {0x00, 3, 0x03}, {0x80, 1, 0x81},
		{0x00, 4, 0x40}, {0x00, 19, 0x4F}, {0x80, 4, 0xC0}, {0x80, 19, 0xCF},
		{0x84, 0, 0x84}, {0x84, 2, 0x86}, {0x84, 4, 0xE0}, {0x0C, 1, 0x0D}, {0xE1, 0, 0x84},
		{0x10, 1, 0x11}, {0x90, 5, 0xD1}, {0x83, 0, 0x80},
	} {
		if got := OnChannel(c.cla, c.ch); got != c.want {
			t.Errorf("class %02X on channel %d: %02X, want %02X", c.cla, c.ch, got, c.want)
		}
	}
}

func TestMovingACommandToAChannelKeepsWhatElseItsClassSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cla := rapid.SampledFrom([]byte{0x00, 0x80, 0x04, 0x0C, 0x84, 0x10, 0x94, 0x42, 0xC2, 0x65, 0xE5, 0xF5}).Draw(t, "cla")
		ch := rapid.IntRange(0, MaxChannel).Draw(t, "channel")
		got := OnChannel(cla, ch)
		if ChannelOf(got) != ch {
			t.Fatalf("%02X on channel %d is %02X, which is channel %d", cla, ch, got, ChannelOf(got))
		}
		if Secured(got) != Secured(cla) || (got^cla)&0x90 != 0 {
			t.Fatalf("%02X on channel %d is %02X", cla, ch, got)
		}
		if again := OnChannel(got, ch); again != got {
			t.Fatalf("%02X moved to its own channel is %02X", got, again)
		}
	})
}

func TestSecureMessagingIsSeenInEveryClassForm(t *testing.T) {
	for cla, want := range map[byte]bool{
		0x00: false, 0x03: false, 0x04: true, 0x08: true, 0x0C: true, 0x80: false, 0x84: true,
		0x4C: false, 0x6C: true, 0xC4: false, 0xE0: true, 0x10: false,
	} {
		if got := Secured(cla); got != want {
			t.Errorf("class %02X: %v", cla, got)
		}
	}
}
