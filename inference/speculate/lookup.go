// Package speculate guesses the next tokens of a sequence, so that a model can check several in one step. It is pure.
//
// A guess never changes what a sequence becomes: the model draws every token itself, and a guess is kept as far as it
// is what was drawn. It only decides how many tokens one step gives. [Lookup] guesses, and [Choose] says how many guesses
// of which sequences are worth their place in a step.
package speculate

import "math"

// The lengths of the runs of tokens that are looked up: the longest that has come before wins.
const (
	longest  = 4
	shortest = 2
)

// MaxTokens is the most tokens that are ever proposed at once.
const MaxTokens = 8

// Lookup proposes what followed the last time that the sequence's latest tokens came, in its prompt or its output
// (prompt lookup decoding, Saxena 2023; n-gram speculation in vLLM). It keeps count of how often its first guess is
// right, whether or not it is used.
//
// It is not safe for concurrent use.
type Lookup struct {
	history []uint32
	tables  [longest - shortest + 1]table // by length, from shortest on
	guess   uint32                        // of the next token
	guessed bool
	rate    float64 // how often a guess is right, lately
}

// New makes a Lookup for a prompt, and for as many more tokens as are appended. It takes memory for all of them at once.
func New(prompt []uint32, more int) *Lookup {
	l := &Lookup{history: make([]uint32, 0, len(prompt)+more), rate: startRate}
	for i := range l.tables {
		l.tables[i] = newTable(cap(l.history))
	}
	for _, id := range prompt {
		l.push(id)
	}
	l.look()
	return l
}

const (
	// startRate is what a new sequence is given credit for.
	startRate = 0.6
	// memory is the weight of the past in the rate: about the last dozen guesses count.
	memory = 0.92
)

// Append takes the token that came next.
func (l *Lookup) Append(id uint32) {
	if l.guessed {
		hit := 0.0
		if l.guess == id {
			hit = 1
		}
		l.rate = memory*l.rate + (1-memory)*hit
	}
	l.push(id)
	l.look()
}

// look notes the guess of the next token.
func (l *Lookup) look() {
	at := l.match()
	if l.guessed = at >= 0; l.guessed {
		l.guess = l.history[at]
	}
}

// push adds a token, and the runs that end before it to the tables.
func (l *Lookup) push(id uint32) {
	n := len(l.history)
	for i := range l.tables {
		if length := i + shortest; n >= length {
			l.tables[i].set(hash(l.history[n-length:n]), int32(n))
		}
	}
	l.history = append(l.history, id)
}

// match returns where the latest tokens' continuation begins, or -1.
func (l *Lookup) match() int {
	n := len(l.history)
	for i := len(l.tables) - 1; i >= 0; i-- {
		length := i + shortest
		if n < length {
			continue
		}
		run := l.history[n-length:]
		at := int(l.tables[i].get(hash(run)))
		if at >= length && equal(l.history[at-length:at], run) {
			return at
		}
	}
	return -1
}

// Propose appends to dst what may come next, at most so many tokens and never more than MaxTokens. Where what came before
// ends, it goes on with itself, as a text that repeats itself does. The tokens count as guesses only once they are appended.
func (l *Lookup) Propose(dst []uint32, most int) []uint32 {
	at := l.match()
	if at < 0 {
		return dst
	}
	first := len(dst)
	for i := at; len(dst)-first < min(most, MaxTokens); i++ {
		if i < len(l.history) {
			dst = append(dst, l.history[i])
		} else {
			dst = append(dst, dst[first+i-len(l.history)])
		}
	}
	return dst
}

// Rate is how often a guess was right lately, 0 to 1.
func (l *Lookup) Rate() float64 { return l.rate }

func equal(a, b []uint32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// hash mixes a run of tokens.
func hash(run []uint32) uint64 {
	h := uint64(len(run))
	for _, id := range run {
		h = (h ^ uint64(id)) * 0x9E3779B97F4A7C15
		h ^= h >> 32
	}
	return h
}

// table remembers, for a hash, the latest place that was set. Two runs may share a place: the later one wins, and who
// gets a place compares the tokens.
type table struct {
	places []int32
	mask   uint64
}

func newTable(n int) table {
	size := 1 << uint(math.Ceil(math.Log2(float64(max(4*n, 64)))))
	return table{places: make([]int32, size), mask: uint64(size - 1)}
}

func (t *table) set(h uint64, at int32) { t.places[h&t.mask] = at }
func (t *table) get(h uint64) int32     { return t.places[h&t.mask] }
