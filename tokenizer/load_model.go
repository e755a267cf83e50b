package tokenizer

import "fmt"

// readVocab reads the object of texts and ids. The texts are copied into few large pieces of memory.
func (m *model) readVocab(s *jsonScanner) error {
	entries := make([]entry, 0, min(len(s.data)/64, maxPrealloc))
	var texts arena
	err := s.object(func(key []byte) error {
		text := texts.copy(key)
		id, err := s.id()
		if entries = append(entries, entry{text, id}); err == nil && len(entries) > maxTokens {
			err = s.fail(fmt.Sprintf("more than %d tokens", maxTokens))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("model: vocab: %w", err)
	}
	m.vocab, err = newVocab(entries, m.more)
	return err
}

// maxPrealloc bounds what is allocated on a guess.
const maxPrealloc = 1 << 18

// arena holds many small texts in few pieces of memory.
type arena struct{ buf []byte }

func (a *arena) copy(text []byte) string {
	if cap(a.buf)-len(a.buf) < len(text) {
		a.buf = make([]byte, 0, max(len(text), 1<<16))
	}
	start := len(a.buf)
	a.buf = append(a.buf, text...)
	return stringOf(a.buf[start:len(a.buf):len(a.buf)])
}

// readMerges reads the list of merges: pairs of tokens, written as arrays or, before 2024, as one string with a space
// between them.
func (m *model) readMerges(s *jsonScanner) error {
	m.skipped = len(m.prefix())
	r := newMerger(m.vocab, m.skipped, min(len(s.data)/32, maxPrealloc))
	var left []byte
	err := s.array(func() error {
		if s.space() != '[' {
			line, err := s.text()
			if err != nil {
				return err
			}
			return r.addLine(line)
		}
		parts := 0
		var right []byte
		err := s.array(func() error {
			text, err := s.text()
			switch parts++; parts {
			case 1:
				left = append(left[:0], text...)
			default:
				right = text
			}
			return err
		})
		if err != nil {
			return err
		}
		if parts != 2 {
			return formatError("merge %d has %d tokens", r.count(), parts)
		}
		return r.add(left, right)
	})
	merges, err2 := r.list()
	m.merges = merges
	if err2 != nil { // what was held came first
		err = err2
	}
	if err != nil {
		return fmt.Errorf("model: merges: %w", err)
	}
	return nil
}
