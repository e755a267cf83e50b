package pretoken

// cl100k is the scanner for the pattern [CL100K] and those like it: Llama 3, Qwen 2 to 3.5, StableLM 2, DBRX, GLM 4,
// Bailing, Seed-Coder.
//
// The pattern's alternatives, in their order, and what stands for each below:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)   fold, see contraction.go
//	[^\r\n\p{L}\p{N}]?\p{L}+       a run of letters (with Qwen 3.5, of marks too), after one other character or none
//	\p{N}{1,3}                     digits numbers at most
//	 ?[^\s\p{L}\p{N}]+[\r\n]*      a run of others, after one space or none; with tail, line ends after it
//	\s*[\r\n]+                     white space up to its last line end
//	\s+(?!\S)                      a run of white space but for its last character, which may belong to the next word
//	\s+                            a single white space before something that does not take it
//
// The first two characters decide the alternative. Of a run of white space only what follows its last line end is
// read twice, so a scan is linear in the text.
type cl100k struct {
	fold    fold
	letters Class // Letter, or Letter|Mark
	digits  int
	tail    bool
	// toEnd has \s+$ before \s*[\r\n]+: white space at the end of the text is one word.
	toEnd bool
}

func (s cl100k) Split(text string, yield func(int, string) bool) bool {
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
func (s cl100k) next(text string, pos int) int {
	class, width := classAt(text, pos)
	end := pos + width
	if class&s.letters != 0 {
		return run(text, end, s.letters)
	}
	if class&Number != 0 {
		return atMost(text, end, s.digits-1, Number)
	}
	if text[pos] == '\'' {
		if n := s.fold.folded(text[end:]); n > 0 {
			return end + n
		}
	}
	if end < len(text) && class&Newline == 0 {
		next, width := classAt(text, end)
		if next&s.letters != 0 {
			return run(text, end+width, s.letters)
		}
		if text[pos] == ' ' && next&(Space|Number) == 0 {
			class, end = next, end+width
		}
	}
	if class&Space != 0 {
		return spaces(text, pos, end, s.toEnd)
	}
	end = runWithout(text, end, Space|Number|s.letters)
	if s.tail {
		end = run(text, end, Newline)
	}
	return end
}

// spaces is \s*[\r\n]+|\s+(?!\S)|\s+ with \s+$ before it if toEnd is set: it returns the end of the word that begins
// with the white space text[pos:end].
func spaces(text string, pos, end int, toEnd bool) int {
	last, lines := pos, pos // where the last character begins, and up to where the last line end goes
	if c := text[pos]; c == '\n' || c == '\r' {
		lines = end
	}
	for end < len(text) {
		class, width := classAt(text, end)
		if class&Space == 0 {
			switch {
			case lines > pos:
				return lines
			case last > pos:
				return last
			default:
				return end
			}
		}
		last = end
		end += width
		if class&Newline != 0 {
			lines = end
		}
	}
	if lines > pos && !toEnd {
		return lines
	}
	return end
}
