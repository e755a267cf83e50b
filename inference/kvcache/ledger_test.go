package kvcache_test

import (
	"testing"

	"github.com/sluiceml/sluice/inference/kvcache"
)

func TestLedger(t *testing.T) {
	l := kvcache.New(3, 10)
	check := func(used, tokens int, lengths ...int) {
		t.Helper()
		if l.Used() != used || l.Tokens() != tokens {
			t.Errorf("%d slots used, %d tokens; want %d and %d", l.Used(), l.Tokens(), used, tokens)
		}
		for i, n := range lengths {
			if l.Length(i) != n {
				t.Errorf("slot %d holds %d, want %d", i, l.Length(i), n)
			}
		}
	}
	check(0, 0, 0, 0, 0)
	l.Take(2)
	l.Extend(2, 10)
	l.Take(0)
	l.Extend(0, 3)
	check(2, 13, 3, 0, 10)
	l.Move(1, 2)
	check(2, 13, 3, 10, 0)
	if l.Taken(2) || !l.Taken(1) {
		t.Error("the slot did not move")
	}
	l.Free(1)
	check(1, 3, 3, 0, 0)
}

func TestMisusePanics(t *testing.T) {
	for name, misuse := range map[string]func(l *kvcache.Ledger){
		"no slots":           func(*kvcache.Ledger) { kvcache.New(0, 1) },
		"no length":          func(*kvcache.Ledger) { kvcache.New(1, 0) },
		"taken twice":        func(l *kvcache.Ledger) { l.Take(0) },
		"freed twice":        func(l *kvcache.Ledger) { l.Free(1) },
		"extended too far":   func(l *kvcache.Ledger) { l.Extend(0, 11) },
		"extended backwards": func(l *kvcache.Ledger) { l.Extend(0, -1) },
		"extended when free": func(l *kvcache.Ledger) { l.Extend(1, 1) },
		"moved onto another": func(l *kvcache.Ledger) { l.Take(1); l.Move(0, 1) },
		"moved onto itself":  func(l *kvcache.Ledger) { l.Move(0, 0) },
		"moved from nothing": func(l *kvcache.Ledger) { l.Move(1, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			l := kvcache.New(3, 10)
			l.Take(0)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			misuse(l)
		})
	}
}
