package grammar

// classTrie is the vocabulary as one terminal tells its tokens apart: by the classes of their bytes. Tokens of letters, of
// which there are most, become a few dozens of nodes where the terminal knows but one class of letters.
type classTrie struct {
	nodes  []classNode
	tokens []uint32 // by node
}

// classNode is a node of a classTrie; node 0 is the root.
type classNode struct {
	child, next int32 // the first child and the next sibling; 0: none
	from, to    int32 // the part of tokens that end here, or that go on with a byte which the terminal never reads
	class       uint8
	depth       uint16
	stray       bool // the tokens go on with such a byte
}

// size is about how many bytes it takes.
func (t *classTrie) size() int { return 20*len(t.nodes) + 4*len(t.tokens) }

// useful says of each class whether a byte of it is ever read, and whether the terminal may end behind it.
func (d *dfa) useful() (read, ends []bool) {
	read, ends = make([]bool, d.classes), make([]bool, d.classes)
	for i, to := range d.next {
		if to != dead {
			read[i%d.classes] = true
			ends[i%d.classes] = ends[i%d.classes] || d.accepts[to]
		}
	}
	return read, ends
}

// newClassTrie folds the vocabulary's trie by classes, and says about how much work that was.
func (d *dfa) newClassTrie(v *Vocabulary) (t *classTrie, work int) {
	read, ends := d.useful()
	work = len(d.next) / 8
	t = &classTrie{nodes: make([]classNode, 1, 1024)}
	type placed struct {
		node  int32
		token uint32
	}
	var list []placed
	var path [maxTokenBytes + 1]int32
	var mayEnd [maxTokenBytes + 1]bool // the terminal may have ended on the way here
	put := func(node, token int32) {
		for id := token; id >= 0; id = v.trie.twin[id] {
			list = append(list, placed{node, uint32(id)})
		}
	}
	nodes := v.trie.nodes
	for i := int32(0); int(i) < len(nodes); {
		work++
		n := &nodes[i]
		at := path[n.depth]
		class := d.class[n.b]
		if !read[class] {
			if mayEnd[n.depth] {
				stray := t.child(at, 0, true)
				work += int(n.skip - i)
				for j := i; j < n.skip; j++ {
					put(stray, nodes[j].token)
				}
			}
			i = n.skip
			continue
		}
		to := t.child(at, class, false)
		put(to, n.token)
		path[n.depth+1] = to
		mayEnd[n.depth+1] = mayEnd[n.depth] || ends[class]
		i++
	}
	// Order the tokens by their nodes.
	for _, p := range list {
		t.nodes[p.node].to++
	}
	sum := int32(0)
	for i := range t.nodes {
		n := &t.nodes[i]
		n.from, sum = sum, sum+n.to
		n.to = n.from
	}
	t.tokens = make([]uint32, len(list))
	for _, p := range list {
		n := &t.nodes[p.node]
		t.tokens[n.to] = p.token
		n.to++
	}
	return t, work
}

// child is the child of a node by a class, or by a byte that is never read.
func (t *classTrie) child(of int32, class uint8, stray bool) int32 {
	for at := t.nodes[of].child; at != 0; at = t.nodes[at].next {
		if t.nodes[at].class == class && t.nodes[at].stray == stray {
			return at
		}
	}
	at := int32(len(t.nodes))
	t.nodes = append(t.nodes, classNode{
		next: t.nodes[of].child, class: class, depth: t.nodes[of].depth + 1, stray: stray,
	})
	t.nodes[of].child = at
	return at
}
