// Package clock gives the platform's services one notion of time.
package clock

import "time"

// Of returns a clock whose times can be stored without loss: UTC, to the microsecond, without
// a monotonic reading. Nil means time.Now.
func Of(now func() time.Time) func() time.Time {
	if now == nil {
		now = time.Now
	}
	return func() time.Time { return now().UTC().Truncate(time.Microsecond) }
}
