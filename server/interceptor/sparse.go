package interceptor

import (
	"sync"
	"time"
)

// sparse bounds the lines that one kind of event writes into the log, so that a flood of it fills no disk and costs
// little; a metric counts every event. It is safe for concurrent use.
type sparse struct {
	perSecond int

	mu      sync.Mutex
	began   time.Time // guarded by mu: the second that runs
	lines   int       // guarded by mu: that were let through in it
	skipped int       // guarded by mu: events since the last line
}

// allow says whether an event may write a line, and how many before it wrote none, which the line should say.
func (s *sparse) allow() (skipped int, ok bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.began) >= time.Second {
		s.began, s.lines = now, 0
	}
	if s.lines >= s.perSecond {
		s.skipped++
		return 0, false
	}
	s.lines++
	skipped, s.skipped = s.skipped, 0
	return skipped, true
}
