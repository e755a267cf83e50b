package pretoken

// o200k is the scanner for the pattern [O200K] and those like it: Llama 4 and gpt-oss, Tekken (Mistral), Kimi.
//
// The pattern's alternatives, in their order, and what stands for each below. U is [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and W is
// [\p{Ll}\p{Lm}\p{Lo}\p{M}]: a caseless letter or a mark is in both.
//
//	[\p{Han}]+                                                       Kimi alone: ideographs, which are then not in U, W
//	[^\r\n\p{L}\p{N}]?U*W+(?i:'s|'t|'re|'ve|'m|'ll|'d)?              cased, after one other character or none
//	[^\r\n\p{L}\p{N}]?U+W*(?i:'s|'t|'re|'ve|'m|'ll|'d)?              cased
//	\p{N}{1,3}                                                       digits numbers at most
//	 ?[^\s\p{L}\p{N}]+[\r\n/]*                                       a run of others, after one space or none
//	\s*[\r\n]+|\s+(?!\S)|\s+                                         spaces, see cl100k.go
//
// U*W+ first takes the longest run of U. If a lower-case letter comes next, the run of W that it begins is taken too.
// Otherwise the run of U is given back up to its last character that is also in W; if there is none, U+W* takes the run.
// What is given back has no character of W, so that the next word takes it as a whole: no character is read more
// than three times, and a scan is linear in the text. A mark may be the other character before a word, and is itself in
// U and W: it is put before what matches U*W+, and is a word by itself if nothing does.
type o200k struct {
	fold   fold
	digits int
	slash  bool  // slashes too may stand between and after the line ends that follow others
	apart  Class // Han, or nothing
}

func (s o200k) Split(text string, yield func(int, string) bool) bool {
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
func (s o200k) next(text string, pos int) int {
	class, width := classAt(text, pos)
	end := pos + width
	switch {
	case class&s.apart != 0:
		return run(text, end, s.apart)
	case class&Letter != 0:
		end, _ = s.cased(text, pos)
		return s.contracted(text, end)
	case class&Number != 0:
		return atMost(text, end, s.digits-1, Number)
	}
	if class&Newline == 0 {
		to, first := s.cased(text, end)
		if class&Mark != 0 && !first {
			return s.contracted(text, end)
		}
		if to > end {
			return s.contracted(text, to)
		}
	}
	if text[pos] == ' ' && end < len(text) {
		if next, width := classAt(text, end); next&(Space|Letter|Number) == 0 {
			class, end = next, end+width
		}
	}
	if class&Space != 0 {
		return spaces(text, pos, end, false)
	}
	end = runWithout(text, end, Space|Letter|Number)
	for end < len(text) && (text[end] == '\n' || text[end] == '\r' || (text[end] == '/' && s.slash)) {
		end++
	}
	return end
}

// cased returns the end of U*W+|U+W* at pos, which is pos if neither matches. First says that U*W+ does.
func (s o200k) cased(text string, pos int) (end int, first bool) {
	const both = Caseless | Mark
	end, last := pos, pos // last: up to where the last character goes that is also in W
scan:
	for end < len(text) {
		class, width := classAt(text, end)
		switch {
		case class&s.apart != 0:
			break scan
		case class&Upper != 0:
			end += width
		case class&both != 0:
			end += width
			last = end
		case class&Lower != 0:
			return s.lower(text, end+width), true
		default:
			break scan
		}
	}
	if last > pos {
		return last, true
	}
	return end, false
}

// lower returns the end of the run of W that goes on at pos.
func (s o200k) lower(text string, pos int) int {
	const w = Lower | Caseless | Mark
	if s.apart == 0 {
		return run(text, pos, w)
	}
	for pos < len(text) {
		class, width := classAt(text, pos)
		if class&w == 0 || class&s.apart != 0 {
			break
		}
		pos += width
	}
	return pos
}

// contracted returns the end of a word with the contraction that may follow it.
func (s o200k) contracted(text string, end int) int {
	if end < len(text) && text[end] == '\'' {
		if n := s.fold.folded(text[end+1:]); n > 0 {
			return end + 1 + n
		}
	}
	return end
}
