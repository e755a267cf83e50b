package gguf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model/gguf"
	"github.com/sluiceml/sluice/inference/model/internal/filetest"
	"github.com/sluiceml/sluice/inference/model/quant"
)

// sample is a sound file with a value of most kinds and two tensors.
func sample() *filetest.GGUF {
	g := &filetest.GGUF{}
	g.Text("general.architecture", "llama")
	g.Uint32("llama.block_count", 7)
	g.Uint64("huge", math.MaxUint64)
	g.Float32("llama.rope.freq_base", 10000)
	g.Bool("yes", true)
	g.Texts("tokens", "a", "", "ü\xff")
	g.Int32s("types", 1, -2, 3)
	g.Float32s("scores", 0.5, -1)
	g.Raw("small", 1, []byte{0xff}) // int8 -1
	g.Tensor("first", 0, []int{2, 3}, bytes.Repeat([]byte{1}, 24))
	g.Tensor("second", 2, []int{2, 32}, bytes.Repeat([]byte{2}, 36))
	return g
}

func TestParse(t *testing.T) {
	t.Parallel()
	f, err := gguf.Parse(sample().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if f.Version() != 3 {
		t.Errorf("version %d, want 3", f.Version())
	}
	keys := slices.Collect(f.Keys())
	if keys[0] != "general.architecture" || len(keys) != 9 {
		t.Errorf("keys %q", keys)
	}
	check := func(key string, want any, get func(v gguf.Value) (any, error)) {
		t.Helper()
		v, ok := f.Value(key)
		if !ok {
			t.Fatalf("no value %q", key)
		}
		got, err := get(v)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	check("general.architecture", "llama", func(v gguf.Value) (any, error) { return v.Text() })
	check("llama.block_count", uint64(7), func(v gguf.Value) (any, error) { return v.Uint() })
	check("llama.block_count", 7.0, func(v gguf.Value) (any, error) { return v.Float() })
	check("huge", uint64(math.MaxUint64), func(v gguf.Value) (any, error) { return v.Uint() })
	check("llama.rope.freq_base", 10000.0, func(v gguf.Value) (any, error) { return v.Float() })
	check("yes", true, func(v gguf.Value) (any, error) { return v.Bool() })
	check("tokens", []string{"a", "", "ü\xff"}, func(v gguf.Value) (any, error) { return v.Texts() })
	check("types", []int64{1, -2, 3}, func(v gguf.Value) (any, error) { return v.Ints() })
	check("scores", []float32{0.5, -1}, func(v gguf.Value) (any, error) { return v.Floats() })

	want := gguf.Tensor{Name: "second", Shape: []int{2, 32}, Type: quant.Q4_0, Data: bytes.Repeat([]byte{2}, 36)}
	got, ok := f.Tensor("second")
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("tensor (-want +got):\n%s", diff)
	}
	if _, ok := f.Tensor("third"); ok {
		t.Error("found a tensor that is not there")
	}
	if n := len(slices.Collect(f.Tensors())); n != 2 {
		t.Errorf("%d tensors, want 2", n)
	}
}

// TestOpen reads the same from a file, and refuses what is none.
func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.gguf")
	if err := os.WriteFile(path, sample().Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if tensor, ok := f.Tensor("first"); !ok || len(tensor.Data) != 24 || tensor.Data[23] != 1 {
		t.Errorf("tensor %+v, %v", tensor, ok)
	}
	for range 2 { // a second Close does nothing
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := gguf.Open(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: got error %v", err)
	}
	if _, err := gguf.Open(filepath.Join(dir, "b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: got error %v", err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gguf.Open(empty); err == nil || !strings.Contains(err.Error(), "the file ends before it") {
		t.Errorf("an empty file: got error %v", err)
	}
}

func TestWrongKinds(t *testing.T) {
	t.Parallel()
	f, err := gguf.Parse(sample().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		key, want string
		get       func(v gguf.Value) error
	}{
		{"yes", "it is a bool, not a string", func(v gguf.Value) error { _, err := v.Text(); return err }},
		{"types", "it is an array of int32, not an integer", func(v gguf.Value) error { _, err := v.Uint(); return err }},
		{"small", "-1 is negative", func(v gguf.Value) error { _, err := v.Uint(); return err }},
		{"llama.rope.freq_base", "it is a float32, not an integer", func(v gguf.Value) error { _, err := v.Uint(); return err }},
		{"tokens", "it is an array of string, not a number", func(v gguf.Value) error { _, err := v.Float(); return err }},
		{"huge", "it is a uint64, not a bool", func(v gguf.Value) error { _, err := v.Bool(); return err }},
		{"types", "it is an array of int32, not an array of strings", func(v gguf.Value) error { _, err := v.Texts(); return err }},
		{"tokens", "it is an array of string, not an array of integers", func(v gguf.Value) error { _, err := v.Ints(); return err }},
		{"yes", "it is a bool, not an array of integers", func(v gguf.Value) error { _, err := v.Ints(); return err }},
		{"types", "it is an array of int32, not an array of float32", func(v gguf.Value) error { _, err := v.Floats(); return err }},
	} {
		v, ok := f.Value(test.key)
		if !ok {
			t.Fatalf("no value %q", test.key)
		}
		if err := test.get(v); err == nil || err.Error() != test.want {
			t.Errorf("%s: got error %v, want %q", test.key, err, test.want)
		}
	}
}

// le64 is a number in the file's form.
func le64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// TestHostile refuses files that are not sound, each with its reason and place.
func TestHostile(t *testing.T) {
	t.Parallel()
	with := func(change func(g *filetest.GGUF)) []byte {
		g := &filetest.GGUF{}
		change(g)
		return g.Bytes()
	}
	patch := func(at int, b ...byte) []byte {
		data := sample().Bytes()
		copy(data[at:], b)
		return data
	}
	array := func(element uint32, n uint64, rest ...byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, element)
		return append(append(b, le64(n)...), rest...)
	}
	deep := bytes.Repeat(array(9, 1), 40)
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "the magic number, at byte 0: the file ends before it: 4 bytes wanted, 0 left"},
		{"other file", []byte("PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaa"), `the file starts with "PK\x03\x04", not "GGUF"`},
		{"version 1", patch(4, 1, 0, 0, 0), "the version, at byte 4: 1 is not supported"},
		{"big-endian", patch(4, 0, 0, 0, 3), "big-endian files are not supported"},
		{"tensor count", patch(8, le64(1<<63)...), "the number of tensors, at byte 8: 9223372036854775808 is over the limit"},
		{"tensor count over the file", patch(8, le64(1<<17)...), "131072 declared, room for"},
		{"value count", patch(16, le64(math.MaxUint64)...), "the number of metadata values, at byte 16: "},
		{"key length", patch(24, le64(math.MaxUint64)...), "the key of metadata value 0, at byte 24: "},
		{"key length over the file", patch(24, le64(60000)...), "60000 declared, room for"},
		{"value kind", with(func(g *filetest.GGUF) { g.Raw("k", 13, nil) }), `metadata "k", at byte 37: it has the unknown kind 13`},
		{"bool", with(func(g *filetest.GGUF) { g.Raw("k", 7, []byte{2}) }), "2 is not a bool"},
		{"no key", with(func(g *filetest.GGUF) { g.Raw("", 7, []byte{1}) }), "the key of metadata value 0, at byte 24: it is empty"},
		{"key not UTF-8", with(func(g *filetest.GGUF) { g.Raw("\xff", 7, []byte{1}) }), `"\xff" is not UTF-8`},
		{"key twice", with(func(g *filetest.GGUF) { g.Bool("k", true); g.Bool("k", true) }), `metadata "k", at byte 38: the key is there twice`},
		{"string length", with(func(g *filetest.GGUF) { g.Raw("k", 8, le64(1<<62)) }), "declared, room for"},
		{"array length", with(func(g *filetest.GGUF) { g.Raw("k", 9, array(4, 1<<61)) }), "2305843009213693952 declared, room for"},
		{"array element", with(func(g *filetest.GGUF) { g.Raw("k", 9, array(99, 1, 0)) }), "its elements have the unknown kind 99"},
		{"array of strings", with(func(g *filetest.GGUF) { g.Raw("k", 9, array(8, 2, make([]byte, 16)...)) }), ""},
		{"array of cut strings", with(func(g *filetest.GGUF) { g.Raw("k", 9, array(8, 1, le64(100)...)) }), "100 declared, room for"},
		{"nested arrays", with(func(g *filetest.GGUF) { g.Raw("k", 9, append(deep, array(4, 0)...)) }), "arrays are nested more than 8 deep"},
		{"no dimensions", with(func(g *filetest.GGUF) { g.Entry("t", 0, nil, 0) }), "it has 0 dimensions"},
		{"many dimensions", with(func(g *filetest.GGUF) { g.Entry("t", 0, []int{1, 1, 1, 1, 1}, 0) }), "it has 5 dimensions"},
		{"zero dimension", with(func(g *filetest.GGUF) { g.Entry("t", 0, []int{1, 0}, 0) }), "dimension 0 is 0"},
		{"negative dimension", with(func(g *filetest.GGUF) { g.Entry("t", 0, []int{-1}, 0) }), "dimension 0 is 18446744073709551615"},
		{"product", with(func(g *filetest.GGUF) { g.Entry("t", 0, []int{1 << 30, 1 << 30, 1 << 30}, 0) }), "is too large"},
		{"unknown type", with(func(g *filetest.GGUF) { g.Entry("t", 4242, []int{1}, 0) }), "its type 4242 is unknown"},
		{"type not supported", with(func(g *filetest.GGUF) { g.Entry("t", 16, []int{256}, 0) }), "its type IQ2_XXS is not supported yet"},
		{"half a block", with(func(g *filetest.GGUF) { g.Entry("t", 2, []int{33}, 0) }), "not a whole number of Q4_0 blocks"},
		{"tensor name", with(func(g *filetest.GGUF) { g.Entry(strings.Repeat("t", 2000), 0, []int{1}, 0) }), "2000 is over the limit of 1024"},
		{"tensor twice", with(func(g *filetest.GGUF) {
			g.Tensor("t", 0, []int{1}, make([]byte, 4))
			g.Tensor("t", 0, []int{1}, make([]byte, 4))
		}), `tensor "t", at byte 57: the name is there twice`},
		{"no data", with(func(g *filetest.GGUF) { g.Entry("t", 0, []int{4}, 0) }), "16 bytes at 0 of 0 bytes of data"},
		{"offset over the end", with(func(g *filetest.GGUF) {
			g.Tensor("t", 0, []int{1}, make([]byte, 4))
			g.Entry("u", 0, []int{1}, math.MaxUint64-31)
		}), "4 bytes at 18446744073709551584 of 4 bytes of data"},
		{"offset not aligned", with(func(g *filetest.GGUF) {
			g.Tensor("t", 0, []int{16}, make([]byte, 64))
			g.Entry("u", 0, []int{1}, 4)
		}), `tensor "u", at byte 57: its offset 4 is not a multiple of 32`},
		{"overlap", with(func(g *filetest.GGUF) {
			g.Tensor("t", 0, []int{16}, make([]byte, 64))
			g.Entry("u", 0, []int{1}, 32)
		}), `tensor "u", at byte 57: its data overlaps that of "t"`},
		{"alignment 0", with(func(g *filetest.GGUF) { g.Uint32("general.alignment", 0) }), "0 is not a power of two"},
		{"alignment 48", with(func(g *filetest.GGUF) { g.Uint32("general.alignment", 48) }), "48 is not a power of two"},
		{"alignment huge", with(func(g *filetest.GGUF) { g.Uint32("general.alignment", 1<<31) }), "2147483648 is not a power of two up to"},
		{"alignment kind", with(func(g *filetest.GGUF) { g.Text("general.alignment", "32") }), "it is a string, not a uint32"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := gguf.Parse(test.data)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want %q", err, test.want)
			}
			if _, ok := errors.AsType[*gguf.FormatError](err); !ok {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

// TestTruncated cuts a sound file at every byte: each is refused, but the one without the last padding.
func TestTruncated(t *testing.T) {
	t.Parallel()
	data := sample().Bytes()
	for n := range data {
		if _, err := gguf.Parse(data[:n:n]); err == nil {
			t.Errorf("accepted %d of %d bytes", n, len(data))
		}
	}
}

// TestAlignment reads a file with an alignment of its own.
func TestAlignment(t *testing.T) {
	t.Parallel()
	g := &filetest.GGUF{Alignment: 128}
	g.Uint32("general.alignment", 128)
	g.Tensor("a", 0, []int{1}, []byte{1, 2, 3, 4})
	g.Tensor("b", 0, []int{1}, []byte{5, 6, 7, 8})
	f, err := gguf.Parse(g.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := f.Tensor("b"); !bytes.Equal(b.Data, []byte{5, 6, 7, 8}) {
		t.Errorf("data %v", b.Data)
	}
}

// FuzzOpen parses any bytes, reads all that a file says, and keeps the memory taken within a multiple of its size.
func FuzzOpen(f *testing.F) {
	f.Add(sample().Bytes())
	f.Add((&filetest.GGUF{}).Bytes())
	nested := &filetest.GGUF{}
	nested.Raw("k", 9, []byte("\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(nested.Bytes())
	for _, at := range []int{8, 16, 24} { // counts and a length that are far too large, and some that are not
		for _, n := range []uint64{math.MaxUint64, 1 << 62, 1 << 32, 60000, 3} {
			data := sample().Bytes()
			copy(data[at:], le64(n))
			f.Add(data)
		}
	}
	huge := &filetest.GGUF{}
	huge.Entry("t", 0, []int{math.MaxInt32, math.MaxInt32}, 0)
	f.Add(huge.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		before := filetest.Allocated()
		file, err := gguf.Parse(data)
		if taken := filetest.Allocated() - before; taken > 1<<20+64*uint64(len(data)) {
			t.Fatalf("%d bytes of file took %d bytes of memory", len(data), taken)
		}
		if err != nil {
			if _, ok := errors.AsType[*gguf.FormatError](err); !ok {
				t.Fatalf("the error is a %T: %v", err, err)
			}
			return
		}
		for key := range file.Keys() {
			v, _ := file.Value(key)
			_, _ = v.Text()
			_, _ = v.Uint()
			_, _ = v.Float()
			_, _ = v.Bool()
			_, _ = v.Ints()
			_, _ = v.Floats()
			_, _ = v.Texts()
		}
		total := 0
		for tensor := range file.Tensors() {
			total += len(tensor.Data)
			n := len(tensor.Data) / tensor.Type.BlockBytes() * tensor.Type.BlockSize()
			if err := quant.Dequantize(make([]float32, n), tensor.Type, tensor.Data); err != nil {
				t.Fatal(err)
			}
		}
		if total > len(data) {
			t.Fatalf("the tensors have %d bytes, the file %d", total, len(data))
		}
	})
}
