package bpe

// BatchSize is the number of words that [Model.AppendWords] looks up together.
const BatchSize = 32

// batch holds what is known about the words that come next. Memory answers late, but answers many questions at once: so
// the cache lines of all words of a batch are asked for before the first is needed, and those of the words that the
// cache does not know in the table of words after that.
type batch struct {
	keys    [BatchSize]key
	hashes  [BatchSize]uint64
	touched uint32 // what was read, so that it is
}

// AppendWords encodes words of a text that follow each other, as Append does one: the first begins at start, and each
// begins where the one before ends.
func (m *Model) AppendWords(dst []uint32, text string, start int, ends []int, s *Scratch) []uint32 {
	for len(s.short) > 0 && len(ends) > 0 {
		some := ends[:min(len(ends), BatchSize)]
		s.look(&s.batch, m, text, start, some, 0)
		for i, end := range some {
			if word := text[start:end]; len(word) <= maxShortWord {
				dst = m.appendShort(dst, word, s.batch.keys[i], s.batch.hashes[i], s)
			} else {
				dst = m.appendLong(dst, word, s)
			}
			start = end
		}
		ends = ends[len(some):]
	}
	for _, end := range ends {
		dst = m.Append(dst, text[start:end], s)
		start = end
	}
	return dst
}

// look notes the keys of short words and reads what their look-ups will. Tag is what their lengths are marked with.
func (s *Scratch) look(b *batch, m *Model, text string, start int, ends []int, tag int) {
	mask, touched := uint64(len(s.short)-1), uint32(0)
	pos := start
	for i, end := range ends {
		if n := end - pos; n <= maxShortWord {
			k := keyAt(text, pos, n)
			hash := k.hash(n | tag)
			b.keys[i], b.hashes[i] = k, hash
			touched += s.short[hash&mask][0].ids[0]
		}
		pos = end
	}
	if tag == 0 { // others are not asked for among the words
		pos = start
		for i, end := range ends {
			if n := end - pos; n <= maxShortWord && s.short[b.hashes[i]&mask].find(b.keys[i], n) == nil {
				touched += m.words.short[b.hashes[i]>>m.words.shortShift].id
			}
			pos = end
		}
	}
	b.touched = touched
}
