package grammar

import (
	"bytes"
	"slices"
)

// local is what the tokens do that are read from one state of a terminal, whoever called the terminal.
type local struct {
	inside   tokenSet    // those that end inside, however many characters they add
	counts   []int32     // of a terminal that counts: how many characters each token of order adds, ascending
	order    []uint32    // its tokens by that number
	upTo     [][]uint64  // the masks of those that add at most so many
	leaving  []leaving   // by rests: where a token may leave the terminal, those that end there first
	atClose  int         // how many of leaving end with the terminal
	rests    []restNode  // the rests of the others, a trie as the vocabulary's
	restHead []leavingAt // by node of rests: its part of leaving
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

// newTokenSet makes a set of listed tokens; the list becomes its own.
func newTokenSet(list []uint32, words int) tokenSet {
	if len(list) <= words/2 {
		return tokenSet{list: slices.Clip(list)}
	}
	mask := make([]uint64, words)
	for _, id := range list {
		mask[id>>6] |= 1 << (id & 63)
	}
	return tokenSet{mask: mask}
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

// localOf is what tokens do from a state. It is found once.
func (d *dfa) localOf(v *Vocabulary, state int32) *local {
	if l := d.locals[state].Load(); l != nil {
		return l
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.locals[state].Load(); l != nil {
		return l
	}
	l, walked := d.walk(v, state)
	d.walked += walked
	d.locals[state].Store(l)
	return l
}

// rest is a token that leaves the terminal, and what is left of it behind.
type rest struct {
	text  []byte
	token uint32
	count int32
}

// walk reads every token from a state.
func (d *dfa) walk(v *Vocabulary, state int32) (l *local, walked int) {
	var states [maxTokenBytes + 1]int32
	var counts [maxTokenBytes + 1]int32
	states[0] = state
	l = &local{}
	var inside []uint32
	var added []int32
	var rests []rest
	nodes := v.trie.nodes
	for i := int32(0); int(i) < len(nodes); {
		n := &nodes[i]
		walked++
		from := states[n.depth]
		to := d.step(from, n.b)
		if to == dead {
			i = n.skip
			continue
		}
		count := counts[n.depth]
		if from == d.loop && to != d.close {
			count++
		}
		states[n.depth+1], counts[n.depth+1] = to, count
		for id := n.token; id >= 0; id = v.trie.twin[id] {
			if d.loop >= 0 && to == d.close {
				rests = append(rests, rest{token: uint32(id), count: count})
				continue
			}
			inside = append(inside, uint32(id))
			added = append(added, count)
		}
		if d.accepts[to] {
			rests = d.rests(rests, v, i, count)
		}
		i++
	}
	if d.loop >= 0 {
		l.count(inside, added, v.words())
	}
	l.inside = newTokenSet(inside, v.words())
	l.leave(rests)
	return l, walked
}

// rests appends the tokens below a node, where the terminal may end, with what follows the node.
func (d *dfa) rests(dst []rest, v *Vocabulary, node, count int32) []rest {
	nodes := v.trie.nodes
	depth := int(nodes[node].depth) + 1
	for i := node + 1; i < nodes[node].skip; {
		n := &nodes[i]
		if int(n.depth) == depth && !d.follow.has(n.b) {
			i = n.skip
			continue
		}
		for id := n.token; id >= 0; id = v.trie.twin[id] {
			dst = append(dst, rest{text: v.text[id][depth:], token: uint32(id), count: count})
		}
		i++
	}
	return dst
}

// smallCounts is up to how many characters the masks of a counting terminal are kept: few tokens have more.
const smallCounts = 16

// count orders the tokens inside by how many characters they add.
func (l *local) count(tokens []uint32, counts []int32, words int) {
	index := make([]int32, len(tokens))
	for i := range index {
		index[i] = int32(i)
	}
	slices.SortStableFunc(index, func(a, b int32) int { return int(counts[a] - counts[b]) })
	for _, i := range index {
		l.order = append(l.order, tokens[i])
		l.counts = append(l.counts, counts[i])
	}
	if len(tokens) <= words {
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

// addUpTo adds the tokens inside that add at most room characters.
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
