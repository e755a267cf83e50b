package bpe

import (
	"fmt"
	"math"
	"slices"
)

// None stands for a symbol or token that does not exist.
const None = math.MaxUint32

// Merge says that the pair (Left, Right) becomes Into.
type Merge struct{ Left, Right, Into uint32 }

// Config describes a model over bytes.
type Config struct {
	// Symbols, if it is set, appends the first symbols of a word, in the place of Bytes and Unknown: a model over
	// characters. It must be safe for concurrent use.
	Symbols func(dst []uint32, word string) []uint32
	// Bytes holds the symbol of each byte, or None.
	Bytes [256]uint32
	// Unknown is the symbol for a byte without one; None drops such bytes, as the reference does.
	Unknown uint32
	// FuseUnknown makes neighbouring unknown bytes one symbol.
	FuseUnknown bool
	// Merges lists the merges by rank. If a pair comes twice, the later one counts.
	Merges []Merge
	// Ranks holds the rank of each merge, below the number of merges; nil: its place in Merges. Merges of one rank must
	// make the same token: of them the leftmost goes first.
	Ranks []uint32
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
	symbols     func(dst []uint32, word string) []uint32 // nil: bytes are looked up
	bytes       [256]uint32
	unknown     uint32
	fuseUnknown bool
	ranks       pairTable
	pairs       []uint32 // the ranks of pairs of bytes; nil if the symbols are not those of bytes
	into        []uint32 // by rank
	words       wordTable
	cuts        *cuts       // nil: words are not cut
	characters  *characters // nil: merging begins with bytes

	ignoreMerges bool
}

// New builds a model.
func New(c Config) (*Model, error) {
	if len(c.Merges) >= math.MaxInt32 {
		return nil, fmt.Errorf("bpe: %d merges are too many", len(c.Merges))
	}
	m := &Model{symbols: c.Symbols, bytes: c.Bytes, unknown: c.Unknown, fuseUnknown: c.FuseUnknown, ignoreMerges: c.IgnoreMerges}
	symbol, rank := uint32(0), uint32(len(c.Merges))
	for _, merge := range c.Merges {
		symbol = max(symbol, merge.Left, merge.Right)
	}
	m.ranks = newPairTable(len(c.Merges), symbol, rank)
	m.into = make([]uint32, len(c.Merges))
	for i, merge := range c.Merges {
		rank := uint32(i)
		if c.Ranks != nil {
			rank = c.Ranks[i]
		}
		m.ranks.set(merge.Left, merge.Right, rank)
		m.into[rank] = merge.Into
	}
	m.pairs = m.bytePairs()
	if c.Symbols == nil {
		texts := textsOf(c.Words)
		if m.cuts = newCuts(&c, texts); m.cuts != nil && m.pairs != nil {
			m.characters = m.newCharacters(&c, texts)
		}
	}
	var reached []bool // nil: all words count
	if !c.IgnoreMerges {
		reached = m.reachable(c.Words)
	}
	m.words = newWordTable(c.Words, reached)
	return m, nil
}

// bytePairs looks up the ranks of all pairs of bytes: most of the look-ups of a word are of those.
func (m *Model) bytePairs() []uint32 {
	if m.symbols != nil || slices.Contains(m.bytes[:], None) {
		return nil
	}
	pairs := make([]uint32, 0, 1<<16)
	for _, left := range m.bytes {
		for _, right := range m.bytes {
			pairs = append(pairs, m.ranks.rank(left, right))
		}
	}
	return pairs
}
