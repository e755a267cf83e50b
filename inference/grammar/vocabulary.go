package grammar

import (
	"bytes"
	"slices"
	"sync"
)

// Vocabulary is the tokens that masks are made of. It is safe for concurrent use; grammars of the same vocabulary share
// what they learn of JSON's terminals.
type Vocabulary struct {
	size int
	ends []uint32 // end tokens
	trie trie
	text [][]byte // of the tokens that text is made of; nil of others

	json     sync.Once
	jsonDFAs jsonDFAs
}

// NewVocabulary makes a vocabulary of tokens, given as the bytes that each stands for, by id. A token without bytes is
// never allowed: that is how special tokens are given. The end tokens are allowed exactly where a text may end. The
// slices are kept.
func NewVocabulary(tokens [][]byte, ends []uint32) *Vocabulary {
	v := &Vocabulary{size: len(tokens), text: slices.Clone(tokens)}
	for _, id := range ends {
		if int64(id) < int64(len(tokens)) {
			v.ends = append(v.ends, id)
			v.text[id] = nil
		}
	}
	v.trie = newTrie(v.text)
	return v
}

// Size is the number of token ids.
func (v *Vocabulary) Size() int { return v.size }

// words is the number of words of a mask.
func (v *Vocabulary) words() int { return (v.size + 63) / 64 }

// trie is the tokens' bytes as a tree, its nodes in the order of a walk from the left: the children of a node follow it,
// and skip is the next node that is not below it.
type trie struct {
	nodes []trieNode
	twin  []int32 // by token: the next one of the same bytes, or -1
}

type trieNode struct {
	skip  int32
	token int32 // the token that ends here, or -1
	depth uint16
	b     byte
}

// maxTokenBytes bounds the tokens that masks know; no vocabulary has longer ones that say anything.
const maxTokenBytes = 1 << 10

// newTrie makes the trie of tokens, without those that have no bytes.
func newTrie(tokens [][]byte) trie {
	t := trie{twin: make([]int32, len(tokens))}
	order := make([]int32, 0, len(tokens))
	for id, text := range tokens {
		t.twin[id] = -1
		if len(text) > 0 && len(text) <= maxTokenBytes {
			order = append(order, int32(id))
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := bytes.Compare(tokens[a], tokens[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	var path []int32 // nodes from the root to the last token
	var last []byte
	var previous int32 = -1
	closeTo := func(depth int) {
		for len(path) > depth {
			t.nodes[path[len(path)-1]].skip = int32(len(t.nodes))
			path = path[:len(path)-1]
		}
	}
	for _, id := range order {
		text := tokens[id]
		if previous >= 0 && bytes.Equal(text, last) {
			t.twin[previous] = id
			previous = id
			continue
		}
		common := 0
		for common < len(last) && common < len(text) && last[common] == text[common] {
			common++
		}
		closeTo(common)
		for i := common; i < len(text); i++ {
			path = append(path, int32(len(t.nodes)))
			t.nodes = append(t.nodes, trieNode{token: -1, depth: uint16(i), b: text[i]})
		}
		t.nodes[path[len(path)-1]].token = id
		last, previous = text, id
	}
	closeTo(0)
	return t
}

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }

func (s *byteSet) union(o *byteSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// holds says whether all of o are in s.
func (s *byteSet) holds(o *byteSet) bool {
	for i := range s {
		if o[i]&^s[i] != 0 {
			return false
		}
	}
	return true
}

// addRange adds the bytes from lo to hi.
func (s *byteSet) addRange(lo, hi byte) {
	for b := int(lo); b <= int(hi); b++ {
		s.add(byte(b))
	}
}

// allBytes has every byte.
func allBytes() *byteSet { return &byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)} }
