package tokenizer

import (
	"slices"

	"github.com/sluiceml/sluice/tokenizer/bpe"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// definition is what a tokenizer is, whatever it was read from.
type definition struct {
	vocab        map[string]uint32
	merges       [][2]string
	unknown      *string // the token for bytes without one, if there is any
	fuseUnknown  bool
	ignoreMerges bool
	added        []addedToken
	splitter     pretoken.Splitter
	prefix       []uint32 // what AddSpecialTokens puts before the text
	suffix       []uint32 // and after it
}

// addedToken is a token that is found in the text before anything else is done to it.
type addedToken struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
	id         uint32
}

// maxSparse bounds the largest id by the number of tokens, since tables are indexed by id: a file of a few bytes must
// not make them huge.
const maxSparse = 1 << 16

// build checks the definition and makes the tokenizer.
func (d *definition) build() (*Tokenizer, error) {
	added := d.assignIDs()
	limit := uint64(4*(len(d.vocab)+len(added)) + maxSparse)
	size := uint64(0)
	for token, id := range d.vocab {
		if uint64(id) >= limit {
			return nil, formatError("token %q: id %d is too large for a vocabulary of %d", token, id, len(d.vocab))
		}
		size = max(size, uint64(id)+1)
	}
	for _, a := range added {
		size = max(size, uint64(a.id)+1)
	}
	for _, id := range slices.Concat(d.prefix, d.suffix) {
		if uint64(id) >= size {
			return nil, formatError("the post-processor adds id %d, which is not in the vocabulary of %d", id, size)
		}
	}
	t := &Tokenizer{
		tokens:   make([]token, size),
		ids:      d.vocab,
		splitter: d.splitter,
		prefix:   d.prefix,
		suffix:   d.suffix,
		scratch:  newPool(),
	}
	letters := newAlphabet()
	words, err := t.fill(d.vocab, letters)
	if err != nil {
		return nil, err
	}
	if t.model, err = d.model(words, letters); err != nil {
		return nil, err
	}
	t.addTokens(added, letters) // after the model, which knows the vocabulary alone
	return t, nil
}

// assignIDs gives the added tokens their ids as the reference does: a token of the vocabulary keeps its id, others
// follow after the vocabulary's length. The ids that a file states are not looked at. A token that comes twice counts
// as it came last.
func (d *definition) assignIDs() []addedToken {
	next := uint32(len(d.vocab))
	var added []addedToken
	at := map[string]int{}
	for _, a := range d.added {
		if a.Content == "" {
			continue
		}
		if i, ok := at[a.Content]; ok {
			a.id = added[i].id
			a.Special = a.Special || added[i].Special
			added[i] = a
			continue
		}
		if id, ok := d.vocab[a.Content]; ok {
			a.id = id
		} else {
			a.id = next
			next++
		}
		at[a.Content] = len(added)
		added = append(added, a)
	}
	return added
}

// model makes the merge engine.
func (d *definition) model(words []bpe.Word, letters *alphabet) (*bpe.Model, error) {
	c := bpe.Config{Unknown: bpe.None, FuseUnknown: d.fuseUnknown, IgnoreMerges: d.ignoreMerges, Words: words}
	find := func(token string) uint32 {
		if id, ok := d.vocab[token]; ok {
			return id
		}
		return bpe.None
	}
	if d.unknown != nil {
		if c.Unknown = find(*d.unknown); c.Unknown == bpe.None {
			return nil, formatError("the unknown token %q is not in the vocabulary", *d.unknown)
		}
	}
	for b := range c.Bytes {
		c.Bytes[b] = find(letters.symbol(byte(b)))
	}
	c.Merges = make([]bpe.Merge, len(d.merges))
	var joined []byte
	for i, m := range d.merges {
		joined = append(append(joined[:0], m[0]...), m[1]...)
		into, ok := d.vocab[string(joined)]
		merge := bpe.Merge{Left: find(m[0]), Right: find(m[1]), Into: into}
		if !ok || merge.Left == bpe.None || merge.Right == bpe.None {
			return nil, formatError("merge %d, %q and %q: a token of it is not in the vocabulary", i, m[0], m[1])
		}
		c.Merges[i] = merge
	}
	return bpe.New(c)
}
