package normalize

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

//go:embed tables.txt
var tablesText string

// tables reads tables.txt, once.
var tables = sync.OnceValue(func() *data { return parse(tablesText) })

// flags holds what [data.inert] asks for code points below tableLimit; no other has an entry in tables.txt.
const tableLimit = 0x30000

// data is the contents of tables.txt.
type data struct {
	class      map[rune]uint8
	canonical  map[rune]string // full decompositions
	compatible map[rune]string // where they differ from the canonical ones
	pairs      map[[2]rune]rune
	lower      map[rune]string
	changes    []uint8 // by code point: a bit for each Form that need not leave it alone, and isPunctuation
}

const isPunctuation = 1 << 7

// IsPunctuation reports whether the Punctuation pre-tokenizer takes a character for punctuation.
func IsPunctuation(r rune) bool {
	return r < tableLimit && tables().changes[r]&isPunctuation != 0
}

func parse(text string) *data {
	t := &data{
		class: map[rune]uint8{}, canonical: map[rune]string{}, compatible: map[rune]string{},
		pairs: map[[2]rune]rune{}, lower: map[rune]string{}, changes: make([]uint8, tableLimit),
	}
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		runes := parseRunes(rest)
		switch first := runes[0]; kind {
		case "ccc":
			for r := first; r <= runes[1]; r++ {
				t.class[r] = uint8(runes[2])
			}
		case "d":
			t.canonical[first] = string(runes[1:])
		case "k":
			t.compatible[first] = string(runes[1:])
		case "c":
			t.pairs[[2]rune{first, runes[1]}] = runes[2]
		case "l":
			t.lower[first] = string(runes[1:])
		case "p":
			for r := first; r <= runes[1]; r++ {
				t.changes[r] |= isPunctuation
			}
		}
	}
	t.markChanges()
	return t
}

// parseRunes reads hexadecimal numbers. The file is ours: what is no number counts as U+FFFD.
func parseRunes(text string) []rune {
	var runes []rune
	for field := range strings.SplitSeq(text, " ") {
		n, err := strconv.ParseUint(field, 16, 32)
		if err != nil {
			n = utf8.RuneError
		}
		runes = append(runes, rune(n))
	}
	return runes
}

const allForms = 1<<NFC | 1<<NFD | 1<<NFKC | 1<<NFKD

// markChanges notes for each code point which forms need not leave it alone: those that change it, and those in which
// it can compose with what stands before it or be moved.
func (t *data) markChanges() {
	for r := range t.class {
		t.changes[r] |= allForms
	}
	for r := range t.canonical {
		t.changes[r] |= 1<<NFD | 1<<NFKD
		if w := (&work{}); w.form(t, NFC, r) != string(r) {
			t.changes[r] |= 1 << NFC
		}
		if w := (&work{}); w.form(t, NFKC, r) != string(r) {
			t.changes[r] |= 1 << NFKC
		}
	}
	for r := range t.compatible {
		t.changes[r] |= 1<<NFKC | 1<<NFKD
	}
	for pair := range t.pairs {
		t.changes[pair[1]] |= 1<<NFC | 1<<NFKC
	}
	for r := rune(hangulFirst); r <= hangulLast; r++ {
		t.changes[r] |= 1<<NFD | 1<<NFKD
	}
	for r := rune(vowelFirst); r < trailFirst+trails; r++ {
		t.changes[r] |= 1<<NFC | 1<<NFKC
	}
}

// form normalizes one character by itself.
func (w *work) form(t *data, f Form, r rune) string {
	b := newBuilder(New(string(r), 0, false))
	w.normalize(t, f, string(r), b)
	return string(b.text)
}

// inert reports whether a form leaves a character alone whatever stands beside it.
func (t *data) inert(r rune, f Form) bool {
	return r >= tableLimit || t.changes[r]&(1<<f) == 0
}

// Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12).
const (
	hangulFirst = 0xac00
	hangulLast  = 0xd7a3
	leadFirst   = 0x1100
	vowelFirst  = 0x1161
	trailFirst  = 0x11a7 // one before the first trailing consonant
	leads       = 19
	vowels      = 21
	trails      = 28
)

// decompose appends what a character consists of.
func (t *data) decompose(dst []mark, r rune, compatible bool) []mark {
	if r >= hangulFirst && r <= hangulLast {
		i := r - hangulFirst
		dst = append(dst, mark{r: leadFirst + i/(vowels*trails)}, mark{r: vowelFirst + i%(vowels*trails)/trails, change: 1})
		if tail := i % trails; tail > 0 {
			dst = append(dst, mark{r: trailFirst + tail, change: 1})
		}
		return dst
	}
	to, ok := "", false
	if compatible {
		to, ok = t.compatible[r]
	}
	if !ok {
		to, ok = t.canonical[r]
	}
	if !ok {
		return append(dst, mark{r: r, class: t.class[r]})
	}
	for i, c := range to {
		dst = append(dst, mark{r: c, class: t.class[c], change: min(i, 1)})
	}
	return dst
}

// composed returns what two characters make together.
func (t *data) composed(a, b rune) (rune, bool) {
	switch {
	case a >= leadFirst && a < leadFirst+leads && b >= vowelFirst && b < vowelFirst+vowels:
		return hangulFirst + ((a-leadFirst)*vowels+(b-vowelFirst))*trails, true
	case a >= hangulFirst && a <= hangulLast && (a-hangulFirst)%trails == 0 && b > trailFirst && b < trailFirst+trails:
		return a + b - trailFirst, true
	}
	r, ok := t.pairs[[2]rune{a, b}]
	return r, ok
}

// decode reads the character at a place of a text.
func decode(text string, at int) (rune, int) {
	if c := text[at]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	return utf8.DecodeRuneInString(text[at:])
}
