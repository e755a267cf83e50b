package kvcache_test

import (
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/kvcache"
)

// TestHashes wants a hash for each whole block, which depends on everything up to the block's end, and on no more.
func TestHashes(t *testing.T) {
	prompt := make([]uint32, 3*kvcache.BlockSize+5)
	for i := range prompt {
		prompt[i] = uint32(i * i)
	}
	want := kvcache.Hashes(nil, "", prompt)
	if len(want) != 3 {
		t.Fatalf("%d hashes of %d tokens", len(want), len(prompt))
	}
	same := func(got []kvcache.Hash) (n int) {
		for n < len(got) && got[n] == want[n] {
			n++
		}
		return n
	}
	for i := range prompt {
		changed := slices.Clone(prompt)
		changed[i]++
		if got := same(kvcache.Hashes(nil, "", changed)); got != min(i/kvcache.BlockSize, 3) {
			t.Errorf("with token %d changed %d hashes are the same", i, got)
		}
	}
	for n := range prompt {
		if got := kvcache.Hashes(nil, "", prompt[:n]); len(got) != n/kvcache.BlockSize || same(got) != len(got) {
			t.Errorf("the first %d tokens have other hashes", n)
		}
	}
	for _, salt := range []string{"a", "b", "\x00"} {
		got := kvcache.Hashes(nil, salt, prompt)
		if same(got) != 0 || slices.ContainsFunc(got, func(h kvcache.Hash) bool { return slices.Contains(want, h) }) {
			t.Errorf("salt %q: hashes of the unsalted prompt", salt)
		}
	}
	swapped := slices.Clone(prompt)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	if same(kvcache.Hashes(nil, "", swapped)) != 0 {
		t.Error("the order of tokens does not matter")
	}
}
