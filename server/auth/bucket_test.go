package auth

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	b := newBucket(10, 20)
	expect := func(now time.Time, n float64, ok bool, wait time.Duration) {
		t.Helper()
		if gotWait, gotOK := b.take(n, now); gotOK != ok || gotWait != wait {
			t.Errorf("take(%g) at %s: %t after %s, want %t after %s", n, now.Sub(start), gotOK, gotWait, ok, wait)
		}
	}
	expect(at(0), 20, true, 0)                           // full at first
	expect(at(0), 1, false, 100*time.Millisecond)        // empty
	expect(at(0.05), 1, false, 50*time.Millisecond)      // a refusal takes nothing
	expect(at(0.1), 1, true, 0)                          // one who waits as told is let in
	expect(at(100), 20, true, 0)                         // it never holds more than the burst
	expect(at(100), 1, false, 100*time.Millisecond)      //
	expect(at(101), 50, false, time.Second)              // more than the burst needs a full bucket
	expect(at(102), 50, true, 0)                         // and leaves a debt
	expect(at(102), 1, false, 3100*time.Millisecond)     //
	b.give(30, at(102))                                  // which a settlement pays
	expect(at(102), 1, false, 100*time.Millisecond)      //
	b.give(1000, at(102))                                // but never above the burst
	expect(at(102), 20, true, 0)                         //
	b.give(-20, at(102))                                 // what was more than expected is owed
	expect(at(103), 1, false, 1100*time.Millisecond)     //
	expect(at(90), 1, false, 1100*time.Millisecond)      // a clock that goes back gives nothing
	b.configure(1, 2)                                    //
	if wait, ok := b.take(1, at(103)); ok || wait <= 0 { // less, and what was spent stays spent
		t.Errorf("after the limits were lowered: %t, %s", ok, wait)
	}
	if wait := seconds(1e12); wait != maxWait {
		t.Errorf("the longest wait is %s", wait)
	}
}
