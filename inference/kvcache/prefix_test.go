package kvcache_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/kvcache"
)

// prompt spells a prompt out, a block for each letter and a rest.
func prompt(blocks string, rest int) []uint32 {
	tokens := make([]uint32, 0, len(blocks)*kvcache.BlockSize+rest)
	for _, letter := range []byte(blocks) {
		for range kvcache.BlockSize {
			tokens = append(tokens, uint32(letter))
		}
	}
	return append(tokens, make([]uint32, rest)...)
}

// store adds what is missing of a prompt, as the scheduler does, and says how much was there and how much is new.
func store(p *kvcache.Prefix, salt string, tokens []uint32, hashes []kvcache.Hash) (found, added int) {
	m := p.Match(nil, salt, tokens, hashes)
	ref := m.Last
	for i := m.Whole; i < len(hashes); i++ {
		var fresh bool
		if _, ref, fresh = p.Add(ref, salt, hashes[i], tokens[i*kvcache.BlockSize:]); ref == (kvcache.Ref{}) {
			break
		}
		if fresh {
			added++
		}
	}
	return m.Whole, added
}

func TestPrefix(t *testing.T) {
	p := kvcache.NewPrefix(6)
	for i, step := range []struct {
		salt, blocks string
		found, added int
	}{
		{"", "abc", 0, 3},
		{"", "abc", 3, 0},
		{"", "abd", 2, 1},
		{"x", "abc", 0, 3}, // the unsalted c makes room: it stands behind d
		{"", "ab", 2, 0},
		{"", "abc", 2, 1}, // d makes room
		{"x", "abc", 3, 0},
	} {
		tokens := prompt(step.blocks, 3)
		found, added := store(p, step.salt, tokens, kvcache.Hashes(nil, step.salt, tokens))
		if found != step.found || added != step.added {
			t.Errorf("step %d: found %d, added %d, want %d and %d", i, found, added, step.found, step.added)
		}
	}
	if p.Held() != 6 || p.Evictions() != 2 {
		t.Errorf("%d held, %d evicted, want 6 and 2", p.Held(), p.Evictions())
	}
}

// TestPartOfABlock leaves known prompts in the middle of a block.
func TestPartOfABlock(t *testing.T) {
	p := kvcache.NewPrefix(8)
	known := make([]uint32, 3*kvcache.BlockSize)
	for i := range known {
		known[i] = uint32(i)
	}
	add := func(tokens []uint32) { store(p, "", tokens, kvcache.Hashes(nil, "", tokens)) }
	add(known)
	for _, at := range []int{17, 20, 31} { // more blocks behind the first one
		other := slices.Clone(known[:2*kvcache.BlockSize])
		other[at] = 999
		add(other)
	}
	for n := range known {
		left := slices.Clone(known)
		left[n] = 1000
		want := n
		if n < kvcache.BlockSize {
			want = 0 // the first block has to be there
		}
		for _, tokens := range [][]uint32{left, left[:n+1]} {
			m := p.Match(nil, "", tokens, kvcache.Hashes(nil, "", tokens))
			if m.Length != want || m.Whole != want/kvcache.BlockSize || len(m.Blocks) != (want+kvcache.BlockSize-1)/kvcache.BlockSize {
				t.Errorf("a prompt of %d that leaves after %d: %+v", len(tokens), n, m)
			}
		}
		if m := p.Match(nil, "salt", left, kvcache.Hashes(nil, "salt", left)); m.Length != 0 {
			t.Errorf("under another salt %d tokens are found", m.Length)
		}
	}
	if m := p.Match(nil, "", known, kvcache.Hashes(nil, "", known)); m.Length != len(known)-1 || m.Whole != 2 {
		t.Errorf("a prompt that is all there: %+v", m)
	}
	if m := p.Match(nil, "", nil, nil); m.Length != 0 || len(m.Blocks) != 0 {
		t.Errorf("no prompt at all: %+v", m)
	}
}

// TestStoreOfOneChain fills a store with one prompt: it keeps the beginning and gives up at the end, rather than eat
// its own beginning.
func TestStoreOfOneChain(t *testing.T) {
	p := kvcache.NewPrefix(3)
	tokens := prompt("abcde", 0)
	hashes := kvcache.Hashes(nil, "", tokens)
	if found, added := store(p, "", tokens, hashes); found != 0 || added != 3 {
		t.Errorf("found %d, added %d, want 0 and 3", found, added)
	}
	if found, _ := store(p, "", tokens, hashes); found != 3 {
		t.Errorf("found %d, want 3", found)
	}
}

// TestStaleRef lets the last block of a prompt be evicted while the prompt is still being run.
func TestStaleRef(t *testing.T) {
	p := kvcache.NewPrefix(2)
	long, other := prompt("ab", 0), prompt("yz", 0)
	hashes := kvcache.Hashes(nil, "", long)
	_, ref, _ := p.Add(kvcache.Ref{}, "", hashes[0], long)
	if found, added := store(p, "", other, kvcache.Hashes(nil, "", other)); found != 0 || added != 2 {
		t.Fatalf("found %d, added %d, want 0 and 2", found, added)
	}
	if _, next, fresh := p.Add(ref, "", hashes[1], long[kvcache.BlockSize:]); fresh || next != (kvcache.Ref{}) {
		t.Error("a block was added behind one that is gone")
	}
}

// TestCollisions gives all blocks few hashes: what is found must be what was asked for, all the same.
func TestCollisions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kinds := range []uint64{1, 2, 5, 30} {
		p := kvcache.NewPrefix(12)
		held := map[int]string{} // what was written into each block: the salt and the whole prefix
		hits := 0
		for range 3000 {
			salt, blocks := []string{"", "s"}[rng.IntN(2)], letters(rng, 1+rng.IntN(5))
			tokens := prompt(blocks, 1)
			hashes := kvcache.Hashes(nil, salt, tokens)
			for i := range hashes {
				hashes[i] = kvcache.Hash(uint64(hashes[i]) % kinds)
			}
			found := p.Match(nil, salt, tokens, hashes)
			ref := found.Last
			for i, id := range found.Blocks {
				hits++
				if want := salt + "|" + blocks[:i+1]; held[id] != want {
					t.Fatalf("%d hashes: asked for %q, got %q", kinds, want, held[id])
				}
			}
			for i := found.Whole; i < len(hashes); i++ {
				id, next, fresh := p.Add(ref, salt, hashes[i], tokens[i*kvcache.BlockSize:])
				if next == (kvcache.Ref{}) {
					break
				}
				if want := salt + "|" + blocks[:i+1]; fresh {
					held[id] = want
				} else if held[id] != want {
					t.Fatalf("%d hashes: %q is said to be there and is %q", kinds, want, held[id])
				}
				ref = next
			}
		}
		if hits == 0 {
			t.Errorf("%d hashes: no hit at all", kinds)
		}
	}
}

func letters(rng *rand.Rand, n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = "abc"[rng.IntN(3)]
	}
	return string(text)
}

// twin is Prefix by its rules alone: the prefixes that are held, the one used last first. A prefix of n blocks is
// written as a letter for the salt, a bar and n letters.
type twin struct {
	capacity int
	held     []string
}

func (w *twin) match(key string) (found int) {
	const start = 3
	for n := start; n <= len(key) && slices.Contains(w.held, key[:n]); n++ {
		found++
	}
	for n := start + found - 1; n >= start; n-- {
		i := slices.Index(w.held, key[:n])
		w.held = slices.Insert(slices.Delete(w.held, i, i+1), 0, key[:n])
	}
	return found
}

func (w *twin) add(key string) bool {
	parent := key[:len(key)-1]
	if len(w.held) == w.capacity {
		if w.held[len(w.held)-1] == parent {
			return false
		}
		w.held = w.held[:len(w.held)-1]
	}
	w.held = slices.Insert(w.held, slices.Index(w.held, parent)+1, key)
	return true
}

// TestTwin drives random prompts through stores of several sizes and through the twin.
func TestTwin(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := &twin{capacity: 1 + rng.IntN(20)}
		p := kvcache.NewPrefix(w.capacity)
		for i := range 400 {
			salt, blocks := fmt.Sprint(rng.IntN(2)), letters(rng, 1+rng.IntN(5))
			tokens := prompt(blocks, 1+rng.IntN(kvcache.BlockSize-1))
			hashes := kvcache.Hashes(nil, salt, tokens)
			key := salt + "|" + blocks
			if got, want := p.Directory().Leading(hashes), leading(w.held, key); got > want {
				t.Fatalf("seed %d, prompt %d: the directory has %d blocks of %q, want %d", seed, i, got, key, want)
			}
			found, added := store(p, salt, tokens, hashes)
			want := w.match(key)
			wantAdded := 0
			for n := want; n < len(blocks) && w.add(key[:n+3]); n++ {
				wantAdded++
			}
			if found != want || added != wantAdded || p.Held() != len(w.held) {
				t.Fatalf("seed %d, prompt %d, %q: found %d, added %d, held %d; want %d, %d, %d",
					seed, i, key, found, added, p.Held(), want, wantAdded, len(w.held))
			}
		}
	}
}

func leading(held []string, key string) int {
	n := 0
	for n+3 <= len(key) && slices.Contains(held, key[:n+3]) {
		n++
	}
	return n
}

func TestDirectory(t *testing.T) {
	p := kvcache.NewPrefix(100)
	tokens := prompt("abcdefgh", 5)
	hashes := kvcache.Hashes(nil, "", tokens)
	if n := p.Directory().Leading(hashes); n != 0 {
		t.Errorf("an empty store holds %d blocks", n)
	}
	store(p, "", tokens, hashes)
	if n := p.Directory().Leading(hashes); n != len(hashes) {
		t.Errorf("the directory has %d blocks, want %d", n, len(hashes))
	}
}
