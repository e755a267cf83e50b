package pretoken

// Splitter cuts text into words. Implementations are immutable and safe for concurrent use.
//
// gpt2, cl100k and o200k each repeat the same short loop over their next method: with a shared loop the call of next is
// indirect, which slowed gpt2 down by a sixth.
type Splitter interface {
	// Split calls yield with each word of text, in order, until yield returns false; it reports whether it came to
	// the end. The words are never empty. Start is where the word begins in text; a word is text[start:start+len(word)].
	// Text must be valid UTF-8: of invalid text some cutting is yielded, without a promise which.
	Split(text string, yield func(start int, word string) bool) bool
}

// Digits returns the splitter of the Digits pre-tokenizer: it cuts numbers off other text, whole, or digit by digit if
// individual is set.
func Digits(individual bool) Splitter { return digits{individual: individual} }

// Sequence cuts text by the first splitter, each word of that by the second, and so on. Known pairs are one scanner.
// Without splitters the whole text is the word.
func Sequence(splitters ...Splitter) Splitter {
	switch len(splitters) {
	case 0:
		return whole{}
	case 1:
		return splitters[0]
	}
	first, rest := splitters[0], Sequence(splitters[1:]...)
	if s, ok := fuse(first, rest); ok {
		return s
	}
	return sequence{first: first, rest: rest}
}

// fuse finds the one scanner for a known pair.
func fuse(first, rest Splitter) (Splitter, bool) {
	switch s := rest.(type) {
	case gpt2:
		if d, ok := first.(digits); ok && d.individual {
			return gpt2{alone: s.alone | Digit}, true
		}
		if n, ok := first.(runs); ok && n.isRun(Number, 1) {
			return gpt2{alone: s.alone | Number}, true
		}
	case deepseek:
		if k, ok := first.(runs); ok {
			switch {
			case k.isRun(Kana, 0) && s.cut == 0:
				return deepseek{cut: Kana}, true
			case k.isRun(Number, 3) && s.cut == Kana:
				return deepseek{cut: Kana | Number}, true
			}
		}
	}
	return nil, false
}

type whole struct{}

func (whole) Split(text string, yield func(int, string) bool) bool {
	return text == "" || yield(0, text)
}

type sequence struct{ first, rest Splitter }

func (s sequence) Split(text string, yield func(int, string) bool) bool {
	return s.first.Split(text, func(outer int, part string) bool {
		return s.rest.Split(part, func(start int, word string) bool { return yield(outer+start, word) })
	})
}

type digits struct{ individual bool }

func (d digits) Split(text string, yield func(int, string) bool) bool {
	for pos := 0; pos < len(text); {
		class, width := classAt(text, pos)
		end := pos + width
		isDigit := class & Digit
		for end < len(text) && (isDigit == 0 || !d.individual) {
			class, width := classAt(text, end)
			if class&Digit != isDigit {
				break
			}
			end += width
		}
		if !yield(pos, text[pos:end]) {
			return false
		}
		pos = end
	}
	return true
}
