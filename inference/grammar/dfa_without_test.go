package grammar

import "testing"

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
