package tokenizer

import (
	"runtime"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// pool keeps as many encoders as can run at once, with their scratch memory and word caches. A sync.Pool would lose the
// caches to the garbage collector.
type pool chan *encoder

func newPool() pool { return make(pool, runtime.GOMAXPROCS(0)) }

// encoder returns an encoder, which must be released.
func (t *Tokenizer) encoder() *encoder {
	select {
	case e := <-t.pool:
		return e
	default:
		s := bpe.NewScratch()
		return &encoder{t: t, scratch: s, words: newWordBatch(t, s)}
	}
}

// release gives the encoder back, without what the call left in it.
func (e *encoder) release() {
	*e = encoder{t: e.t, scratch: e.scratch, words: e.words}
	select {
	case e.t.pool <- e:
	default:
	}
}
