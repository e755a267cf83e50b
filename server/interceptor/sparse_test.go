package interceptor

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSparse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparse{perSecond: 2}
		for i, want := range []struct {
			skipped int
			ok      bool
			after   time.Duration
		}{
			{0, true, 0},
			{0, true, 300 * time.Millisecond},
			{0, false, 300 * time.Millisecond},
			{0, false, 400 * time.Millisecond},
			{2, true, 0},
			{0, true, 999 * time.Millisecond},
			{0, false, time.Millisecond},
			{1, true, 0},
		} {
			if skipped, ok := s.allow(); skipped != want.skipped || ok != want.ok {
				t.Errorf("event %d: %d skipped, %t, want %+v", i, skipped, ok, want)
			}
			time.Sleep(want.after) //nolint:forbidigo // the clock of the bubble
		}
	})
}
