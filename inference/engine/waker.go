package engine

import "sync"

// waker wakes the readers of a step's tokens from a goroutine of its own, so that the engine wakes one goroutine whatever
// their number, and goes on to the next step.
//
// It is also what makes their events leave together. Goroutines that another readies run on its processor, one after the
// other: what the readers of one connection send is all there before gRPC's writer, which steps back behind those that are
// ready, gets to write it. Readied by the engine, half of them would have to be taken from the processor that the engine
// has, later and a few at a time, each time with a write and a client that wakes up for it.
type waker struct {
	ready []*signals    // of the running step; the engine's
	start chan struct{} // holds a token if there may be readers to wake; nil: there is no goroutine
	ended chan struct{}
	woken []*signals // the goroutine's

	mu struct {
		sync.Mutex

		readers []*signals // that the goroutine has not taken yet
	}
}

// begin starts the goroutine.
func (w *waker) begin() {
	w.start, w.ended = make(chan struct{}, 1), make(chan struct{})
	go w.run()
}

// end ends the goroutine.
func (w *waker) end() {
	close(w.start)
	<-w.ended
}

// run is the goroutine.
func (w *waker) run() {
	defer close(w.ended)
	for range w.start {
		w.mu.Lock()
		w.woken, w.mu.readers = w.mu.readers, w.woken[:0]
		w.mu.Unlock()
		for _, s := range w.woken {
			s.signal()
		}
		clear(w.woken)
	}
}

// add has a reader woken with those of the step's other tokens.
func (w *waker) add(s *signals) { w.ready = append(w.ready, s) }

// wake wakes the readers that were added. One alone is woken at once.
func (w *waker) wake() {
	switch {
	case w.start == nil || len(w.ready) == 1:
		for _, s := range w.ready {
			s.signal()
		}
	case len(w.ready) > 1:
		w.mu.Lock()
		w.mu.readers = append(w.mu.readers, w.ready...)
		w.mu.Unlock()
		select {
		case w.start <- struct{}{}:
		default: // it has yet to begin with those of a step before, and takes these with them
		}
	}
	clear(w.ready)
	w.ready = w.ready[:0]
}
