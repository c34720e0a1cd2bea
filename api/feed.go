package api

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// PathFeed is the ordered stream of changes, which server middlewares follow. The answer
// to a GET is newline-delimited JSON, one [FeedLine] a line, and does not end.
//
// With ?after=SEQ&id=ID&mark=MARK, a [FeedPosition], it goes on from there: first a line
// with Header, then an Event for every change after SEQ, in the order in which the platform
// committed them, then further ones as they happen. A position that is not in the platform's
// history is refused with [CodeFeedHistory]: the platform was restored from a backup or
// replaced, and what the follower knows of it may never have been. Without ID and mark
// nothing is compared.
//
// With ?state=true it begins with the present state: a line with Header, a line with State
// for every SIM and every credential that may be of use again, and a Heartbeat. The
// state is read while changes go on, so that some lines are newer than the header. The events
// after the header's position follow; when those up to the heartbeat's head are applied, the
// state is that of the platform at that moment.
//
// Who may know some fleets only is told of these alone. Skipped then tells up to where there is
// nothing for it; the next event is the first after that.
//
// A Heartbeat comes at least every [FeedHeartbeat], so that both sides notice a dead
// connection.
const PathFeed = "/v1/feed"

// FeedHeartbeat is the longest silence on a feed.
const FeedHeartbeat = 5 * time.Second

// FeedPosition is a place in a history: after the event with this number and mark. The zero
// Seq is before the first.
type FeedPosition struct {
	// ID names the history. A platform keeps it for life; one that is set up anew has another.
	ID  string `json:"id"`
	Seq int64  `json:"seq"`
	// Mark is that of the event. Since no two events ever have the same, even those that two
	// platforms restored from one backup number alike, a position tells which of
	// their histories it belongs to.
	Mark string `json:"mark,omitempty"`
}

// FeedLine is one line of the feed: exactly one field is set.
type FeedLine struct {
	Header    *FeedHeader `json:"header,omitempty"`
	State     *Event      `json:"state,omitempty"` // without a number, and a certificate without itself
	Event     *Event      `json:"event,omitempty"`
	Skipped   *Skipped    `json:"skipped,omitempty"`
	Heartbeat *Heartbeat  `json:"heartbeat,omitempty"`
}

// Skipped is the last of one or more events that are of other fleets.
type Skipped struct {
	Seq  int64  `json:"seq"`
	Mark string `json:"mark,omitempty"`
}

// FeedHeader begins a feed.
type FeedHeader struct {
	FeedPosition // after which the events come

	Head  int64     `json:"head"`            // the number of the platform's last event
	Time  time.Time `json:"time"`            // by the platform's clock
	CAs   string    `json:"cas,omitempty"`   // see [CADigest]
	State bool      `json:"state,omitempty"` // the state comes first
}

// Heartbeat is a sign of life.
type Heartbeat struct {
	Head int64     `json:"head"` // the number of the platform's last event
	Time time.Time `json:"time"` // by the platform's clock
	CAs  string    `json:"cas,omitempty"`
}

// CADigest tells whether what [Client.TrustAnchors] and [Client.Issuers] return has changed.
func CADigest(anchors, issuers []byte) string {
	h := sha256.New()
	h.Write(anchors)
	h.Write([]byte{0})
	h.Write(issuers)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Event is one change: exactly one of SIM and Credential is set, in its new state.
// Sequence numbers start at 1 and have no gaps.
type Event struct {
	Seq        int64       `json:"seq,omitempty"`
	Mark       string      `json:"mark,omitempty"` // random; see [FeedPosition]
	Time       time.Time   `json:"time"`
	SIM        *SIM        `json:"sim,omitempty"`
	Credential *Credential `json:"credential,omitempty"`
}
