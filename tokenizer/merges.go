package tokenizer

import (
	"bytes"
	"hash/maphash"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// heldMerges is the number of merges that are resolved together.
const heldMerges = 64

// merger resolves merges, which are given as texts, by rank. Looking texts up is most of what loading a large vocabulary
// takes, and memory answers late but many questions at once: so some merges are held, and what their look-ups read is
// read for all of them before the first is done.
type merger struct {
	vocab   *vocab
	skip    int // bytes of the right token that the merged one lacks: continuing_subword_prefix
	merges  []bpe.Merge
	held    [heldMerges]heldMerge
	n       int
	texts   []byte // of the held ones
	touched int    // what was read, so that it is
}

// heldMerge is a merge by the places of its texts: the left token, the right one, and the merged one.
type heldMerge struct {
	ends   [3]int
	hashes [3]uint32
}

func newMerger(v *vocab, skip, size int) *merger {
	return &merger{vocab: v, skip: skip, merges: make([]bpe.Merge, 0, size)}
}

// count returns the number of merges so far.
func (m *merger) count() int { return len(m.merges) + m.n }

// list returns the merges.
func (m *merger) list() ([]bpe.Merge, error) {
	err := m.resolve()
	return m.merges, err
}

// addLine enters a merge that is written as one string.
func (m *merger) addLine(line []byte) error {
	left, right, ok := bytes.Cut(line, []byte{' '})
	if !ok || bytes.IndexByte(right, ' ') >= 0 {
		return formatError("merge %d, %q, is not two tokens with a space between", m.count(), line)
	}
	return m.add(left, right)
}

// add enters the next merge. That a token of it is not in the vocabulary is said then or later.
func (m *merger) add(left, right []byte) error {
	if m.skip > len(right) {
		return formatError("merge %d, %q and %q: the second token is shorter than continuing_subword_prefix", m.count(), left, right)
	}
	h, start := &m.held[m.n], len(m.texts)
	m.texts = append(append(append(append(m.texts, left...), right...), left...), right[m.skip:]...)
	h.ends = [3]int{start + len(left), start + len(left) + len(right), len(m.texts)}
	for i, end := range h.ends {
		h.hashes[i] = uint32(maphash.Bytes(m.vocab.seed, m.texts[start:end]))
		m.touched += int(m.vocab.slots[int(h.hashes[i])&(len(m.vocab.slots)-1)].id)
		start = end
	}
	if m.n++; m.n == len(m.held) {
		return m.resolve()
	}
	return nil
}

// resolve looks the held merges up.
func (m *merger) resolve() error {
	v := m.vocab
	candidate := func(hash uint32) string {
		if id := v.slots[int(hash)&(len(v.slots)-1)].id; id != 0 {
			return v.tokens[id-1].text
		}
		return ""
	}
	for i := range m.held[:m.n] {
		for _, hash := range m.held[i].hashes {
			m.touched += len(candidate(hash))
		}
	}
	for i := range m.held[:m.n] {
		for _, hash := range m.held[i].hashes {
			if text := candidate(hash); text != "" {
				m.touched += int(text[0])
			}
		}
	}
	start := 0
	for i := range m.held[:m.n] {
		h := &m.held[i]
		var ids [3]uint32
		for j, begin := 0, start; j < len(ids); j++ {
			id, ok := v.findHashedBytes(h.hashes[j], m.texts[begin:h.ends[j]])
			if !ok {
				left, right := m.texts[start:h.ends[0]], m.texts[h.ends[0]:h.ends[1]]
				return formatError("merge %d, %q and %q: a token of it is not in the vocabulary", len(m.merges), left, right)
			}
			ids[j], begin = id, h.ends[j]
		}
		m.merges = append(m.merges, bpe.Merge{Left: ids[0], Right: ids[1], Into: ids[2]})
		start = h.ends[2]
	}
	m.n, m.texts = 0, m.texts[:0]
	return nil
}
