package pretoken

import "unicode/utf8"

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
// Every character has exactly one of the kinds letter, number, space, other, so the first character, or the second
// after a plain space, decides the alternative and nothing is tried twice: a scan is linear in the text.
//
// A character of the classes in alone is a word by itself, and the text ends before it as far as the look-ahead is
// concerned. That is the Digits pre-tokenizer with individual digits put before the pattern (StarCoder, SmolLM).
type gpt2 struct{ alone Class }

// kinds are the classes that the pattern tells apart.
const kinds = Letter | Number | Space

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
		if next&Space == 0 {
			return s.run(text, end+width, next&kinds)
		}
		return s.spaces(text, pos, end)
	case class&Space != 0:
		return s.spaces(text, pos, end)
	}
	return s.run(text, end, class&kinds)
}

// run returns the end of the run of one kind that goes on at pos.
func (s gpt2) run(text string, pos int, kind Class) int {
	mask := kinds | s.alone
	for pos < len(text) {
		class, width := Class(0), 1
		if c := text[pos]; c < utf8.RuneSelf { // classAt by hand: it is not inlined
			class = Class(classRows[c]) - '0'
		} else {
			class, width = wideAt(text[pos:])
		}
		if class&mask != kind {
			break
		}
		pos += width
	}
	return pos
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

// contraction returns how many bytes of rest, the text after an apostrophe, belong to one of the English contractions.
func contraction(rest string) int {
	if rest == "" {
		return 0
	}
	switch rest[0] {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v':
		if len(rest) > 1 && rest[1] == 'e' {
			return 2
		}
	case 'l':
		if len(rest) > 1 && rest[1] == 'l' {
			return 2
		}
	}
	return 0
}
