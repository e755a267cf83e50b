package setup

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
)

func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := NewProgress(&out, false)
	download := p.Start("download", 3<<20)
	download.Add(1)
	convert := p.Start("convert", 0)
	convert.Done(nil)
	p.Note("by the way")
	download.Done(errors.New("x"))
	p.Close()
	want := "download (3.0 MiB)\nconvert\nconvert: done\nby the way\ndownload: failed\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// TestBars draws bars for steps that grow more and less than was said, fail, and have no size. It must end.
func TestBars(t *testing.T) {
	t.Parallel()
	out := &lockedBuffer{}
	p := NewProgress(out, true)
	for _, step := range []struct {
		name  string
		total int64
		err   error
	}{
		{"exact", 3, nil}, {"more", 2, nil}, {"less", 100, nil}, {"failed", 10, errors.New("x")}, {"unknown", 0, nil},
	} {
		task := p.Start(step.name, step.total)
		for range 3 {
			task.Add(1)
		}
		task.Done(step.err)
	}
	p.Note("a line between")
	first, second := p.Start("first of two", 5), p.Start("second of two", 5)
	p.Note("a line above")
	second.Done(nil)
	first.Done(nil)
	p.Note("a line below")
	p.Close()
	for _, want := range []string{"exact", "failed", "a line between", "first of two", "a line above", "a line below"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

func TestFormatBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 98_362_432: "93.8 MiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
