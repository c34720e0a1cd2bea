package api

import "time"

// PathFeed is the ordered stream of changes: GET [PathFeed]?after=SEQ. The answer is
// newline-delimited JSON, one [FeedLine] a line, and does not end: first a line with
// Header, then an Event for every change after SEQ, in the order in which the platform
// committed them, then further ones as they happen; a line with only Head comes at least
// every [FeedHeartbeat] so that both sides notice a dead connection.
const PathFeed = "/v1/feed"

// FeedHeartbeat is the longest silence on a feed.
const FeedHeartbeat = 5 * time.Second

// FeedLine is one line of the feed: exactly one field is set.
type FeedLine struct {
	Header *FeedHeader `json:"header,omitempty"`
	Event  *Event      `json:"event,omitempty"`
	Head   *int64      `json:"head,omitempty"`
}

// FeedHeader begins a feed.
type FeedHeader struct {
	// ID names the history that the sequence numbers belong to. A replica that holds
	// another one, or a number above Head, follows a platform that was restored or
	// replaced, and must fetch everything anew.
	ID   string `json:"id"`
	Head int64  `json:"head"`
}

// Event is one change: exactly one of SIM and Credential is set, in its new state.
// Sequence numbers start at 1 and have no gaps.
type Event struct {
	Seq        int64       `json:"seq"`
	Time       time.Time   `json:"time"`
	SIM        *SIM        `json:"sim,omitempty"`
	Credential *Credential `json:"credential,omitempty"`
}
