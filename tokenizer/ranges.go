package tokenizer

import (
	"slices"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// disjoint returns the same ranges sorted and without overlaps and empty ones, so that a search for one is fast
// however many there are.
func disjoint(ranges []Range) []Range {
	var list []Range
	for _, r := range slices.SortedFunc(slices.Values(ranges), func(a, b Range) int { return a.Start - b.Start }) {
		switch last := len(list) - 1; {
		case r.Start == r.End:
		case last >= 0 && r.Start < list[last].End:
			list[last].End = max(list[last].End, r.End)
		default:
			list = append(list, r)
		}
	}
	return list
}

// overlaps reports whether [start, end) shares a byte with one of the ranges, which are disjoint.
func overlaps(ranges []Range, start, end int) bool {
	n, _ := slices.BinarySearchFunc(ranges, end, func(r Range, end int) int { return r.Start - end })
	return n > 0 && ranges[n-1].End > start
}

func endsWithWord(text string) bool {
	r, n := utf8.DecodeLastRuneInString(text)
	return n > 0 && pretoken.ClassOf(r)&pretoken.Word != 0
}

func startsWithWord(text string) bool {
	r, n := utf8.DecodeRuneInString(text)
	return n > 0 && pretoken.ClassOf(r)&pretoken.Word != 0
}

// trimmedEnd returns the length of text without the white space at its end.
func trimmedEnd(text string) int {
	for len(text) > 0 {
		r, n := utf8.DecodeLastRuneInString(text)
		if pretoken.ClassOf(r)&pretoken.Padding == 0 {
			break
		}
		text = text[:len(text)-n]
	}
	return len(text)
}

// paddingLen returns the length of the white space at the beginning of text.
func paddingLen(text string) int {
	for i, r := range text {
		if pretoken.ClassOf(r)&pretoken.Padding == 0 {
			return i
		}
	}
	return len(text)
}
