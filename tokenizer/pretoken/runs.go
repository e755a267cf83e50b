package pretoken

import "slices"

// runs is the scanner for patterns that match a run of one set of characters, such as \s?\p{L}+ or \p{N}{1,3}. What
// lies between matches is a word. A position that begins no match is left after one character, or least of them, so a
// scan is linear in the text (the few patterns with a least number have a small one).
type runs struct {
	set   *set
	lead  Class // one character of these may stand before the run
	space bool  // one plain space may stand before the run
	least int   // of characters in a run; 0 and 1 are the same
	most  int   // 0: no bound
}

// set is a set of characters: those of the classes and in the ranges, or all others.
type set struct {
	classes Class
	ranges  []rune // pairs of first and last, in order
	negated bool
}

func (s *set) has(r rune, class Class) bool {
	found := class&s.classes != 0
	if !found && len(s.ranges) > 0 {
		at, exact := slices.BinarySearch(s.ranges, r)
		found = exact || at%2 == 1
	}
	return found != s.negated
}

// ranges reads the inside of a class: characters, and ranges of them, in any order.
func ranges(class string) *set {
	var pairs [][2]rune
	list := []rune(class)
	for i := 0; i < len(list); i++ {
		pair := [2]rune{list[i], list[i]}
		if i+2 < len(list) && list[i+1] == '-' {
			pair[1] = list[i+2]
			i += 2
		}
		pairs = append(pairs, pair)
	}
	slices.SortFunc(pairs, func(a, b [2]rune) int { return int(a[0] - b[0]) })
	s := new(set)
	for _, p := range pairs {
		if n := len(s.ranges); n > 0 && p[0] <= s.ranges[n-1]+1 {
			s.ranges[n-1] = max(s.ranges[n-1], p[1])
			continue
		}
		s.ranges = append(s.ranges, p[0], p[1])
	}
	return s
}

// isRun reports whether the pattern is a run of the class, of most characters, and nothing else.
func (s runs) isRun(class Class, most int) bool {
	return s.lead == 0 && !s.space && s.least == 0 && s.most == most && s.set.classes == class && !s.set.negated && len(s.set.ranges) == 0
}

func (s runs) Split(text string, yield func(int, string) bool) bool {
	for pos := 0; pos < len(text); {
		end, ok := s.match(text, pos)
		for !ok && end < len(text) {
			to, matches := s.match(text, end)
			if matches {
				break
			}
			end = to
		}
		if !yield(pos, text[pos:end]) {
			return false
		}
		pos = end
	}
	return true
}

// match returns the end of the match at pos, or, if ok is false, that of the character there, which begins no match.
func (s runs) match(text string, pos int) (end int, ok bool) {
	r, class, width := runeAt(text, pos)
	end = pos + width
	if s.set.has(r, class) {
		end, ok = s.run(text, end, 1)
	} else if class&s.lead != 0 || (s.space && r == ' ') {
		end, ok = s.run(text, end, 0)
	}
	if !ok {
		return pos + width, false
	}
	return end, true
}

// run returns the end of the run that goes on at pos after n characters, and whether it has enough of them.
func (s runs) run(text string, pos, n int) (end int, ok bool) {
	for pos < len(text) && (s.most == 0 || n < s.most) {
		r, class, width := runeAt(text, pos)
		if !s.set.has(r, class) {
			break
		}
		pos += width
		n++
	}
	return pos, n >= max(s.least, 1)
}

// lines is the scanner for [^\n]+|[\n]+: runs of line feeds, and what lies between.
type lines struct{}

func (lines) Split(text string, yield func(int, string) bool) bool {
	for pos := 0; pos < len(text); {
		end := pos + 1
		for end < len(text) && (text[end] == '\n') == (text[pos] == '\n') {
			end++
		}
		if !yield(pos, text[pos:end]) {
			return false
		}
		pos = end
	}
	return true
}

// trailing is the scanner for \s+$, where $ is the end of the text or before a line feed: it cuts off white space at
// the end of lines. A run of white space is cut before its last line feed, or not at all if the text does not end with
// the run and that line feed is its first character.
type trailing struct{}

func (trailing) Split(text string, yield func(int, string) bool) bool {
	done := 0
	for pos := 0; pos < len(text); {
		pos = runWithout(text, pos, Space)
		end := run(text, pos, Space)
		cut := end
		if end < len(text) {
			for cut = end - 1; cut > pos && text[cut] != '\n'; cut-- {
			}
		}
		if cut <= pos {
			pos = end
			continue
		}
		if (done < pos && !yield(done, text[done:pos])) || !yield(pos, text[pos:cut]) {
			return false
		}
		done, pos = cut, end
	}
	return done == len(text) || yield(done, text[done:])
}
