package engine

import (
	"runtime/debug"

	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/sched"
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
			d.err = &PanicError{Value: p, stack: debug.Stack()}
		}
	}()
	d.id, d.err = j.next(row, scratch)
	return d
}

// drawers draws the tokens of a step's rows on two goroutines: between two runs of the session, whose threads have
// stopped spinning by then, a core would be idle. The drawing of a row that has to look at a whole vocabulary takes as
// long as a hundredth of a step, and there may be 32 of them.
type drawers struct {
	drawn   []drawing
	rows    []*sched.Sequence
	logits  [][]float32
	scratch *sampling.Scratch // of the second goroutine
	start   chan struct{}
	done    chan struct{}
}

// shared is the number of rows from which on a second goroutine pays for being woken.
const shared = 4

// begin starts the second goroutine.
func (d *drawers) begin(vocabulary int) {
	d.scratch = sampling.NewScratch(vocabulary)
	d.start, d.done = make(chan struct{}), make(chan struct{})
	go d.run()
}

// run is the second goroutine.
func (d *drawers) run() {
	for range d.start {
		for i := len(d.rows) / 2; i < len(d.rows); i++ {
			d.draw(i, d.scratch)
		}
		d.done <- struct{}{}
	}
	close(d.done)
}

// end ends the second goroutine.
func (d *drawers) end() {
	close(d.start)
	<-d.done
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
	mine := len(rows)
	d.rows, d.logits = rows, logits
	together := d.start != nil && len(rows) >= shared
	if together {
		mine = len(rows) / 2
		d.start <- struct{}{}
	}
	for i := range mine {
		d.draw(i, e.scratch)
	}
	if together {
		<-d.done
	}
	return d.drawn
}
