package grammar

import (
	"strings"
	"testing"
)

// TestWithout: the tree of texts and the other automaton together accept what the difference of two automata accepts.
func TestWithout(t *testing.T) {
	t.Parallel()
	all := toyVocabulary().terminals().name
	for _, texts := range [][]string{
		{`"a"`},
		{`"ab"`, `"abc"`, `"é"`, `""`, `"x\"y"`, `"bc"`, `"ab"`},
		{`"not a string`, `"\u0041"`, `"q"`}, // of which it accepts one
	} {
		got, err1 := without(nil, all, texts)
		some, err2 := textsDFA(nil, texts)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		want, err := subtract(nil, all, some)
		if err != nil {
			t.Fatal(err)
		}
		more, err1 := subtract(nil, got, want)
		less, err2 := subtract(nil, want, got)
		if err1 != nil || err2 != nil || !more.empty() || !less.empty() {
			t.Errorf("without %q: more %v, less %v, %v, %v", texts, !more.empty(), !less.empty(), err1, err2)
		}
		if len(got.accepts) != len(want.accepts) || got.classes != want.classes {
			t.Errorf("without %q: %d states of %d classes, want %d of %d", texts, len(got.accepts), got.classes, len(want.accepts), want.classes)
		}
	}
}

// TestWithoutIsBounded: a text that is too long is refused before there are states for all of it.
func TestWithoutIsBounded(t *testing.T) {
	t.Parallel()
	all := toyVocabulary().terminals().name
	fits := `"` + strings.Repeat("a", maxDFA-2) + `"` // the last byte leads to no state of the tree
	w := &excluding{of: all}
	w.add(0)
	if err := w.exclude(fits); err != nil || len(w.nodes) != maxDFA {
		t.Errorf("%d nodes, want %d; %v", len(w.nodes), maxDFA, err)
	}
	w = &excluding{of: all}
	w.add(0)
	if err := w.exclude(`"` + strings.Repeat("a", MaxSource) + `"`); err == nil || len(w.nodes) > maxDFA {
		t.Errorf("%d nodes, more than %d; %v", len(w.nodes), maxDFA, err)
	}
	if _, err := without(nil, all, []string{`"b"`, fits}); err == nil {
		t.Error("two texts that are too long together")
	}
}
