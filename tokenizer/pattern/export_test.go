package pattern

import "time"

// SetTime sets what a search may take, whatever its text.
func (r *Regexp) SetTime(d time.Duration) {
	r.re.MatchTimeout = d
	r.time = func(int) time.Duration { return d }
}
