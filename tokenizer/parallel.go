package tokenizer

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// EncodeBatch encodes many texts on all processors, each as [Tokenizer.Encode] does. The error is that of the first
// text that has one.
func (t *Tokenizer) EncodeBatch(texts []string, o EncodeOptions) ([][]uint32, error) {
	batch := make([][]uint32, len(texts))
	errs := make([]error, len(texts))
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(texts)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(texts); i = int(next.Add(1)) - 1 {
				batch[i], errs[i] = t.Encode(texts[i], o)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return batch, nil
}

const (
	// minShared is the length in bytes from which on a text is encoded on more than one processor.
	minShared = 1 << 17
	// minShare is the length of the shortest part that is worth a goroutine.
	minShare = 1 << 15
)

// share encodes a long text on all processors: it cuts it at places that next finds, which must not change the tokens,
// and encodes the parts at the same time. It reports whether it did.
func (e *encoder) share(text string, next func(text string, from int) int, encode func(e *encoder, dst []uint32, part string) []uint32) bool {
	parts := min(runtime.GOMAXPROCS(0), len(text)/minShare)
	if len(text) < minShared || parts < 2 || e.tracked {
		return false
	}
	ids := make([][]uint32, parts)
	var group sync.WaitGroup
	for i, start := 0, 0; i < parts && start < len(text); i++ {
		end := len(text)
		if i < parts-1 {
			end = cutAfter(text, max(start, (i+1)*(len(text)/parts)), next)
		}
		part := text[start:end]
		group.Go(func() {
			other := e.t.encoder()
			defer other.release()
			ids[i] = encode(other, make([]uint32, 0, len(part)/3), part)
		})
		start = end
	}
	group.Wait()
	for _, part := range ids {
		e.dst = append(e.dst, part...)
		e.count()
	}
	return true
}

// cutAfter returns the first place that next finds after the given one, which may lie within a character.
func cutAfter(text string, from int, next func(text string, from int) int) int {
	for from < len(text) && !utf8.RuneStart(text[from]) {
		from++
	}
	return next(text, from)
}

// nextLine finds a place from which on the scanner of a whole tokenizer (see cutsLines) cuts the same whether or not it
// saw what stands before: the beginning of a line that begins with an ASCII letter, after a line that ends with a
// printable ASCII character. Such a scanner takes no line end and letter into one word, and a single line end before a
// letter is a word, or the end of one, whatever comes after it.
func nextLine(text string, from int) int {
	for i := max(from, 2); i < len(text); i++ {
		if text[i-1] == '\n' && isLetter(text[i]) && text[i-2] > ' ' && text[i-2] <= '~' {
			return i
		}
	}
	return len(text)
}

// cutsLines reports whether a scanner has a word begin at each place that nextLine finds. A scanner that is only a step
// of a tokenizer, such as one for numbers, has not.
func cutsLines(s pretoken.Splitter) bool {
	for c := byte('!'); c <= '~'; c++ {
		for _, letter := range []string{"a", "Z"} {
			last := ""
			s.Split(string(c)+"\n"+letter, func(_ int, word string) bool {
				last = word
				return true
			})
			if last != letter {
				return false
			}
		}
	}
	return true
}

func isLetter(c byte) bool { return (c|0x20) >= 'a' && (c|0x20) <= 'z' }

// cutWord encodes a word part by part (see junctions).
func (t *Tokenizer) cutWord(dst []uint32, word string, s *bpe.Scratch) []uint32 {
	var ends [bpe.BatchSize]int
	for start := 0; start < len(word); {
		n, pos := 0, start
		for n < len(ends) && pos < len(word) {
			pos = t.cuts.next(word, pos)
			ends[n] = pos
			n++
		}
		dst = t.model.AppendWords(dst, word, start, ends[:n], s)
		start = pos
	}
	return dst
}
