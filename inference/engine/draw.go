package engine

import (
	"sync"

	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/sched"
	"github.com/sluiceml/sluice/internal/panics"
)

// drawing is the token that was drawn for a sequence, or why there is none.
type drawing struct {
	id  uint32
	err error // a *PanicError if the drawing panicked
}

// draw draws a job's next token. It touches nothing but the job, the row and the scratch.
func draw(j *job, row []float32, scratch *sampling.Scratch) (d drawing) {
	defer func() {
		if p := recover(); p != nil {
			d.err = panics.New(p)
		}
	}()
	d.id, d.err = j.next(row, scratch)
	return d
}

// drawers draws the tokens of a step's rows on two goroutines: between two runs of the session, whose threads have
// stopped spinning by then, a core would be idle. The drawing of a row that has to look at a whole vocabulary takes as
// long as a hundredth of a step, and there may be 32 of them.
//
// Each takes the next row that nobody has. So where the second goroutine is late, as other threads have the cores, the
// engine's own draws all rows and waits for nothing.
type drawers struct {
	drawn   []drawing
	rows    []*sched.Sequence
	logits  [][]float32
	scratch *sampling.Scratch // of the second goroutine
	start   chan struct{}     // holds a token if there may be rows
	done    chan struct{}     // the row that the engine waits for is drawn
	ended   chan struct{}

	mu struct {
		sync.Mutex

		next    int  // the first row that nobody has
		count   int  // of rows
		helping bool // the second goroutine has a row
		waiting bool // the engine waits for it
	}
}

// shared is the number of rows from which on a second goroutine pays for being woken.
const shared = 4

// begin starts the second goroutine.
func (d *drawers) begin(vocabulary int) {
	d.scratch = sampling.NewScratch(vocabulary)
	d.start, d.done, d.ended = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	go d.run()
}

// run is the second goroutine.
func (d *drawers) run() {
	defer close(d.ended)
	for range d.start {
		for row := d.take(true); row >= 0; row = d.take(true) {
			d.draw(row, d.scratch)
		}
	}
}

// end ends the second goroutine.
func (d *drawers) end() {
	close(d.start)
	<-d.ended
}

// take gives a goroutine a row that nobody has, or -1, and has it let go of the one before.
func (d *drawers) take(second bool) (row int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	row = -1
	if d.mu.next < d.mu.count {
		row = d.mu.next
		d.mu.next++
	}
	if !second {
		return row
	}
	if d.mu.helping = row >= 0; !d.mu.helping && d.mu.waiting {
		d.mu.waiting = false
		d.done <- struct{}{} // it has a place
	}
	return row
}

// wait waits until the second goroutine has no row. None is left to be taken.
func (d *drawers) wait() {
	d.mu.Lock()
	d.mu.waiting = d.mu.helping
	waiting := d.mu.waiting
	d.mu.Unlock()
	if waiting {
		<-d.done
	}
}

// draw draws the token of a row, unless it is known.
func (d *drawers) draw(row int, scratch *sampling.Scratch) {
	if q := d.rows[row]; !q.Replaying() {
		d.drawn[row] = draw(jobOf(q), d.logits[row], scratch)
	}
}

// drawAll draws a token for every row whose next token is not known.
func (e *Engine) drawAll(rows []*sched.Sequence, logits [][]float32) []drawing {
	d := &e.drawers
	d.drawn = d.drawn[:0]
	for range rows {
		d.drawn = append(d.drawn, drawing{})
	}
	d.rows, d.logits = rows, logits
	d.mu.Lock()
	d.mu.next, d.mu.count = 0, len(rows)
	d.mu.Unlock()
	if d.start != nil && len(rows) >= shared {
		select {
		case d.start <- struct{}{}:
		default: // it has not begun with the rows of a step before
		}
	}
	for row := d.take(false); row >= 0; row = d.take(false) {
		d.draw(row, e.scratch)
	}
	d.wait()
	return d.drawn
}
