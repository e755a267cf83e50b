package normalize

import "unicode/utf8"

// Span is a range of the original text in bytes: from Start up to, not including, End.
type Span struct{ Start, End int }

// String is a piece of text and, if it is tracked, the span of the original text that each of its bytes came from.
// It is a value: what changes it returns another.
type String struct {
	Text    string
	tracked bool
	base    int    // where Text begins in the original while spans is nil
	shift   int    // where the piece that Text was made of begins in the original
	limit   int    // of the length of Text, see growth
	spans   []Span // by byte; nil: Text is the original's, from base on
}

// New returns a text that begins at base of the original and has not been changed. Without track no spans are kept,
// and [String.Span] must not be called on what is made of it.
func New(text string, base int, track bool) String {
	return String{Text: text, tracked: track, base: base, shift: base, limit: growth*len(text) + spare}
}

// Slice returns the part of the text between two byte offsets. It is a piece of its own.
func (s String) Slice(start, end int) String {
	s = s.cut(start, end)
	s.shift = s.base
	if len(s.spans) > 0 {
		s.shift = s.spans[0].Start
	}
	return s
}

// cut is Slice, but the piece stays the same.
func (s String) cut(start, end int) String {
	s.Text = s.Text[start:end]
	if s.spans != nil {
		s.spans = s.spans[start:end:end]
	} else {
		s.base += start
	}
	return s
}

// Span returns what a part of the text, which is not empty, came from. A part of a character came from the whole of
// it.
func (s String) Span(start, end int) Span {
	return Span{Start: s.at(start).Start, End: s.at(end - 1).End}
}

// Start returns where in the original the piece begins, or began before its beginning was taken away.
func (s String) Start() int { return s.shift }

// at returns the span of one byte.
func (s String) at(i int) Span {
	if s.spans != nil {
		return s.spans[i]
	}
	start, end := i, i+1
	for start > 0 && !utf8.RuneStart(s.Text[start]) {
		start--
	}
	for end < len(s.Text) && !utf8.RuneStart(s.Text[end]) {
		end++
	}
	return Span{Start: s.base + start, End: s.base + end}
}

// Prepend puts text before a text that is not empty. What is put there is taken to come from the first character.
func (s String) Prepend(text string) String {
	if s.Text == "" || text == "" {
		return s
	}
	out := String{Text: text + s.Text, tracked: s.tracked, base: s.base, shift: s.shift, limit: s.limit}
	if s.tracked {
		out.spans = make([]Span, 0, len(out.Text))
		for range len(text) {
			out.spans = append(out.spans, s.at(0))
		}
		for i := range len(s.Text) {
			out.spans = append(out.spans, s.at(i))
		}
	}
	return out
}

// builder makes a changed text character by character. A change says what a character stands for, in the reference's
// numbers: 0 replaces the next character, -n replaces it and takes away n more, 1 is new and shares the span of what
// stands before.
type builder struct {
	from String
	pos  int // in from.Text: what is not yet replaced
	text []byte
	to   []Span
}

func newBuilder(from String) *builder {
	return &builder{from: from, text: make([]byte, 0, len(from.Text)+len(from.Text)/8+8)}
}

// keep copies what lies between the place reached and end.
func (b *builder) keep(end int) {
	b.text = append(b.text, b.from.Text[b.pos:end]...)
	if b.from.tracked {
		for i := b.pos; i < end; i++ {
			b.to = append(b.to, b.from.at(i))
		}
	}
	b.pos = end
}

// push appends a character.
func (b *builder) push(r rune, change int) {
	b.text = utf8.AppendRune(b.text, r)
	if !b.from.tracked {
		return
	}
	span := b.before()
	if change <= 0 {
		if b.pos < len(b.from.Text) {
			span = b.from.at(b.pos)
		}
		for range 1 - change {
			_, n := utf8.DecodeRuneInString(b.from.Text[b.pos:])
			b.pos += n
		}
	}
	for len(b.to) < len(b.text) {
		b.to = append(b.to, span)
	}
}

// before returns the span of the byte before the place reached, or an empty one.
func (b *builder) before() Span {
	if b.pos == 0 {
		return Span{Start: b.from.Start(), End: b.from.Start()}
	}
	return b.from.at(b.pos - 1)
}

// done returns what was made.
func (b *builder) done() String {
	out := String{Text: string(b.text), tracked: b.from.tracked, base: b.from.base, shift: b.from.shift, limit: b.from.limit}
	if b.from.tracked {
		out.spans = b.to
		if out.spans == nil {
			out.spans = []Span{}
		}
	}
	return out
}
