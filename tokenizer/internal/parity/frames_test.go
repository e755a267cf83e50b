package parity

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
)

// frames reads a file of frames (see oracle.py) one by one.
type frames struct {
	t *testing.T
	f *os.File
	r *bufio.Reader
}

func openFrames(t *testing.T, path string) *frames {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &frames{t: t, f: f, r: bufio.NewReaderSize(f, 1<<20)}
}

// next returns a frame of its own; ok is false after the last.
func (f *frames) next() (frame []byte, ok bool) {
	f.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, false
		}
		f.t.Fatal(err)
	}
	frame = make([]byte, binary.LittleEndian.Uint32(head[:]))
	if _, err := io.ReadFull(f.r, frame); err != nil {
		f.t.Fatal(err)
	}
	return frame, true
}

// must returns the next frame of a file that has as many as another.
func (f *frames) must() []byte {
	f.t.Helper()
	frame, ok := f.next()
	if !ok {
		f.t.Fatalf("%s ends too early", f.f.Name())
	}
	return frame
}

// unpack reads a frame of ids.
func unpack(frame []byte) []uint32 {
	ids := make([]uint32, len(frame)/4)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint32(frame[4*i:])
	}
	return ids
}
