// Package stop finds where an output ends: at one of several stop strings, looked for in the text while it grows,
// or at a stop token. It is pure.
//
// The algorithm is Aho and Corasick's ("Efficient string matching: an aid to bibliographic search", 1975): a trie of
// all strings whose states know their longest proper suffix that is also a prefix of some string. A state's path is
// exactly the text that has to be held back, so that nothing else is stored: what is held is a prefix of a stop
// string. A byte costs amortised constant time (times the number of different bytes that may follow a state, which
// the trie keeps as a list), whatever the number of strings; memory is linear in their total length.
package stop

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Errors of Compile.
var (
	ErrEmpty   = errors.New("stop string is empty")
	ErrNotUTF8 = errors.New("stop string is not UTF-8")
)

// Set is a set of stop strings, compiled. It is immutable and may be shared.
type Set struct {
	strings []string
	nodes   []node
}

// node is a state of the automaton: the text read so far ends with the path from the root to it.
type node struct {
	char    byte
	child   int32 // first of the children, or 0
	sibling int32 // next child of the same parent, or 0
	fail    int32 // the state of the longest proper suffix of the path
	depth   int32 // length of the path
	source  int32 // a string that has the path as its prefix
	match   int32 // the longest string that is a suffix of the path, or -1
}

// Compile makes the set of the given strings. An error names the index of the string that is wrong.
func Compile(strings []string) (*Set, error) {
	s := &Set{strings: strings, nodes: []node{{match: -1}}}
	for i, str := range strings {
		if str == "" {
			return nil, fmt.Errorf("string %d: %w", i, ErrEmpty)
		}
		if !utf8.ValidString(str) {
			return nil, fmt.Errorf("string %d: %w", i, ErrNotUTF8)
		}
		s.insert(i, str)
	}
	s.link()
	return s, nil
}

// insert adds a string to the trie. Of equal strings the first wins.
func (s *Set) insert(i int, str string) {
	at := int32(0)
	for _, c := range []byte(str) {
		next := s.childOf(at, c)
		if next == 0 {
			next = int32(len(s.nodes))
			s.nodes = append(s.nodes, node{
				char: c, sibling: s.nodes[at].child, depth: s.nodes[at].depth + 1, source: int32(i), match: -1,
			})
			s.nodes[at].child = next
		}
		at = next
	}
	if s.nodes[at].match < 0 {
		s.nodes[at].match = int32(i)
	}
}

// link sets fail and match of every state, by breadth first.
func (s *Set) link() {
	queue := make([]int32, 0, len(s.nodes))
	for c := s.nodes[0].child; c != 0; c = s.nodes[c].sibling {
		queue = append(queue, c)
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if n := &s.nodes[at]; n.match < 0 {
			n.match = s.nodes[n.fail].match
		}
		for c := s.nodes[at].child; c != 0; c = s.nodes[c].sibling {
			s.nodes[c].fail = s.step(s.nodes[at].fail, s.nodes[c].char)
			queue = append(queue, c)
		}
	}
}

func (s *Set) childOf(at int32, c byte) int32 {
	next := s.nodes[at].child
	for next != 0 && s.nodes[next].char != c {
		next = s.nodes[next].sibling
	}
	return next
}

// step is the state after reading c in state at.
func (s *Set) step(at int32, c byte) int32 {
	for {
		if next := s.childOf(at, c); next != 0 {
			return next
		}
		if at == 0 {
			return 0
		}
		at = s.nodes[at].fail
	}
}

// Matcher looks for the strings of a set in one text. The match is the one that is complete first; of several that
// end at the same byte, the longest. So the result does not depend on how the text is cut into pieces. The zero
// value matches nothing and lets all text through. A Matcher is not safe for concurrent use.
type Matcher struct {
	set   *Set
	keep  bool
	state int32
	match int
	done  bool
}

// NewMatcher makes a matcher at the start of a text. With keep, the text that matched is part of the output.
func NewMatcher(set *Set, keep bool) Matcher {
	if len(set.strings) == 0 {
		return Matcher{}
	}
	return Matcher{set: set, keep: keep}
}

// Append reads the next piece of the text and appends to dst what may be shown: everything up to the longest end
// that could still grow into a stop string, or, if one was found, everything before it (or up to its end). After a
// match the rest of the text is dropped, and Append returns dst as it is. If the pieces are whole UTF-8 characters,
// so is what is appended.
func (m *Matcher) Append(dst []byte, text string) []byte {
	if m.set == nil {
		return append(dst, text...)
	}
	if m.done {
		return dst
	}
	held := m.held()
	for i := range len(text) {
		m.state = m.set.step(m.state, text[i])
		n := &m.set.nodes[m.state]
		if n.match < 0 {
			continue
		}
		m.done, m.match = true, int(n.match)
		end := len(held) + i + 1
		if !m.keep {
			end -= len(m.set.strings[m.match])
		}
		return appendPrefix(dst, held, text, end)
	}
	return appendPrefix(dst, held, text, len(held)+len(text)-int(m.set.nodes[m.state].depth))
}

// Skip reads the next piece as Append does, but a string that ends in it is no match: it is text like any other. One
// that begins in it and ends in a later piece still is one.
func (m *Matcher) Skip(dst []byte, text string) []byte {
	if m.set == nil {
		return append(dst, text...)
	}
	if m.done {
		return dst
	}
	held := m.held()
	for i := range len(text) {
		m.state = m.set.step(m.state, text[i])
	}
	return appendPrefix(dst, held, text, len(held)+len(text)-int(m.set.nodes[m.state].depth))
}

// Flush says that the text ends here and appends what is held back to dst.
func (m *Matcher) Flush(dst []byte) []byte {
	if m.set == nil || m.done {
		return dst
	}
	dst = append(dst, m.held()...)
	m.state = 0
	return dst
}

// Match returns the stop string that was found.
func (m *Matcher) Match() (string, bool) {
	if !m.done {
		return "", false
	}
	return m.set.strings[m.match], true
}

// held is the text that was read and not shown: the path to the state.
func (m *Matcher) held() string {
	n := &m.set.nodes[m.state]
	return m.set.strings[n.source][:n.depth]
}

// appendPrefix appends the first n bytes of a followed by b to dst.
func appendPrefix(dst []byte, a, b string, n int) []byte {
	if n <= len(a) {
		return append(dst, a[:n]...)
	}
	dst = append(dst, a...)
	return append(dst, b[:n-len(a)]...)
}

// Tokens is a set of stop tokens, few enough that looking through it is the fastest.
type Tokens []uint32

// Has says whether id is in the set.
func (t Tokens) Has(id uint32) bool {
	return slices.Contains(t, id)
}
