package tokenizer

import "github.com/sluiceml/sluice/tokenizer/bpe"

// wordBatch encodes the words of a text that a scanner cuts, some at a time.
type wordBatch struct {
	t       *Tokenizer
	scratch *bpe.Scratch
	yield   func(start int, word string) bool // add, bound once: so a scan takes no memory

	text     string
	dst      []uint32
	counting bool // drop the ids and count them
	counted  int
	start    int // where the words that are held begin
	held     int
	ends     [bpe.BatchSize]int
}

func newWordBatch(t *Tokenizer, s *bpe.Scratch) *wordBatch {
	w := &wordBatch{t: t, scratch: s}
	w.yield = w.add
	return w
}

// scan appends the tokens of a text, or counts some of them.
func (w *wordBatch) scan(dst []uint32, text string, p scan) []uint32 {
	w.text, w.dst, w.start = text, dst, 0
	p.Split(text, w.yield)
	w.flush()
	dst = w.dst
	w.text, w.dst = "", nil
	return dst
}

// add takes the next word of the text.
func (w *wordBatch) add(start int, word string) bool {
	w.ends[w.held] = start + len(word)
	if w.held++; w.held == len(w.ends) {
		w.flush()
	}
	return true
}

// flush encodes the words that are held.
func (w *wordBatch) flush() {
	w.dst = w.t.model.AppendWords(w.dst, w.text, w.start, w.ends[:w.held], w.scratch)
	if w.held > 0 {
		w.start = w.ends[w.held-1]
		w.held = 0
	}
	if w.counting {
		w.counted += len(w.dst)
		w.dst = w.dst[:0]
	}
}
