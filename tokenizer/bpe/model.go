package bpe

import (
	"fmt"
	"math"
)

// None stands for a symbol or token that does not exist.
const None = math.MaxUint32

// Merge says that the pair (Left, Right) becomes Into.
type Merge struct{ Left, Right, Into uint32 }

// Config describes a model over bytes.
type Config struct {
	// Bytes holds the symbol of each byte, or None.
	Bytes [256]uint32
	// Unknown is the symbol for a byte without one; None drops such bytes, as the reference does.
	Unknown uint32
	// FuseUnknown makes neighbouring unknown bytes one symbol.
	FuseUnknown bool
	// Merges lists the merges by rank. If a pair comes twice, the later one counts.
	Merges []Merge
	// Words holds the bytes of the tokens, at most one token each. A word that is equal to one of them is that token at
	// once: with IgnoreMerges always, otherwise if the merges lead there.
	Words []Word
	// IgnoreMerges looks a word up before it is merged.
	IgnoreMerges bool
}

// Word is a token and its bytes.
type Word struct {
	Text string
	ID   uint32
}

// Model is a byte-pair encoding model. It is immutable and safe for concurrent use.
type Model struct {
	bytes       [256]uint32
	unknown     uint32
	fuseUnknown bool
	ranks       pairTable
	into        []uint32 // by rank
	words       wordTable
}

// New builds a model.
func New(c Config) (*Model, error) {
	if len(c.Merges) >= math.MaxInt32 {
		return nil, fmt.Errorf("bpe: %d merges are too many", len(c.Merges))
	}
	m := &Model{bytes: c.Bytes, unknown: c.Unknown, fuseUnknown: c.FuseUnknown}
	m.ranks = newPairTable(len(c.Merges))
	m.into = make([]uint32, len(c.Merges))
	for rank, merge := range c.Merges {
		m.ranks.set(merge.Left, merge.Right, uint32(rank))
		m.into[rank] = merge.Into
	}
	m.words = newWordTable(c.Words, func(w Word) bool { return c.IgnoreMerges || m.leadsTo(w) })
	return m, nil
}

// leadsTo reports whether the merges make the token of the word's bytes. It runs before the word table exists.
func (m *Model) leadsTo(w Word) bool {
	if len(w.Text) > maxShort {
		return false // rare, and only a short cut is lost
	}
	var s Scratch
	got := m.merge(nil, w.Text, &s)
	return len(got) == 1 && got[0] == w.ID
}
