package tokenizer

import (
	"hash/maphash"
	"math/bits"
)

// token is an entry of the vocabulary.
type token struct {
	text    string
	raw     string // the bytes that it decodes to, in the middle of a text
	known   bool   // false: no token has this id
	outside bool   // an added token that the model does not know
	special bool
}

// vocab holds the tokens by id and finds them by text: open addressing, at most half full, over the ids alone, since
// the texts are in the tokens. A Go map would hold every text's header a second time.
type vocab struct {
	tokens []token
	seed   maphash.Seed
	slots  []vocabSlot
	count  int // of the texts

	// The texts of the model's tokens whose ids added tokens took: the ids of a vocabulary may have gaps, and the
	// reference numbers added tokens by its length.
	shadowed map[uint32]string
	shadows  map[string]uint32 // the same by text
}

type vocabSlot struct {
	hash uint32
	id   uint32 // plus one; 0: free
}

// entry is a token of a vocabulary that is being read.
type entry struct {
	text string
	id   uint32
}

// maxSparse bounds the largest id by the number of tokens, since tables are indexed by id: a file of a few bytes must
// not make them huge.
const maxSparse = 1 << 16

// newVocab makes a vocabulary. A text that comes twice counts as it came last. Room is left for more tokens.
func newVocab(entries []entry, more int) (*vocab, error) {
	v := &vocab{seed: maphash.MakeSeed()}
	limit := uint64(2*(len(entries)+more) + maxSparse)
	size := 0
	for _, e := range entries {
		if uint64(e.id) >= limit {
			return nil, formatError("token %q: id %d is too large for a vocabulary of %d", e.text, e.id, len(entries))
		}
		size = max(size, int(e.id)+1)
	}
	v.tokens = make([]token, size, size+more)
	v.slots = make([]vocabSlot, 1<<bits.Len(uint(max(2*(len(entries)+more), 2)-1)))
	replaced := false
	for _, e := range entries {
		slot, found := v.slot(e.text)
		if found {
			v.tokens[slot.id-1] = token{}
			replaced = true
		} else {
			v.count++
		}
		if t := &v.tokens[e.id]; t.known && !replaced {
			return nil, formatError("id %d is that of two tokens, %q and %q", e.id, min(t.text, e.text), max(t.text, e.text))
		}
		slot.id = e.id + 1
		v.tokens[e.id] = token{text: e.text, known: true}
	}
	if replaced { // rare: an id may have been freed before another took it, or after
		return newVocab(lastOf(entries), more)
	}
	return v, nil
}

// lastOf drops the entries whose text comes again.
func lastOf(entries []entry) []entry {
	last := make(map[string]int, len(entries))
	for i, e := range entries {
		last[e.text] = i
	}
	var kept []entry
	for i, e := range entries {
		if last[e.text] == i {
			kept = append(kept, e)
		}
	}
	return kept
}

// slot finds the slot of a text, or the one to put it into, with its hash noted.
func (v *vocab) slot(text string) (*vocabSlot, bool) {
	hash := uint32(maphash.String(v.seed, text))
	mask := len(v.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		s := &v.slots[i]
		if s.id == 0 {
			s.hash = hash
			return s, false
		}
		if s.hash == hash && v.tokens[s.id-1].text == text {
			return s, true
		}
	}
}

// find returns the id of a token. It does not write, unlike slot.
func (v *vocab) find(text string) (uint32, bool) {
	hash := uint32(maphash.String(v.seed, text))
	return v.findHashed(hash, text)
}

// findHashedBytes is findHashed for bytes, but not among the shadowed texts.
func (v *vocab) findHashedBytes(hash uint32, text []byte) (uint32, bool) {
	mask := len(v.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		s := v.slots[i]
		if s.id == 0 {
			return 0, false
		}
		if s.hash == hash && v.tokens[s.id-1].text == string(text) {
			return s.id - 1, true
		}
	}
}

func (v *vocab) findHashed(hash uint32, text string) (uint32, bool) {
	mask := len(v.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		s := v.slots[i]
		if s.id == 0 {
			return v.findShadowed(text)
		}
		if s.hash == hash && v.tokens[s.id-1].text == text {
			return s.id - 1, true
		}
	}
}

// findModel is find among the tokens that the model knows.
func (v *vocab) findModel(text string) (uint32, bool) {
	id, ok := v.find(text)
	return id, ok && (!v.tokens[id].outside || v.shadowed[id] == text)
}

func (v *vocab) findShadowed(text string) (uint32, bool) {
	id, ok := v.shadows[text]
	return id, ok
}

// modelText returns the text that a token has to the model.
func (v *vocab) modelText(id uint32) string {
	if text, ok := v.shadowed[id]; ok {
		return text
	}
	return v.tokens[id].text
}

// add enters a token for which [newVocab] left room.
func (v *vocab) add(text string, id uint32) {
	for int(id) >= len(v.tokens) {
		v.tokens = append(v.tokens, token{})
	}
	if t := v.tokens[id]; t.known && t.text != text {
		if v.shadowed == nil {
			v.shadowed, v.shadows = map[uint32]string{}, map[string]uint32{}
		}
		v.shadowed[id], v.shadows[t.text] = t.text, id
		v.tokens[id] = token{}
	}
	slot, found := v.slot(text)
	if !found {
		slot.id = id + 1
		v.tokens[id].outside = true
	}
	v.tokens[id].text, v.tokens[id].known = text, true
}

// maxTokens bounds the number of tokens, each of which takes more memory than its least form in a file. The largest
// vocabularies in use have a quarter of a million.
const maxTokens = 1 << 22
