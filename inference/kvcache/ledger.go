// Package kvcache keeps the books of a session's memory for keys and values: which slots are taken and how many
// positions each holds (Ledger), and what the prefix store beside them knows (Prefix). It moves no memory itself; the
// one who asks does, through runner.Session.
package kvcache

import "fmt"

// Ledger knows the state of every slot of one session. A slot is free or holds one sequence of 0 to MaxLength
// positions. A Ledger is not safe for concurrent use. Its methods panic if the caller breaks their conditions: that
// is a bug in the scheduler, never the effect of a request.
type Ledger struct {
	maxLength int
	slots     []slot
	used      int // slots that are taken
	tokens    int // positions held in all slots
	committed int // positions that all slots have memory for
}

type slot struct {
	taken     bool
	length    int
	committed int // positions that it has had since its memory was last given back
}

// New makes the ledger of a session with the given number of slots, each of maxLength positions. Both are at
// least 1.
func New(slots, maxLength int) *Ledger {
	if slots < 1 || maxLength < 1 {
		panic(fmt.Sprintf("kvcache: %d slots of %d positions", slots, maxLength))
	}
	return &Ledger{maxLength: maxLength, slots: make([]slot, slots)}
}

// Used is the number of slots that are taken.
func (l *Ledger) Used() int { return l.used }

// Tokens is the number of positions held in all slots.
func (l *Ledger) Tokens() int { return l.tokens }

// Committed is the number of positions that all slots together have memory for: a slot keeps what its sequences have
// held until Release.
func (l *Ledger) Committed() int { return l.committed }

// CommittedIn is the number of positions that slot i has memory for.
func (l *Ledger) CommittedIn(i int) int { return l.slots[i].committed }

// Release says that the memory of the free slot i has been given back.
func (l *Ledger) Release(i int) {
	s := &l.slots[i]
	if s.taken {
		panic(fmt.Sprintf("kvcache: slot %d is released while it is taken", i))
	}
	l.committed -= s.committed
	s.committed = 0
}

// Taken says whether slot i holds a sequence.
func (l *Ledger) Taken(i int) bool { return l.slots[i].taken }

// Take marks the free slot i as taken by a sequence without positions.
func (l *Ledger) Take(i int) {
	if l.slots[i].taken {
		panic(fmt.Sprintf("kvcache: slot %d is taken twice", i))
	}
	l.slots[i].taken = true
	l.used++
}

// Extend adds n positions to the taken slot i.
func (l *Ledger) Extend(i, n int) {
	s := &l.slots[i]
	if !s.taken || n < 0 || n > l.maxLength-s.length {
		panic(fmt.Sprintf("kvcache: slot %d (taken %t, length %d of %d) extended by %d",
			i, s.taken, s.length, l.maxLength, n))
	}
	s.length += n
	l.tokens += n
	l.Commit(i, s.length)
}

// Commit says that slot i has had memory for a number of positions: those behind its length held guesses that were wrong.
func (l *Ledger) Commit(i, positions int) {
	s := &l.slots[i]
	if more := min(positions, l.maxLength) - s.committed; more > 0 {
		s.committed += more
		l.committed += more
	}
}

// Move gives the sequence of the taken slot src to the free slot dst and frees src.
func (l *Ledger) Move(dst, src int) {
	length := l.slots[src].length
	l.Take(dst)
	l.Extend(dst, length)
	l.Free(src)
}

// Free marks the taken slot i as free.
func (l *Ledger) Free(i int) {
	s := &l.slots[i]
	if !s.taken {
		panic(fmt.Sprintf("kvcache: slot %d is freed twice", i))
	}
	l.used--
	l.tokens -= s.length
	s.taken, s.length = false, 0
}
