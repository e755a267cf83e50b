package bench

import "time"

// fullHouse measures how fast a closed loop decodes while every stream does: each has its first token and has not ended, so that
// no prompt is being read. It counts the gaps that lie in such a time as a whole, so that nothing hangs on the order in which
// the tokens of one step arrive.
type fullHouse struct {
	streams  int // 0: an open loop, which is never full
	decoding int
	since    time.Time // when the house last became full
	came     int64     // tokens
	gaps     time.Duration
}

// enter says that a stream has its first token.
func (f *fullHouse) enter(now time.Time) {
	f.decoding++
	if f.decoding == f.streams {
		f.since = now
	}
}

// tokens says that a stream has more tokens, and when its last ones came.
func (f *fullHouse) tokens(n int, last, now time.Time) {
	if f.decoding == f.streams && !last.Before(f.since) {
		f.came += int64(n)
		f.gaps += now.Sub(last)
	}
}

// leave says that a stream that had entered has ended.
func (f *fullHouse) leave() { f.decoding-- }

// elapsed is the time that the gaps make up, all streams side by side.
func (f *fullHouse) elapsed() time.Duration { return f.gaps / time.Duration(max(f.streams, 1)) }

// rate is in tokens a second of all streams together; 0 if the house never was full.
func (f *fullHouse) rate() float64 {
	if f.gaps <= 0 {
		return 0
	}
	return float64(f.streams) * float64(f.came) / f.gaps.Seconds()
}
