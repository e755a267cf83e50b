package pretoken

// gpt2 is the scanner for the pattern [GPT2].
//
// The pattern's alternatives, in their order, and what stands for each below:
//
//	's|'t|'re|'ve|'m|'ll|'d    contraction
//	 ?\p{L}+                   a run of letters, after one space or none
//	 ?\p{N}+                   a run of numbers, after one space or none
//	 ?[^\s\p{L}\p{N}]+         a run of anything else but white space, after one space or none
//	\s+(?!\S)                  a run of white space but for its last character, which may belong to the next word
//	\s+                        a single white space before another word, if it is not a plain space
//
// Every character is one of letter, number, white space and other, so the first character, or the second after a
// plain space, decides the alternative and nothing is tried twice: a scan is linear in the text.
//
// A character of the classes in alone is a word by itself, and the text ends before it as far as the look-ahead is
// concerned. That is the Digits pre-tokenizer with individual digits, or the pattern \p{N}, put before the pattern
// (StarCoder, SmolLM). No letter is a digit, and every number is one.
type gpt2 struct{ alone Class }

func (s gpt2) Split(text string, yield func(int, string) bool) bool {
	for pos := 0; pos < len(text); {
		end := s.next(text, pos)
		if !yield(pos, text[pos:end]) {
			return false
		}
		pos = end
	}
	return true
}

// next returns the end of the word that begins at pos, which is before the end of the text.
func (s gpt2) next(text string, pos int) int {
	class, width := classAt(text, pos)
	end := pos + width
	if class&s.alone != 0 {
		return end
	}
	switch {
	case text[pos] == '\'':
		if n := contraction(text[end:]); n > 0 {
			return end + n
		}
	case text[pos] == ' ':
		if end == len(text) {
			return end
		}
		next, width := classAt(text, end)
		if next&s.alone != 0 {
			return end
		}
		if next&Space != 0 {
			return s.spaces(text, pos, end)
		}
		class = next
		end += width
	case class&Space != 0:
		return s.spaces(text, pos, end)
	}
	switch {
	case class&Letter != 0:
		return run(text, end, Letter)
	case class&Number != 0:
		return run(text, end, Number)
	default:
		return runWithout(text, end, Space|Letter|Number|s.alone)
	}
}

// spaces returns the end of the word that begins with the white space text[pos:end].
func (s gpt2) spaces(text string, pos, end int) int {
	last := pos // where the last character of the run begins
	for end < len(text) {
		class, width := classAt(text, end)
		if class&s.alone != 0 {
			return end
		}
		if class&Space == 0 {
			if last > pos {
				return last
			}
			return end
		}
		last = end
		end += width
	}
	return end
}
