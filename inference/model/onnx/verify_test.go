package onnx

import (
	"errors"
	"math"
	"testing"
)

func TestVerify(t *testing.T) {
	const fileSize = 4096
	errNoFile := errors.New("no such file")
	size := func(location string) (int64, error) {
		switch location {
		case "data":
			return fileSize, nil
		case "missing":
			return 0, errNoFile
		default:
			t.Errorf("size of %q was asked for", location)
			return 0, nil
		}
	}
	at := func(location string, offset, length int64) *External {
		return &External{Location: location, Offset: offset, Length: length}
	}
	for _, test := range []struct {
		name   string
		tensor Tensor
		want   error
	}{
		{"inline", Tensor{Type: Float, Dims: []int64{2}, Raw: make([]byte, 8)}, nil},
		{"inline, short", Tensor{Type: Float, Dims: []int64{2}, Raw: make([]byte, 7)}, ErrMalformed},
		{"typed values", Tensor{Type: Float, Dims: []int64{2}}, nil},
		{"nibbles, odd", Tensor{Type: Int4, Dims: []int64{3}, Raw: make([]byte, 2)}, nil},
		{"whole file", Tensor{Type: Float, Dims: []int64{1024}, External: at("data", 0, fileSize)}, nil},
		{"to the end", Tensor{Type: Uint8, Dims: []int64{96}, External: at("data", 4000, 0)}, nil},
		{"past the end", Tensor{Type: Uint8, Dims: []int64{97}, External: at("data", 4000, 97)}, ErrMalformed},
		{"past the end, no length", Tensor{Type: Uint8, Dims: []int64{97}, External: at("data", 4000, 0)}, ErrMalformed},
		{"after the end", Tensor{Type: Uint8, Dims: []int64{0}, External: at("data", 5000, 0)}, ErrMalformed},
		{"negative offset", Tensor{Type: Uint8, Dims: []int64{8}, External: at("data", -8, 8)}, ErrMalformed},
		{"negative length", Tensor{Type: Uint8, Dims: []int64{8}, External: at("data", 0, -8)}, ErrMalformed},
		{"overflowing end", Tensor{Type: Uint8, Dims: []int64{8}, External: at("data", math.MaxInt64, 8)}, ErrMalformed},
		{"wrong length", Tensor{Type: Uint8, Dims: []int64{8}, External: at("data", 0, 9)}, ErrMalformed},
		{"overflowing shape", Tensor{Type: Float, Dims: []int64{1 << 40, 1 << 40}}, ErrMalformed},
		{"negative shape", Tensor{Type: Float, Dims: []int64{-1}}, ErrMalformed},
		{"unknown type", Tensor{Type: 99, Dims: []int64{1}}, ErrMalformed},
		{"outside the folder", Tensor{Type: Float, Dims: []int64{1}, External: at("../data", 0, 4)}, ErrMalformed},
		{"absolute", Tensor{Type: Float, Dims: []int64{1}, External: at("/data", 0, 4)}, ErrMalformed},
		{"no location", Tensor{Type: Float, Dims: []int64{1}, External: at("", 0, 4)}, ErrMalformed},
		{"missing file", Tensor{Type: Float, Dims: []int64{1}, External: at("missing", 0, 4)}, errNoFile},
	} {
		m := Model{Graph: Graph{Initializers: []Tensor{test.tensor}}}
		if err := m.Verify(size); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
	}
}

func TestLayout(t *testing.T) {
	l := Layout{Location: "data"}
	for _, test := range []struct{ length, offset int64 }{
		{10, 0},       // small: the next line
		{100, 64},     // small
		{4096, 4096},  // a page: the next page
		{4097, 8192},  // more than one
		{4095, 12352}, // less than one: the next line
		{0, 16448},    // nothing
	} {
		e := l.Place(test.length)
		if e.Location != "data" || e.Offset != test.offset || e.Length != test.length {
			t.Errorf("%d bytes are placed at %+v, want offset %d", test.length, *e, test.offset)
		}
	}
	if got := l.Size(); got != 16448 {
		t.Errorf("size %d, want the end of the last tensor", got)
	}
}
