package bpe

import "slices"

// agenda holds the pairs of a very long word that can be merged, and gives the one of the lowest rank, of equals the
// leftmost. It is a heap of ranks with a queue of positions for each: what is added to a queue mostly comes from left
// to right, and goes to its end; the rest goes to a heap of ranks and positions. So a run of one letter, of which all
// pairs have a few ranks, costs constant time a pair and walks through memory in order, where a heap of all pairs
// would be as slow as that memory. The worst case is O(log n) for each pair all the same.
type agenda struct {
	queues  []queue // by rank
	entries []entry // of all queues; the first is never used
	free    uint32  // the first of the entries that are free
	ranks   []uint64
	late    []uint64
}

// queue is a linked list of entries; 0 is none.
type queue struct{ head, tail uint32 }

type entry struct{ at, next uint32 }

// reset makes an agenda ready for the ranks of n merges and a word of so many pairs. A drained agenda has empty queues.
func (a *agenda) reset(n, pairs int) {
	if len(a.queues) != n {
		a.queues = make([]queue, n)
	}
	a.entries = append(slices.Grow(a.entries[:0], pairs+1), entry{})
	a.free, a.ranks, a.late = 0, a.ranks[:0], a.late[:0]
}

// add notes that the pair at a position has a rank.
func (a *agenda) add(rank, at uint32) {
	q := &a.queues[rank]
	if q.head != 0 && a.entries[q.tail].at > at {
		a.late = push(a.late, uint64(rank)<<32|uint64(at))
		return
	}
	e := a.free
	if e != 0 {
		a.free = a.entries[e].next
		a.entries[e] = entry{at: at}
	} else {
		e = uint32(len(a.entries))
		a.entries = append(a.entries, entry{at: at})
	}
	if q.head == 0 {
		q.head = e
		a.ranks = push(a.ranks, uint64(rank))
	} else {
		a.entries[q.tail].next = e
	}
	q.tail = e
}

// next removes and returns the first pair.
func (a *agenda) next() (rank, at uint32, ok bool) {
	if len(a.ranks) == 0 {
		if len(a.late) == 0 {
			return 0, 0, false
		}
		first := a.late[0]
		a.late = pop(a.late)
		return uint32(first >> 32), uint32(first), true
	}
	rank = uint32(a.ranks[0])
	q := &a.queues[rank]
	e := q.head
	at = a.entries[e].at
	if len(a.late) > 0 && a.late[0] < uint64(rank)<<32|uint64(at) {
		first := a.late[0]
		a.late = pop(a.late)
		return uint32(first >> 32), uint32(first), true
	}
	q.head = a.entries[e].next
	a.entries[e].next = a.free
	a.free = e
	if q.head == 0 {
		a.ranks = pop(a.ranks)
	}
	return rank, at, true
}

// node is a symbol of a very long word and its neighbours, together in memory.
type node struct {
	symbol, rank uint32 // of the pair that it begins, or None
	prev, next   int32
}

// mergeHuge merges s.symbols as mergeLong does, with an agenda.
func (m *Model) mergeHuge(dst []uint32, s *Scratch) []uint32 {
	n := len(s.symbols)
	nodes, a := make([]node, n), &s.agenda
	a.reset(len(m.into), n)
	for i, id := range s.symbols {
		nodes[i] = node{symbol: id, rank: None, prev: int32(i - 1), next: int32(i + 1)}
		if i+1 < n {
			if r := m.ranks.rank(id, s.symbols[i+1]); r != None {
				nodes[i].rank = r
				a.add(r, uint32(i))
			}
		}
	}
	for {
		rank, at, ok := a.next()
		if !ok {
			break
		}
		left := &nodes[at]
		if left.rank != rank {
			continue // out of date; a rank makes one token only
		}
		right := &nodes[left.next]
		right.rank = None
		left.symbol, left.next, left.rank = m.into[rank], right.next, None
		if int(left.next) < n {
			after := &nodes[left.next]
			after.prev = int32(at)
			if r := m.ranks.rank(left.symbol, after.symbol); r != None {
				left.rank = r
				a.add(r, at)
			}
		}
		if p := left.prev; p >= 0 {
			before := &nodes[p]
			r := m.ranks.rank(before.symbol, left.symbol)
			if r != None && r != before.rank {
				a.add(r, uint32(p))
			}
			before.rank = r
		}
	}
	for i := int32(0); int(i) < n; i = nodes[i].next {
		dst = append(dst, nodes[i].symbol)
	}
	s.shrink()
	return dst
}
