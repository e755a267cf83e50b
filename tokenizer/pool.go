package tokenizer

import (
	"runtime"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// pool keeps the scratch memory, with the word caches, of as many encoders as can run at once. A sync.Pool would
// lose the caches to the garbage collector.
type pool chan *bpe.Scratch

func newPool() pool { return make(pool, runtime.GOMAXPROCS(0)) }

func (p pool) get() *bpe.Scratch {
	select {
	case s := <-p:
		return s
	default:
		return bpe.NewScratch()
	}
}

func (p pool) put(s *bpe.Scratch) {
	select {
	case p <- s:
	default:
	}
}
