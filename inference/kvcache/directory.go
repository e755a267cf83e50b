package kvcache

import "sync/atomic"

// Directory tells goroutines other than the owner of a [Prefix] what it holds, so that a request can be sent where
// its prompt is known. Its answers are hints: a hash may collide, an entry may be overwritten by another, and what it
// says may have changed when it is read. It is safe for concurrent use.
type Directory struct {
	entries []atomic.Uint64 // a hash at the place that its own low bits say; a power of two in number
}

// newDirectory makes a directory that seldom has two of the given number of blocks in one place.
func newDirectory(blocks int) *Directory {
	size := 1
	for size < 4*blocks {
		size *= 2
	}
	return &Directory{entries: make([]atomic.Uint64, size)}
}

// Leading is how many blocks of a prompt the store probably holds, counted from its beginning.
func (d *Directory) Leading(hashes []Hash) int {
	for i, hash := range hashes {
		if d.entry(hash).Load() != uint64(hash) {
			return i
		}
	}
	return len(hashes)
}

func (d *Directory) add(hash Hash)    { d.entry(hash).Store(uint64(hash)) }
func (d *Directory) remove(hash Hash) { d.entry(hash).CompareAndSwap(uint64(hash), 0) }

func (d *Directory) entry(hash Hash) *atomic.Uint64 {
	return &d.entries[uint64(hash)&uint64(len(d.entries)-1)]
}
