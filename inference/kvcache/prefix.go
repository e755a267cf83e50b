package kvcache

import (
	"fmt"
	"slices"
)

// Prefix is the index of a session's prefix store: which block of memory holds the keys and values of which block of
// which prompt. It is a tree: a block follows the one before it in its prompt, so that prompts that begin alike share
// what they have in common.
//
// A block is found by its hash and believed only if its tokens, its place behind the block before it and, at the
// beginning, the salt are the same: a hash that collides costs a hit and never gives one prompt another's keys.
//
// What was used longest ago makes room. The blocks are kept in the order of their last use, and a block always stands
// behind the one that it follows: the last one is a leaf, and evicting it leaves no block without its beginning.
//
// A Prefix is not safe for concurrent use, but for its [Directory].
type Prefix struct {
	blocks    []block
	byHash    map[Hash]int
	unused    int // blocks from here on have never been used
	newest    int // the order of use, linked through the blocks; none if there are none
	oldest    int
	evictions int
	directory *Directory
}

// block is what one block of the store holds.
type block struct {
	hash         Hash
	tokens       [BlockSize]uint32
	salt         string // of the first block of a prompt
	parent       int    // the block before it in the prompt, or none
	children     int    // the newest of the blocks behind it in prompts, or none
	elder, later int    // the neighbours among the blocks behind the same one, or none
	newer, older int    // the neighbours in the order of use, or none
	generation   uint32 // changes whenever the block holds something else
}

// none is no block.
const none = -1

// Ref names a block as long as it holds what it held when the Ref was given out. The zero Ref names none.
type Ref struct {
	number     int // of the block, plus one
	generation uint32
}

// NewPrefix makes the index of a store of the given number of blocks, at least 1.
func NewPrefix(blocks int) *Prefix {
	if blocks < 1 {
		panic(fmt.Sprintf("kvcache: a prefix store of %d blocks", blocks))
	}
	return &Prefix{
		blocks: make([]block, blocks), byHash: map[Hash]int{},
		newest: none, oldest: none, directory: newDirectory(blocks),
	}
}

// Held is the number of blocks that hold something.
func (p *Prefix) Held() int { return p.unused }

// Evictions is how often a block made room for another.
func (p *Prefix) Evictions() int { return p.evictions }

// Directory tells other goroutines what the store holds.
func (p *Prefix) Directory() *Directory { return p.directory }

// Match is what the store holds of the beginning of a prompt.
type Match struct {
	Blocks []int // where it is, in order
	Length int   // tokens of the prompt; the last block may hold more, of another prompt
	Whole  int   // blocks that hold nothing else
	Last   Ref   // the last of those
}

// Match finds as much of a prompt as there is, but for its last token, and counts that as a use. hashes are the
// prompt's, made with the same salt. The blocks are appended to dst.
func (p *Prefix) Match(dst []int, salt string, prompt []uint32, hashes []Hash) Match {
	first, parent := len(dst), none
	prompt = prompt[:max(0, len(prompt)-1)]
	hashes = hashes[:min(len(hashes), len(prompt)/BlockSize)]
	for i, hash := range hashes {
		id, ok := p.byHash[hash]
		if !ok || !p.holds(id, parent, salt, prompt[i*BlockSize:]) {
			break
		}
		dst, parent = append(dst, id), id
	}
	m := Match{Whole: len(dst) - first, Last: p.ref(parent)}
	m.Length = m.Whole * BlockSize
	if id, n := p.part(parent, prompt[m.Length:]); n > 0 {
		dst = append(dst, id)
		m.Length += n
	}
	m.Blocks = dst[first:]
	for _, id := range slices.Backward(m.Blocks) { // the beginning last: it stays longest
		p.unlink(id)
		p.link(id, none)
	}
	return m
}

// mostCompared bounds the blocks that are compared with the tokens where a prompt leaves those that are known.
const mostCompared = 64

// part finds the block behind another that begins like the given tokens for longest, and says for how long.
func (p *Prefix) part(parent int, tokens []uint32) (id, length int) {
	if parent == none {
		return none, 0
	}
	id = none
	child := p.blocks[parent].children
	for n := 0; child != none && n < mostCompared; n++ {
		if same := common(p.blocks[child].tokens[:], tokens); same > length {
			id, length = child, same
		}
		child = p.blocks[child].elder
	}
	return id, length
}

// common is the number of tokens with which both begin.
func common(a, b []uint32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// Add gives the next block of a prompt a place in the store. after is the block before it, the zero Ref for the first;
// tokens begin with the block's own. fresh says that the block has to be written: otherwise it is there already. The
// zero Ref as answer means that the prompt can have no more blocks: what is before this one has been evicted, or all
// there is, or another prompt's block has the same hash.
func (p *Prefix) Add(after Ref, salt string, hash Hash, tokens []uint32) (id int, ref Ref, fresh bool) {
	parent := none
	if after != (Ref{}) {
		if parent = after.number - 1; p.blocks[parent].generation != after.generation {
			return none, Ref{}, false
		}
	}
	if id, ok := p.byHash[hash]; ok {
		if !p.holds(id, parent, salt, tokens) {
			return none, Ref{}, false
		}
		return id, p.ref(id), false
	}
	id = p.unused
	if id < len(p.blocks) {
		p.unused++
	} else if id = p.evict(parent); id == none {
		return none, Ref{}, false
	}
	b := &p.blocks[id]
	b.hash, b.parent, b.salt = hash, parent, ""
	if parent == none {
		b.salt = salt
	}
	copy(b.tokens[:], tokens[:BlockSize])
	b.generation++
	p.byHash[hash] = id
	p.adopt(id)
	p.link(id, parent)
	p.directory.add(hash)
	return id, p.ref(id), true
}

// holds compares a block with what it should hold.
func (p *Prefix) holds(id, parent int, salt string, tokens []uint32) bool {
	b := &p.blocks[id]
	return b.parent == parent && (parent != none || b.salt == salt) && slices.Equal(b.tokens[:], tokens[:BlockSize])
}

// evict empties the block that was used longest ago, unless it is the one that must stay.
func (p *Prefix) evict(stays int) int {
	id := p.oldest
	if id == stays {
		return none
	}
	b := &p.blocks[id]
	delete(p.byHash, b.hash)
	p.directory.remove(b.hash)
	p.orphan(id)
	p.unlink(id)
	p.evictions++
	return id
}

func (p *Prefix) ref(id int) Ref {
	if id == none {
		return Ref{}
	}
	return Ref{number: id + 1, generation: p.blocks[id].generation}
}

// adopt puts a block among those behind its parent.
func (p *Prefix) adopt(id int) {
	b := &p.blocks[id]
	b.children, b.elder, b.later = none, none, none
	if b.parent == none {
		return
	}
	parent := &p.blocks[b.parent]
	if b.elder = parent.children; b.elder != none {
		p.blocks[b.elder].later = id
	}
	parent.children = id
}

// orphan takes a block from those behind its parent.
func (p *Prefix) orphan(id int) {
	b := &p.blocks[id]
	if b.later != none {
		p.blocks[b.later].elder = b.elder
	} else if b.parent != none {
		p.blocks[b.parent].children = b.elder
	}
	if b.elder != none {
		p.blocks[b.elder].later = b.later
	}
}

// link puts a block into the order of use: as the newest, or right behind another.
func (p *Prefix) link(id, behind int) {
	b := &p.blocks[id]
	b.newer, b.older = behind, p.newest
	if behind != none {
		b.older = p.blocks[behind].older
		p.blocks[behind].older = id
	} else {
		p.newest = id
	}
	if b.older != none {
		p.blocks[b.older].newer = id
	} else {
		p.oldest = id
	}
}

// unlink takes a block out of the order of use.
func (p *Prefix) unlink(id int) {
	b := &p.blocks[id]
	if b.newer != none {
		p.blocks[b.newer].older = b.older
	} else {
		p.newest = b.older
	}
	if b.older != none {
		p.blocks[b.older].newer = b.newer
	} else {
		p.oldest = b.newer
	}
}
