package hub_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/cmd/sluice/internal/hub"
	"github.com/sluiceml/sluice/cmd/sluice/internal/hub/hubtest"
)

// TestInterrupted loses the connection, and gets everything else that goes away by itself: what was fetched is kept, and
// the rest is asked for.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	const shard = "model-00002-of-00002.safetensors"
	for _, test := range []struct {
		name   string
		fault  func(attempt int) hubtest.Fault
		ranges []string
	}{
		{"cut off", func(a int) hubtest.Fault { return hubtest.Fault{Cut: map[int]int{1: 5000, 2: 1000}[a]} }, []string{"", "bytes=5000-", "bytes=6000-"}},
		{"cut off at every hundred", func(int) hubtest.Fault { return hubtest.Fault{Cut: 1000} }, nil},
		{"no ranges", func(a int) hubtest.Fault { return hubtest.Fault{Cut: map[int]int{1: 5000}[a], IgnoreRange: true} }, []string{"", "bytes=5000-"}},
		{"busy", func(a int) hubtest.Fault {
			return []hubtest.Fault{{Status: 429, RetryAfter: "0"}, {Status: 503}, {Status: 500}, {}}[min(a, 4)-1]
		}, []string{"", "", "", ""}},
		{"wrong bytes once", func(a int) hubtest.Fault { return hubtest.Fault{Corrupt: a == 1} }, []string{"", ""}},
		{"the second half is wrong", func(a int) hubtest.Fault {
			return []hubtest.Fault{{Cut: 3000}, {Corrupt: true}, {}}[min(a, 3)-1]
		}, []string{"", "bytes=3000-", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := checkpoint()
			m.Fault = func(path string, attempt int) hubtest.Fault {
				if path != shard {
					return hubtest.Fault{}
				}
				return test.fault(attempt)
			}
			s := hubtest.New(t, map[string]*hubtest.Model{"a/b": m})
			dir, _, err := fetch(t.Context(), client(t, s), "hf://a/b")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(contents(t, dir)[shard], m.Files[shard]) {
				t.Error("it has other bytes")
			}
			var ranges []string
			for _, r := range s.Requests() {
				if r.Host == "files" && r.Path == shard {
					ranges = append(ranges, r.Range)
				}
			}
			if test.ranges != nil && !slices.Equal(ranges, test.ranges) {
				t.Errorf("asked for %q, want %q", ranges, test.ranges)
			}
		})
	}
}

// TestResetStreams loses streams of HTTP/2 in the middle, of a file and of a listing, and goes on.
func TestResetStreams(t *testing.T) {
	t.Parallel()
	const shard = "model-00002-of-00002.safetensors"
	m := checkpoint()
	m.Fault = func(path string, attempt int) hubtest.Fault {
		switch {
		case path == shard:
			return hubtest.Fault{Cut: map[int]int{1: 5000, 2: 1000}[attempt]}
		case path == "tree" && attempt == 2, path == "revision" && attempt == 1, path == "config.json" && attempt == 1:
			return hubtest.Fault{Cut: 1}
		}
		return hubtest.Fault{}
	}
	s := hubtest.NewHTTP2(t, map[string]*hubtest.Model{"a/b": m})
	c := client(t, s)
	c.SetTransport(s.Transport)
	dir, _, err := fetch(t.Context(), c, "hf://a/b")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, dir)[shard], m.Files[shard]) {
		t.Error("it has other bytes")
	}
	var ranges []string
	for _, r := range s.Requests() {
		if r.Proto != "HTTP/2.0" {
			t.Fatalf("%s was asked for by %s", r.Path, r.Proto)
		}
		if r.Host == "files" && r.Path == shard {
			ranges = append(ranges, r.Range)
		}
	}
	if want := []string{"", "bytes=5000-", "bytes=6000-"}; !slices.Equal(ranges, want) {
		t.Errorf("asked for %q, want %q", ranges, want)
	}
}

// TestNoProgress gives up on a server that begins again each time and never comes to the end.
func TestNoProgress(t *testing.T) {
	t.Parallel()
	const shard = "model-00002-of-00002.safetensors"
	m := checkpoint()
	m.Fault = func(path string, attempt int) hubtest.Fault {
		if path != shard || attempt > 100 { // so that a client without an end fails
			return hubtest.Fault{}
		}
		return hubtest.Fault{Cut: 3000 + attempt%2*1000, IgnoreRange: true}
	}
	s := hubtest.New(t, map[string]*hubtest.Model{"a/b": m})
	c := client(t, s)
	c.Attempts = 3
	if _, _, err := fetch(t.Context(), c, "hf://a/b"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got error %v", err)
	}
	asked := 0
	for _, r := range s.Requests() {
		if r.Host == "files" && r.Path == shard {
			asked++
		}
	}
	if asked != c.Attempts { // of which the first alone made progress
		t.Errorf("asked %d times, want %d", asked, c.Attempts)
	}
}

// TestResumed continues in a second process what a first one had begun.
func TestResumed(t *testing.T) {
	t.Parallel()
	const shard = "model-00001-of-00002.safetensors"
	m := checkpoint()
	m.Fault = func(path string, attempt int) hubtest.Fault {
		if path == shard && attempt == 1 {
			return hubtest.Fault{Cut: 4000}
		}
		if path == shard && attempt == 2 {
			return hubtest.Fault{Status: 403}
		}
		return hubtest.Fault{}
	}
	s := hubtest.New(t, map[string]*hubtest.Model{"a/b": m})
	c := client(t, s)
	if _, _, err := fetch(t.Context(), c, "hf://a/b"); err == nil {
		t.Fatal("no error")
	}
	again := *c
	dir, _, err := fetch(t.Context(), &again, "hf://a/b")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, dir)[shard], m.Files[shard]) {
		t.Error("it has other bytes")
	}
	requests := s.Requests()
	last := slices.IndexFunc(requests, func(r hubtest.Request) bool { return r.Host == "files" && r.Range == "bytes=4000-" })
	if last < 0 {
		t.Errorf("nobody asked for the rest: %+v", requests)
	}
}

// TestDurable: a file's bytes are on the disk before it has its name, and then so is the name.
func TestDurable(t *testing.T) {
	t.Parallel()
	m := checkpoint()
	m.Files = map[string][]byte{"q/m.gguf": []byte("GGUF")}
	s := hubtest.New(t, map[string]*hubtest.Model{"a/b": m})
	c := client(t, s)
	final := filepath.Join(c.Dir, "a--b", m.Commit(), "q", "m.gguf")
	exists := func(path string) bool {
		_, err := os.Lstat(path)
		return err == nil
	}
	broken := errors.New("the disk is broken")
	c.SetFsync(func(string) error { return broken })
	if _, _, err := fetch(t.Context(), c, "hf://a/b"); !errors.Is(err, broken) || exists(final) {
		t.Errorf("got error %v, and the file is there: %v", err, exists(final))
	}
	type step struct {
		path  string
		named bool
	}
	var steps []step // one file is fetched by one goroutine
	c.SetFsync(func(path string) error {
		steps = append(steps, step{path, exists(final)})
		return hub.Fsync(path)
	})
	if _, _, err := fetch(t.Context(), c, "hf://a/b"); err != nil {
		t.Fatal(err)
	}
	if want := []step{{final + ".part", false}, {filepath.Dir(final), true}}; !slices.Equal(steps, want) {
		t.Errorf("made durable: %v, want %v", steps, want)
	}
	if err := hub.Fsync(final + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v", err)
	}
}
