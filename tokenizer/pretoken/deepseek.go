package pretoken

// deepseek is the scanner for the pattern [DeepSeekV3], and for the sequence of patterns of DeepSeek V3 and R1: first
// \p{N}{1,3}, then [一-龥぀-ゟ゠-ヿ]+, then this one.
//
// The pattern's alternatives, in their order, and what stands for each below:
//
//	[!-/:-@\[-`{-~][A-Za-z]+            ASCII letters after one ASCII punctuation mark or symbol
//	[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+  letters and marks, after one character that is neither punctuation nor symbol
//	 ?[\p{P}\p{S}]+[\r\n]*              a run of punctuation and symbols, after one space or none, and line ends
//	\s*[\r\n]+|\s+(?!\S)|\s+            spaces, see cl100k.go
//
// Numbers, control characters and code points that nobody has assigned may match nothing: a run of those is a word.
//
// The classes in cut are those that the patterns before this one cut out: Number in words of three at most, and Kana
// in runs. No other word begins, ends or looks beyond them. A run of Kana is then cut by this pattern (it holds
// punctuation and symbols), numbers are not, for nothing matches them. Each cut is found by one pass, and each part is
// scanned by another, in which the first two characters decide the alternative: a scan is linear in the text.
type deepseek struct{ cut Class }

func (s deepseek) Split(text string, yield func(int, string) bool) bool {
	for pos := 0; pos < len(text); {
		class, width := classAt(text, pos)
		end := pos + width
		switch {
		case class&s.cut&Number != 0:
			end = atMost(text, end, 2, Number)
			if !yield(pos, text[pos:end]) {
				return false
			}
			pos = end
			continue
		case class&s.cut&Kana != 0:
			end = run(text, end, Kana)
		case s.cut == 0:
			end = len(text)
		default:
			end = runWithout(text, end, s.cut)
		}
		for part := text[:end]; pos < end; {
			to := s.next(part, pos)
			if !yield(pos, part[pos:to]) {
				return false
			}
			pos = to
		}
	}
	return true
}

// next returns the end of the word that begins at pos, which is before the end of the text.
func (s deepseek) next(text string, pos int) int {
	end, ok := s.match(text, pos)
	for !ok && end < len(text) {
		to, matches := s.match(text, end)
		if matches {
			break
		}
		end = to
	}
	return end
}

// match returns the end of the match at pos, or, if ok is false, that of the character there, which begins no match.
func (s deepseek) match(text string, pos int) (end int, ok bool) {
	const letter, symbol = Letter | Mark, Punct | Symbol
	class, width := classAt(text, pos)
	end = pos + width
	if class&letter != 0 {
		return run(text, end, letter), true
	}
	if class&symbol != 0 {
		if width == 1 {
			if to := asciiLetters(text, end); to > end {
				return to, true
			}
		}
		return run(text, run(text, end, symbol), Newline), true
	}
	if class&Newline == 0 && end < len(text) {
		next, width := classAt(text, end)
		if next&letter != 0 {
			return run(text, end+width, letter), true
		}
		if next&symbol != 0 && text[pos] == ' ' {
			return run(text, run(text, end+width, symbol), Newline), true
		}
	}
	if class&Space != 0 {
		return spaces(text, pos, end, false), true
	}
	return end, false
}

// asciiLetters returns the end of the run of ASCII letters at pos.
func asciiLetters(text string, pos int) int {
	for pos < len(text) && asciiClasses[text[pos]]&Letter != 0 {
		pos++
	}
	return pos
}
