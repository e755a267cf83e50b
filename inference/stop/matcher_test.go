package stop_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"

	"github.com/sluiceml/sluice/inference/stop"
)

// TestTranscripts runs testdata/*.txt. A command "text" has the stop strings as arguments, "keep" or not,
// and as input one piece of text a line; it prints what each piece lets through, and the end.
func TestTranscripts(t *testing.T) {
	datadriven.RunTest(t, "testdata/matcher.txt", func(t *testing.T, d *datadriven.TestData) string {
		var stops []string
		keep := false
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "keep":
				keep = true
			case "stop":
				stops = append(stops, a.Vals...)
			default:
				t.Fatalf("%s: unknown argument %q", d.Pos, a.Key)
			}
		}
		set, err := stop.Compile(stops)
		if err != nil {
			return err.Error() + "\n"
		}
		m := stop.NewMatcher(set, keep)
		var b strings.Builder
		for piece := range strings.SplitSeq(d.Input, "\n") {
			fmt.Fprintf(&b, "%q: %q\n", piece, m.Append(nil, piece))
		}
		if match, ok := m.Match(); ok {
			fmt.Fprintf(&b, "match %q\n", match)
			return b.String()
		}
		fmt.Fprintf(&b, "end: %q\n", m.Flush(nil))
		return b.String()
	})
}

func TestCompileErrors(t *testing.T) {
	if _, err := stop.Compile([]string{"a", ""}); !errors.Is(err, stop.ErrEmpty) || !strings.Contains(err.Error(), "1") {
		t.Errorf("an empty string: %v", err)
	}
	if _, err := stop.Compile([]string{"a\xff"}); !errors.Is(err, stop.ErrNotUTF8) {
		t.Errorf("bytes: %v", err)
	}
}

func TestZeroMatcher(t *testing.T) {
	var m stop.Matcher
	got := m.Flush(m.Append([]byte("a"), "b"))
	if _, ok := m.Match(); ok || string(got) != "ab" {
		t.Errorf("got %q, %t", got, ok)
	}
}

func TestTokens(t *testing.T) {
	set := stop.Tokens{3, 1}
	if !set.Has(1) || !set.Has(3) || set.Has(2) || stop.Tokens(nil).Has(0) {
		t.Error("Has is wrong")
	}
}

// naive finds the match byte by byte: the first end of any string, of those that end there the longest.
func naive(stops []string, text string) (start, end int, match string) {
	for end := 1; end <= len(text); end++ {
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) && len(s) > len(match) {
				match = s
			}
		}
		if match != "" {
			return end - len(match), end, match
		}
	}
	return len(text), len(text), ""
}

// naiveHeld is how much of the end of text could still grow into a match.
func naiveHeld(stops []string, text string) int {
	for n := len(text); n > 0; n-- {
		for _, s := range stops {
			if len(s) > n && strings.HasPrefix(s, text[len(text)-n:]) {
				return n
			}
		}
	}
	return 0
}

// check feeds a text in pieces and compares every step with the twin.
func check(t *testing.T, stops, pieces []string, keep bool) {
	t.Helper()
	set, err := stop.Compile(stops)
	if err != nil {
		t.Fatalf("stops %q: %v", stops, err)
	}
	text := strings.Join(pieces, "")
	start, end, match := naive(stops, text)
	if keep {
		start = end
	}
	m := stop.NewMatcher(set, keep)
	var got []byte
	read := 0
	for _, p := range pieces {
		before := len(got)
		got = m.Append(got, p)
		read += len(p)
		if !utf8.Valid(got[before:]) {
			t.Fatalf("stops %q: %q splits a character", stops, got[before:])
		}
		if match != "" && read >= end {
			break
		}
		if want := text[:read-naiveHeld(stops, text[:read])]; string(got) != want {
			t.Fatalf("stops %q: after %q there is %q, want %q", stops, text[:read], got, want)
		}
	}
	found, ok := m.Match()
	if found != match || ok != (match != "") {
		t.Fatalf("stops %q in %q: match %q, want %q", stops, text, found, match)
	}
	if ok {
		if more := m.Append(nil, "x"); len(more) > 0 {
			t.Fatalf("after the match there is %q", more)
		}
	}
	if got = m.Flush(got); string(got) != text[:start] {
		t.Fatalf("stops %q in %q: %q, want %q", stops, text, got, text[:start])
	}
}

// TestAgainstNaive uses a small alphabet, so that strings overlap.
func TestAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	word := func(least, most int) string {
		var b strings.Builder
		for range least + rng.IntN(most-least+1) {
			b.WriteString([]string{"a", "b", "é", "è"}[rng.IntN(4)]) // é and è share their first byte
		}
		return b.String()
	}
	for range 20000 {
		var stops, pieces []string
		for range 1 + rng.IntN(4) {
			stops = append(stops, word(1, 5))
		}
		for range rng.IntN(8) {
			pieces = append(pieces, word(0, 4))
		}
		check(t, stops, pieces, rng.IntN(2) == 0)
	}
}

// FuzzMatcher takes stop strings and the text's pieces as lines.
func FuzzMatcher(f *testing.F) {
	f.Add("STOP\n\n", "a\nST\nOPx", false)
	f.Add("aab\nab", "aaa\nb", true)
	f.Add("é", "\u00e8\u00e9", false)
	f.Fuzz(func(t *testing.T, stops, text string, keep bool) {
		if !utf8.ValidString(stops) || !utf8.ValidString(text) || len(stops) > 200 || len(text) > 500 {
			return
		}
		set := strings.FieldsFunc(stops, func(r rune) bool { return r == '\n' })
		if len(set) == 0 {
			return
		}
		check(t, set, strings.Split(text, "\n"), keep)
	})
}

func BenchmarkAppend(b *testing.B) {
	set, err := stop.Compile([]string{"<|im_end|>", "\n\nUser:", "\n\nAssistant:", "###"})
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("A sentence like many others, with nothing in it.\n", 20)
	var dst []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		m := stop.NewMatcher(set, false)
		dst = m.Append(dst[:0], text)
	}
}

// TestSkip: what ends in a skipped piece is text, however it is cut; what ends later is a match that may begin there.
func TestSkip(t *testing.T) {
	for _, test := range []struct{ skipped, then, shown, match string }{
		{"a STOP b", "", "a STOP b", ""},
		{"a STOP", "b STOP c", "a STOPb ", "STOP"},
		{"a ST", "OP", "a ", "STOP"},
		{"STOP", "P", "STO", "PP"},
		{"STO", "", "STO", ""},
		{"PP", "P", "P", "PP"},
		{"", "STOP", "", "STOP"},
	} {
		set, err := stop.Compile([]string{"STOP", "PP"})
		if err != nil {
			t.Fatal(err)
		}
		for cut := range len(test.skipped) + 1 {
			m := stop.NewMatcher(set, false)
			shown := m.Skip(m.Skip(nil, test.skipped[:cut]), test.skipped[cut:])
			shown = m.Flush(m.Append(shown, test.then))
			if match, _ := m.Match(); string(shown) != test.shown || match != test.match {
				t.Errorf("%q|%q: shown %q, match %q", test.skipped, test.then, shown, match)
			}
			if again := m.Skip(nil, "x"); test.match != "" && len(again) > 0 {
				t.Errorf("%q after the match", again)
			}
		}
	}
	var zero stop.Matcher
	if got := zero.Skip(nil, "x"); string(got) != "x" {
		t.Errorf("the zero value lets %q through", got)
	}
}
