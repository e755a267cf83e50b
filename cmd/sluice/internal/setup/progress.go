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
	return &bars{container: mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh())}
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

// bars draws on a terminal.
type bars struct{ container *mpb.Progress }

func (b *bars) Note(text string) { _, _ = fmt.Fprintln(b.container, text) }

func (b *bars) Start(name string, total int64) Task {
	label := mpb.PrependDecorators(decor.Name(name, decor.WC{C: decor.DindentRight | decor.DSyncWidth | decor.DextraSpace}))
	end := func(d decor.Decorator) decor.Decorator {
		return decor.OnAbort(decor.OnComplete(d, "done"), "failed")
	}
	if total <= 0 {
		return &barTask{bar: b.container.New(0, mpb.SpinnerStyle(), label,
			mpb.AppendDecorators(end(decor.Elapsed(decor.ET_STYLE_GO))))}
	}
	return &barTask{bar: b.container.New(total, mpb.BarStyle(), label,
		mpb.AppendDecorators(end(decor.CountersKibiByte("% .1f / % .1f")))), total: total}
}

func (b *bars) Close() { b.container.Wait() }

type barTask struct {
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
