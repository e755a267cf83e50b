package bpe

import (
	"runtime"
	"sync"
)

// minShare is the number of words from which on a goroutine more is worth its start.
const minShare = 4096

// reachable reports for each word whether the merges make its token of its bytes. It is the longest part of building a
// model, and every word is by itself, so all processors share it. The word table need not exist yet.
func (m *Model) reachable(words []Word) []bool {
	reached := make([]bool, len(words))
	workers := max(1, min(runtime.GOMAXPROCS(0), len(words)/minShare))
	var group sync.WaitGroup
	for w := range workers {
		from, to := len(words)*w/workers, len(words)*(w+1)/workers
		group.Go(func() {
			var s Scratch
			var made []uint32
			for i := from; i < to; i++ {
				made = m.leadsTo(made[:0], words[i], &s)
				reached[i] = len(made) == 1 && made[0] == words[i].ID
			}
		})
	}
	group.Wait()
	return reached
}

// leadsTo appends what the merges make of a word, or nothing if it is so long that only a short cut is lost.
func (m *Model) leadsTo(dst []uint32, w Word, s *Scratch) []uint32 {
	if len(w.Text) > maxShort {
		return dst
	}
	return m.merge(dst, w.Text, s)
}
