package grammar

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// wordVocabulary has all bytes, random words and an end token.
func wordVocabulary(size int) *Vocabulary {
	random := rand.New(rand.NewPCG(1, 2))
	var tokens [][]byte
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	for len(tokens) < size {
		word := make([]byte, 2+random.IntN(7))
		for i := range word {
			word[i] = byte('a' + random.IntN(26))
		}
		tokens = append(tokens, word)
	}
	return NewVocabulary(append(tokens, nil), []uint32{uint32(size)})
}

// mirrors is k rules at once, each of which remembers all that it has read: every node of the vocabulary's trie is a state
// of k stacks.
func mirrors(k int) Constraint {
	var b strings.Builder
	b.WriteString("root ::= s0")
	for i := 1; i < k; i++ {
		fmt.Fprintf(&b, " | s%d", i)
	}
	b.WriteString("\n")
	for i := range k {
		fmt.Fprintf(&b, "s%[1]d ::= [a-e] s%[1]d \"A\" | [f-j] s%[1]d \"B\" | [k-o] s%[1]d \"C\" | [p-t] s%[1]d \"D\" | [u-z ] s%[1]d \"E\" | \".\"\n", i)
	}
	return Constraint{Kind: KindGrammar, Text: b.String()}
}

// TestMaskIsBounded: a mask that takes too much ends with ErrAmbiguous, in bounded steps and memory, and so does a token.
func TestMaskIsBounded(t *testing.T) {
	t.Parallel()
	words, few := wordVocabulary(30_000), wordVocabulary(1_500)
	for k, fits := range map[int]bool{1: true, 150: false, 300: false} {
		v := words
		if fits {
			v = few
		}
		g := mustCompile(t, mirrors(k), v)
		m := mustMatcher(t, g)
		err := m.Mask(make([]uint64, g.MaskWords()))
		if fits && err != nil || !fits && !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%d rules: %v", k, err)
		}
		const slack = 1 << 20 // of the last state
		if w, b := g.machine.work, g.machine.memory; w > maxStep+slack || b > 2*maxRemembered+slack {
			t.Errorf("%d rules: %d steps, %d bytes", k, w, b)
		}
		t.Logf("%d rules: %d steps, %d MB", k, g.machine.work, g.machine.memory>>20)
		if ok, err := m.AcceptBytes([]byte("a.A")); !ok || err != nil || !m.MayEnd() {
			t.Errorf("%d rules: behind it: %v %v", k, ok, err)
		}
	}
	m := mustMatcher(t, mustCompile(t, mirrors(150), few))
	if _, err := m.AcceptBytes([]byte(strings.Repeat("a", 1_000))); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("a long token: %v", err)
	}
}

// TestTerminalsAreBounded: what is known of a grammar's own terminals is forgotten where it becomes too much, and masks
// stay what they are.
func TestTerminalsAreBounded(t *testing.T) {
	t.Parallel()
	v := wordVocabulary(3_000)
	g := mustCompile(t, Constraint{Kind: KindRegex, Text: `([a-z ]{0,2}[^x]){40}`}, v)
	m := mustMatcher(t, g)
	first, again := make([]uint64, g.MaskWords()), make([]uint64, g.MaskWords())
	if err := m.Mask(first); err != nil {
		t.Fatal(err)
	}
	if len(g.own) != 1 || g.locals < 40*100 || g.Size() < g.locals {
		t.Fatalf("%d automata, %d bytes of terminals, Size %d", len(g.own), g.locals, g.Size())
	}
	g.machine.forget()
	g.own[0].locals[0].Store(nil) // so that it is found once more, where there is no room
	g.locals = maxKnown
	if err := m.Mask(again); err != nil || !slices.Equal(first, again) {
		t.Errorf("the mask is another one; %v", err)
	}
	if g.locals != 0 || g.own[0].classed != nil || g.own[0].locals[1].Load() != nil {
		t.Errorf("%d bytes of terminals are kept", g.locals)
	}
	if g.machine.work > maxStep/4 {
		t.Errorf("one state of a terminal counts for %d steps", g.machine.work)
	}
}

// TestSize: Size tells about as much as the heap grows by.
func TestSize(t *testing.T) {
	v := wordVocabulary(10_000)
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	mustCompile(t, Constraint{Kind: KindJSONSchema, Text: `{"format":"email"}`}, v) // what all share
	before := heap()
	var grammars []*Grammar
	size := func() (sum int) {
		for _, g := range grammars {
			sum += g.Size()
		}
		return sum
	}
	for i := range 3 {
		grammars = append(grammars,
			mustCompile(t, Constraint{Kind: KindJSONSchema, Text: fmt.Sprintf(`{"type":"object","properties":{"n%d":{"type":"string","pattern":"^[a-z]{3,40}$"},"o":{"type":"string","format":"email","maxLength":60}}}`, i)}, v),
			mustCompile(t, Constraint{Kind: KindRegex, Text: heavy(6)}, v),
			mustCompile(t, Constraint{Kind: KindGrammar, Text: "root ::= \"(\" root \")\" root | [a-z] root | \"\"\n"}, v))
	}
	compiled := size()
	for _, g := range grammars {
		mask := make([]uint64, g.MaskWords())
		if err := mustMatcher(t, g).Mask(mask); err != nil {
			t.Fatal(err)
		}
	}
	grown := int(heap() - before)
	if got := size(); got < compiled || got < grown/2 || got > 3*grown {
		t.Errorf("Size says %d, %d when they were compiled; the heap grew by %d", got, compiled, grown)
	}
	t.Logf("%d KB compiled, %d KB used, %d KB of the heap", compiled>>10, size()>>10, grown>>10)
	runtime.KeepAlive(grammars)
}

// TestCountIn: a sum has what its grammars take, whatever they have learnt, and nothing of one that is counted elsewhere or
// nowhere.
func TestCountIn(t *testing.T) {
	t.Parallel()
	v := wordVocabulary(3_000)
	a, b := mustCompile(t, Constraint{Kind: KindRegex, Text: heavy(6)}, v), mustCompile(t, Constraint{Kind: KindRegex, Text: `[a-z]{3,40}`}, v)
	var sum, other atomic.Int64
	check := func(when string, want, elsewhere int) {
		t.Helper()
		if sum.Load() != int64(want) || other.Load() != int64(elsewhere) {
			t.Errorf("%s: %d and %d, want %d and %d", when, sum.Load(), other.Load(), want, elsewhere)
		}
	}
	learn := func(g *Grammar) {
		before := g.Size()
		if err := mustMatcher(t, g).Mask(make([]uint64, g.MaskWords())); err != nil {
			t.Fatal(err)
		}
		for g.Prepare() {
		}
		if g.Size() <= before {
			t.Error("it has learnt nothing")
		}
	}
	a.CountIn(&sum)
	b.CountIn(&sum)
	check("compiled", a.Size()+b.Size(), 0)
	learn(a)
	check("one has learnt", a.Size()+b.Size(), 0)
	a.CountIn(&other)
	check("one is counted elsewhere", b.Size(), a.Size())
	b.CountIn(nil)
	learn(b)
	check("one is counted nowhere", 0, a.Size())
}
