package normalize

import "slices"

// Form is one of the normal forms of Unicode (UAX #15).
type Form uint8

// The normal forms.
const (
	NFC Form = iota
	NFD
	NFKC
	NFKD
)

func (f Form) composes() bool   { return f == NFC || f == NFKC }
func (f Form) compatible() bool { return f == NFKC || f == NFKD }

// Normalize brings a text into the form. A run of characters that the form leaves alone whatever stands beside them is
// copied; only what lies between such runs is taken apart. The cost is linear in the text, and n log n in the length
// of the longest run of marks.
func (f Form) Normalize(s String) (String, error) {
	t := tables()
	var b *builder
	var w work
	last := 0    // where the last character begins that the form leaves alone
	reached := 0 // where the last part that was made anew ends
	for i := 0; i < len(s.Text); {
		if c := s.Text[i]; c < quickASCII {
			last = i
			i++
			continue
		} else if c >= quickFirst && c <= quickLast {
			last = i
			i += 3
			continue
		}
		r, width := decode(s.Text, i)
		if t.inert(r, f) {
			last = i
			i += width
			continue
		}
		end := i + width
		for end < len(s.Text) {
			r, width := decode(s.Text, end)
			if t.inert(r, f) {
				break
			}
			end += width
		}
		if b == nil {
			b = newBuilder(s)
		}
		// The character before takes part, since marks compose with it, unless a part ended there already.
		start := max(last, reached)
		b.keep(start)
		w.normalize(t, f, s.Text[start:end], b)
		b.pos, reached = end, end
		last, i = end, end
	}
	if b == nil {
		return s, nil
	}
	b.keep(len(s.Text))
	return b.done(), nil
}

// Every form leaves alone the characters of bytes below quickASCII, and those whose first byte is quickFirst to
// quickLast: U+4000 to U+9FFF, ideographs all.
const (
	quickASCII = 0x80
	quickFirst = 0xe4
	quickLast  = 0xe9
)

// mark is a character on its way: what it is, its combining class, and its change (see builder).
type mark struct {
	r      rune
	class  uint8
	change int
}

// work holds the buffers of one normalization.
type work struct {
	marks   []mark
	pending []mark
}

// normalize takes a text apart, orders its marks and, if the form composes, puts it together again.
func (w *work) normalize(t *data, f Form, text string, b *builder) {
	w.marks = w.marks[:0]
	for _, r := range text {
		w.marks = t.decompose(w.marks, r, f.compatible())
	}
	for i := 0; i < len(w.marks); {
		if w.marks[i].class == 0 {
			i++
			continue
		}
		end := i + 1
		for end < len(w.marks) && w.marks[end].class != 0 {
			end++
		}
		slices.SortStableFunc(w.marks[i:end], func(a, b mark) int { return int(a.class) - int(b.class) })
		i = end
	}
	if f.composes() {
		w.compose(t, b)
		return
	}
	for _, m := range w.marks {
		b.push(m.r, m.change)
	}
}

// compose puts marks and the characters before them together.
func (w *work) compose(t *data, b *builder) {
	var base mark
	has := false
	lastClass := -1 // of the marks pending after base; -1: none are
	w.pending = w.pending[:0]
	flush := func() {
		if has {
			b.push(base.r, base.change)
		}
		for _, m := range w.pending {
			b.push(m.r, m.change)
		}
		w.pending = w.pending[:0]
	}
	for _, m := range w.marks {
		if !has {
			if m.class != 0 {
				b.push(m.r, m.change)
				continue
			}
			base, has = m, true
			continue
		}
		if lastClass < int(m.class) { // not blocked
			if r, ok := t.composed(base.r, m.r); ok {
				base.r, base.change = r, base.change+m.change-1
				continue
			}
		}
		if m.class == 0 {
			flush()
			base, lastClass = m, -1
			continue
		}
		w.pending = append(w.pending, m)
		lastClass = int(m.class)
	}
	flush()
}
