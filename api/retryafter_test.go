package api

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	const date = "Tue, 24 Nov 2026 10:00:00 GMT"
	for value, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		"-5":                            0,
		"soon":                          0,
		"99999999999999999999":          0, // no time at all: longer than anybody waits
		"Tue, 24 Nov 2026 10:05:00 GMT": 5 * time.Minute,
		"Tue, 24 Nov 2026 09:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
