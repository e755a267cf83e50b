package tokenizer

import (
	"slices"
	"unicode/utf8"
)

// repair returns text with its invalid bytes replaced (see appendLossy) and the ranges moved accordingly. A range that
// begins or ends within a replaced piece takes in the whole of it.
func repair(text string, ranges []Range) (string, []Range) {
	moved := make([]Range, len(ranges))
	type edge struct {
		at  int
		to  *int
		end bool
	}
	edges := make([]edge, 0, 2*len(ranges))
	for i, r := range ranges {
		edges = append(edges, edge{r.Start, &moved[i].Start, false}, edge{r.End, &moved[i].End, true})
	}
	slices.SortFunc(edges, func(a, b edge) int { return a.at - b.at })
	out := make([]byte, 0, len(text)+len(text)/8)
	for at := 0; at < len(text); {
		n, _, ok := subpart(text[at:])
		before := len(out)
		if ok {
			out = append(out, text[at:at+n]...)
		} else {
			out = utf8.AppendRune(out, utf8.RuneError)
		}
		for len(edges) > 0 && edges[0].at < at+n {
			e := edges[0]
			edges = edges[1:]
			*e.to = before
			if e.end && e.at > at {
				*e.to = len(out)
			}
		}
		at += n
	}
	for _, e := range edges {
		*e.to = len(out)
	}
	return string(out), moved
}

// originalOffset finds the byte of the text that the offset in its repaired form stands for.
func originalOffset(text string, offset int) int {
	at, repaired := 0, 0
	for at < len(text) && repaired < offset {
		n, _, ok := subpart(text[at:])
		at += n
		if ok {
			repaired += n
		} else {
			repaired += utf8.RuneLen(utf8.RuneError)
		}
	}
	return at
}
