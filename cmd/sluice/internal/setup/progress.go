package setup

import (
	"fmt"
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress shows people what setup is doing. It is safe for concurrent use.
type Progress interface {
	// Start shows the beginning of a step of total bytes; 0 means that its size is not known.
	Start(name string, total int64) Task
	// Note shows a line.
	Note(text string)
	// Close ends the display. No step may be running.
	Close()
}

// Task is a running step.
type Task interface {
	// Add says that n more bytes are done.
	Add(n int64)
	// Done ends the step; a non-nil error says that it failed. It must be called exactly once.
	Done(err error)
}

// NewProgress shows bars on a terminal, and a line for the beginning and the end of each step elsewhere.
func NewProgress(w io.Writer, terminal bool) Progress {
	if !terminal {
		return &lines{w: w}
	}
	return &bars{w: w}
}

// lines writes plain text.
type lines struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *lines) Note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintln(l.w, text) // nobody is left to tell
}

func (l *lines) Start(name string, total int64) Task {
	if total > 0 {
		l.Note(fmt.Sprintf("%s (%s)", name, formatBytes(total)))
	} else {
		l.Note(name)
	}
	return &lineTask{to: l, name: name}
}

func (l *lines) Close() {}

type lineTask struct {
	to   *lines
	name string
}

func (t *lineTask) Add(int64) {}

func (t *lineTask) Done(err error) {
	if err != nil {
		t.to.Note(t.name + ": failed")
		return
	}
	t.to.Note(t.name + ": done")
}

// bars draws on a terminal: the steps that run at the same time in one group, below what is finished. A container of
// bars redraws all that it ever held and is the only one to write meanwhile, so each group has its own.
type bars struct {
	w io.Writer

	mu        sync.Mutex // guards the fields below and, without a container, w
	container *mpb.Progress
	running   int // bars in the container that are not done
}

func (b *bars) Note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	to := b.w
	if b.container != nil {
		to = b.container
	}
	_, _ = fmt.Fprintln(to, text) // nobody is left to tell
}

func (b *bars) Start(name string, total int64) Task {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.container == nil {
		b.container = mpb.New(mpb.WithOutput(b.w), mpb.WithAutoRefresh())
	}
	b.running++
	label := mpb.PrependDecorators(decor.Name(name, decor.WC{W: 40, C: decor.DindentRight | decor.DextraSpace}))
	end := func(d decor.Decorator) decor.Decorator {
		return decor.OnAbort(decor.OnComplete(d, "done"), "failed")
	}
	task := &barTask{to: b, total: max(total, 0)}
	if total <= 0 {
		task.bar = b.container.New(0, mpb.SpinnerStyle(), label,
			mpb.AppendDecorators(end(decor.Elapsed(decor.ET_STYLE_GO))))
	} else {
		task.bar = b.container.New(total, mpb.BarStyle(), label,
			mpb.AppendDecorators(end(decor.CountersKibiByte("% .1f / % .1f"))))
	}
	return task
}

func (b *bars) Close() {}

// done waits for the drawing of the group's end.
func (b *bars) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	if b.running == 0 {
		b.container.Wait()
		b.container = nil
	}
}

type barTask struct {
	to    *bars
	bar   *mpb.Bar
	total int64
}

// Add never fills the bar: only Done completes it.
func (t *barTask) Add(n int64) {
	if t.total == 0 || t.bar.Current()+n < t.total {
		t.bar.IncrInt64(n)
	}
}

func (t *barTask) Done(err error) {
	if err != nil {
		t.bar.Abort(false)
	} else {
		t.bar.SetTotal(-1, true)
	}
	t.bar.Wait()
	t.to.done()
}

// noProgress shows nothing.
type noProgress struct{}

func (noProgress) Start(string, int64) Task { return noTask{} }
func (noProgress) Note(string)              {}
func (noProgress) Close()                   {}

type noTask struct{}

func (noTask) Add(int64)  {}
func (noTask) Done(error) {}

// formatBytes writes a size for people.
func formatBytes(n int64) string {
	const kib, mib = 1 << 10, 1 << 20
	switch {
	case n >= mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	case n >= kib:
		return fmt.Sprintf("%.1f KiB", float64(n)/kib)
	}
	return fmt.Sprintf("%d B", n)
}
