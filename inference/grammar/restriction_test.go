package grammar

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
)

// fates is what becomes of tokens that are read from a state: the empty text if they end inside, and what is left of those
// that leave.
func fates(l *local, v *Vocabulary) map[uint32]string {
	out := map[uint32]string{}
	mask := make([]uint64, v.words())
	l.inside.addTo(mask)
	for id := range uint32(v.size) {
		if mask[id>>6]>>(id&63)&1 != 0 {
			out[id] = "inside"
		}
	}
	put := func(x leaving, how string) {
		if !slices.Contains(l.lacks, x.token) {
			out[x.token] += how
		}
	}
	for _, x := range l.leaving[:l.atClose] {
		put(x, "closes")
	}
	var text []byte
	for i, n := range l.rests {
		text = append(text[:n.depth], n.b)
		for _, x := range l.leaving[l.restHead[i].from:l.restHead[i].to] {
			put(x, "leaves before "+string(text))
		}
	}
	return out
}

// TestRestriction: what tokens do in an automaton that is a restriction of another is what a walk through all of them finds.
func TestRestriction(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	all := v.terminals().name
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // to be repeated
	parts := []string{"a", "ab", "abc", "é", "€", "😀", `"`, `\`, "\n", "\x01", "x", "name", ""}
	s := &schemas{shared: v.terminals()}
	differ := 0
	for round := range 60 {
		var texts []string
		for range 1 + random.IntN(9) {
			text := ""
			for range random.IntN(4) {
				text += parts[random.IntN(len(parts))]
			}
			texts = append(texts, jsonString(text))
		}
		d, err := s.withoutTexts(texts)
		if err != nil {
			t.Fatal(err)
		}
		d.follow = all.follow
		if err := d.restricts(nil, all); err != nil || d.restriction == nil {
			t.Fatalf("round %d: %q is no restriction: %v", round, texts, err)
		}
		quick := make([]map[uint32]string, len(d.accepts))
		for state := range quick {
			l, _, _ := d.localOf(v, int32(state))
			quick[state] = fates(l, v)
			if len(l.lacks) > 0 {
				differ++
			}
		}
		d.restriction, d.locals = nil, make([]atomic.Pointer[local], len(d.accepts))
		for state := range quick {
			l, _, _ := d.localOf(v, int32(state))
			if want := fates(l, v); !maps.Equal(quick[state], want) {
				t.Fatalf("without %q, state %d:\n got %v\nwant %v", texts, state, quick[state], want)
			}
		}
	}
	if differ < 100 {
		t.Errorf("tokens were missing in %d states only", differ)
	}
}

// TestNoRestriction: automata that accept more than the other, count, or differ from it nearly everywhere, are walked through.
func TestNoRestriction(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	s := &schemas{shared: v.terminals(), patterns: map[string]*dfa{}}
	for _, source := range []string{`^[a-z]+$`, `^.{0,20}$`, `foo`, `^[AB]1$`} {
		d, err := s.pattern(source, false)
		if err != nil {
			t.Fatal(err)
		}
		d.follow = v.terminals().name.follow
		if err := d.restricts(nil, v.terminals().name); err != nil || d.restriction != nil {
			t.Errorf("%s is a restriction: %v", source, err)
		}
	}
	number, err := compileRegexp(nil, numberPattern)
	if err != nil {
		t.Fatal(err)
	}
	if err := number.restricts(nil, v.terminals().name); err != nil || number.restriction != nil {
		t.Errorf("numbers are a restriction of names: %v", err)
	}
}

// TestRestrictionIsBounded: each state that is looked at counts, and the work ends with the budget and with the request.
func TestRestrictionIsBounded(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	all := v.terminals().name
	cause := errors.New("gone")
	for name, b := range map[string]*budget{
		"spent":   {stop: func() error { return nil }, work: maxWork - 100},
		"stopped": {stop: func() error { return cause }, polled: pollSteps},
	} {
		d, err := (&schemas{shared: v.terminals()}).withoutTexts([]string{`"name"`, `"other"`})
		if err != nil {
			t.Fatal(err)
		}
		d.follow = all.follow
		err = d.restricts(b, all)
		if _, spent := errors.AsType[*Error](err); spent != (name == "spent") || !spent && !errors.Is(err, cause) || d.restriction != nil {
			t.Errorf("%s: %v; it is a restriction: %t", name, err, d.restriction != nil)
		}
	}
	free := &budget{stop: func() error { return nil }}
	d, err := (&schemas{shared: v.terminals()}).withoutTexts([]string{`"name"`, `"other"`})
	if err != nil {
		t.Fatal(err)
	}
	d.follow = all.follow
	if err := d.restricts(free, all); err != nil || d.restriction == nil || free.work < len(d.accepts)*d.classes {
		t.Errorf("%d steps for %d states of %d classes; %v", free.work, len(d.accepts), d.classes, err)
	}
}
