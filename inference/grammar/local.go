package grammar

import (
	"bytes"
	"slices"
)

// local is what the tokens do that are read from one state of a terminal, whoever called the terminal.
type local struct {
	inside   tokenSet    // those that end inside, however many characters they add
	counts   []int32     // of a terminal that counts: how many characters each token of order adds and then needs, ascending
	order    []uint32    // its tokens by that number
	upTo     [][]uint64  // the masks of those that add at most so many
	leaving  []leaving   // by rests: where a token may leave the terminal, those that end there first
	atClose  int         // how many of leaving end with the terminal
	rests    []restNode  // the rests of the others, a trie as the vocabulary's
	restHead []leavingAt // by node of rests: its part of leaving
	lacks    []uint32    // of a restriction: tokens among leaving that don't leave after all, ascending
}

// leaving is a token that leaves the terminal after so many more characters.
type leaving struct {
	token uint32
	count int32
}

type restNode struct {
	skip  int32
	depth uint16
	b     byte
}

type leavingAt struct{ from, to int32 }

// tokenSet is a set of tokens, as a list or, if it has many, as a mask.
type tokenSet struct {
	list []uint32
	mask []uint64
}

func (s *tokenSet) addTo(dst []uint64) {
	if s.mask != nil {
		orWords(dst, s.mask)
		return
	}
	for _, id := range s.list {
		dst[id>>6] |= 1 << (id & 63)
	}
}

func (s *tokenSet) size() int { return 4*len(s.list) + 8*len(s.mask) }

func orWords(dst, src []uint64) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] |= src[i]
	}
}

// localOf is what tokens do from a state. It is found once: then it also says about how much work that was and how many
// bytes are kept of it.
func (d *dfa) localOf(v *Vocabulary, state int32) (l *local, work, bytes int) {
	if l := d.locals[state].Load(); l != nil {
		return l, 0, 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.locals[state].Load(); l != nil {
		return l, 0, 0
	}
	if d.restriction != nil {
		l, work, bytes = d.restricted(v, state)
		d.locals[state].Store(l)
		return l, work, bytes
	}
	if d.classed == nil {
		d.classed, work = d.newClassTrie(v)
		work /= 4 // its steps are short
		bytes = d.classed.size()
	}
	l, walked := d.walk(v, state)
	d.locals[state].Store(l)
	return l, work + walked, bytes + l.size()
}

// forget drops what localOf has found.
func (d *dfa) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.classed = nil
	for i := range d.locals {
		d.locals[i].Store(nil)
	}
}

// size is about how many bytes are kept.
func (l *local) size() int {
	n := 300 + l.inside.size() + 4*(len(l.counts)+len(l.order)) + 8*(len(l.leaving)+len(l.rests)+len(l.restHead))
	for _, mask := range l.upTo {
		n += 24 + 8*len(mask)
	}
	return n
}

// rest is a token that leaves the terminal, and what is left of it behind.
type rest struct {
	text  []byte
	token uint32
	count int32
}

// walk reads every token from a state, and says about how much work that was. The caller holds mu.
func (d *dfa) walk(v *Vocabulary, state int32) (l *local, work int) {
	w := &walker{dfa: d, vocabulary: v, trie: d.classed, mask: make([]uint64, v.words())}
	w.below(0, state, 0)
	l = &local{}
	if d.begins != nil {
		w.work += len(w.tokens) / 8
		l.count(w.tokens, w.added)
		if d.needs == nil { // of the others there are many states, and seldom little room
			l.countMasks(v.words())
		}
	}
	l.inside = packed(w.mask)
	l.leave(w.rests)
	return l, w.work
}

// walker is a walk from one state of a terminal.
type walker struct {
	dfa        *dfa
	vocabulary *Vocabulary
	trie       *classTrie
	mask       []uint64 // of the tokens that end inside
	tokens     []uint32 // and they, with the characters that each adds and then needs, of a terminal that counts
	added      []int32
	rests      []rest
	work       int
}

// below reads what goes on from a node, where the terminal is in a state, count characters on.
func (w *walker) below(node, state, count int32) {
	d := w.dfa
	row := d.next[int(state)*d.classes : (int(state)+1)*d.classes]
	for at := w.trie.nodes[node].child; at != 0; at = w.trie.nodes[at].next {
		n := &w.trie.nodes[at]
		w.work++
		if n.stray || row[n.class] == dead {
			continue
		}
		to := row[n.class]
		count := count
		if d.counted(state, to) {
			count++
		}
		tokens := w.trie.tokens[n.from:n.to]
		w.work += len(tokens) / 16
		switch {
		case d.begins == nil:
			for _, id := range tokens {
				w.mask[id>>6] |= 1 << (id & 63)
			}
		case to == d.close:
			for _, id := range tokens {
				w.rests = append(w.rests, rest{token: id, count: count})
			}
		default:
			for _, id := range tokens {
				w.mask[id>>6] |= 1 << (id & 63)
				w.tokens, w.added = append(w.tokens, id), append(w.added, count+d.need(to))
			}
		}
		if d.accepts[to] {
			w.leave(at, int(n.depth), count)
		}
		w.below(at, to, count)
	}
}

// leave notes the tokens below a node, where the terminal may end, with what follows so many bytes of theirs.
func (w *walker) leave(node int32, depth int, count int32) {
	for at := w.trie.nodes[node].child; at != 0; at = w.trie.nodes[at].next {
		n := &w.trie.nodes[at]
		for _, id := range w.trie.tokens[n.from:n.to] {
			if text := w.vocabulary.text[id][depth:]; w.dfa.follow.has(text[0]) {
				w.rests = append(w.rests, rest{text: text, token: id, count: count})
			}
		}
		w.work += int(n.to - n.from)
		w.leave(at, depth, count)
	}
}

// smallCounts is up to how many characters the masks of a counting terminal are kept: few tokens have more.
const smallCounts = 16

// count orders the tokens inside by how many characters they take.
func (l *local) count(tokens []uint32, counts []int32) {
	if len(tokens) == 0 {
		return
	}
	from := make([]int32, slices.Max(counts)+2) // by count: where its tokens begin
	for _, c := range counts {
		from[c+1]++
	}
	for c := 1; c < len(from); c++ {
		from[c] += from[c-1]
	}
	l.order, l.counts = make([]uint32, len(tokens)), make([]int32, len(tokens))
	for i, c := range counts {
		l.order[from[c]], l.counts[from[c]] = tokens[i], c
		from[c]++
	}
}

// countMasks keeps the masks of the tokens that add few characters.
func (l *local) countMasks(words int) {
	if len(l.order) <= words {
		return // short enough to list
	}
	at := 0
	mask := make([]uint64, words)
	for c := range int32(smallCounts + 1) {
		for ; at < len(l.order) && l.counts[at] <= c; at++ {
			id := l.order[at]
			mask[id>>6] |= 1 << (id & 63)
		}
		l.upTo = append(l.upTo, slices.Clone(mask))
	}
}

// addUpTo adds the tokens inside that take at most room characters.
func (l *local) addUpTo(dst []uint64, room int32) {
	last := len(l.counts) - 1
	if last < 0 {
		return
	}
	if room >= l.counts[last] {
		l.inside.addTo(dst)
		return
	}
	at := 0
	if l.upTo != nil {
		orWords(dst, l.upTo[min(room, smallCounts)])
		if room <= smallCounts {
			return
		}
		at, _ = slices.BinarySearch(l.counts, smallCounts+1)
	}
	for ; at < len(l.order) && l.counts[at] <= room; at++ {
		id := l.order[at]
		dst[id>>6] |= 1 << (id & 63)
	}
}

// leave makes the trie of rests.
func (l *local) leave(rests []rest) {
	slices.SortFunc(rests, func(a, b rest) int {
		if c := bytes.Compare(a.text, b.text); c != 0 {
			return c
		}
		return int(a.token) - int(b.token)
	})
	var path []int32
	var last []byte
	closeTo := func(depth int) {
		for len(path) > depth {
			l.rests[path[len(path)-1]].skip = int32(len(l.rests))
			path = path[:len(path)-1]
		}
	}
	for i, r := range rests {
		l.leaving = append(l.leaving, leaving{r.token, r.count})
		if len(r.text) == 0 {
			l.atClose = i + 1
			continue
		}
		common := 0
		for common < len(last) && common < len(r.text) && last[common] == r.text[common] {
			common++
		}
		closeTo(common)
		for j := common; j < len(r.text); j++ {
			path = append(path, int32(len(l.rests)))
			l.rests = append(l.rests, restNode{depth: uint16(j), b: r.text[j]})
			l.restHead = append(l.restHead, leavingAt{})
		}
		head := &l.restHead[path[len(path)-1]]
		if head.to == 0 {
			head.from = int32(i)
		}
		head.to = int32(i + 1)
		last = r.text
	}
	closeTo(0)
}
