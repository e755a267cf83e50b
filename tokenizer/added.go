package tokenizer

import (
	"slices"
	"strings"
)

// matcher finds added tokens in text: at each place where one begins the longest. It is a trie; a search looks at
// each byte of the text, and from each that begins a token at most at as many bytes as the longest token has.
type matcher struct {
	root   [256]int32 // node of a first byte; 0: none
	only   byte       // the first byte of all tokens, if single is set
	single bool
	nodes  []trieNode // nodes[0] is not used
}

type trieNode struct {
	token *addedToken // ends here; nil: none
	edges []trieEdge  // by label
}

type trieEdge struct {
	label byte
	node  int32
}

// newMatcher returns nil if there are no tokens.
func newMatcher(tokens []addedToken) *matcher {
	if len(tokens) == 0 {
		return nil
	}
	m := &matcher{nodes: make([]trieNode, 1)}
	for i := range tokens {
		m.insert(&tokens[i])
	}
	return m
}

func (m *matcher) insert(token *addedToken) {
	text := token.match
	at := m.root[text[0]]
	if at == 0 {
		at = m.newNode()
		m.single, m.only = len(m.nodes) == 2, text[0]
		m.root[text[0]] = at
	}
	for _, label := range []byte(text[1:]) {
		i, ok := m.nodes[at].find(label)
		if !ok {
			node := m.newNode()
			m.nodes[at].edges = slices.Insert(m.nodes[at].edges, i, trieEdge{label: label, node: node})
		}
		at = m.nodes[at].edges[i].node
	}
	m.nodes[at].token = token
}

func (m *matcher) newNode() int32 {
	m.nodes = append(m.nodes, trieNode{})
	return int32(len(m.nodes) - 1)
}

// find returns the place of a label among the edges, and whether it is there.
func (n *trieNode) find(label byte) (int, bool) {
	return slices.BinarySearchFunc(n.edges, label, func(e trieEdge, label byte) int { return int(e.label) - int(label) })
}

// next finds the first match in text at or after pos; token is nil if there is none. Matches that skip says yes to do
// not count.
func (m *matcher) next(text string, pos int, skip func(start, end int, token *addedToken) bool) (start, end int, token *addedToken) {
	for ; pos < len(text); pos++ {
		if m.single {
			i := strings.IndexByte(text[pos:], m.only)
			if i < 0 {
				break
			}
			pos += i
		}
		at := m.root[text[pos]]
		if at == 0 {
			continue
		}
		for i := pos + 1; ; i++ {
			if t := m.nodes[at].token; t != nil && (skip == nil || !skip(pos, i, t)) {
				end, token = i, t
			}
			if i == len(text) {
				break
			}
			edge, ok := m.nodes[at].find(text[i])
			if !ok {
				break
			}
			at = m.nodes[at].edges[edge].node
		}
		if token != nil {
			return pos, end, token
		}
	}
	return 0, 0, nil
}
