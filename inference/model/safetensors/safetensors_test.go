package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model/internal/filetest"
	"github.com/sluiceml/sluice/inference/model/safetensors"
)

// sample is a sound file.
func sample() *filetest.Safetensors {
	s := &filetest.Safetensors{}
	s.Entry("__metadata__", `{"format":"pt"}`)
	s.Tensor("b", "F32", []int{2, 3}, bytes.Repeat([]byte{1}, 24))
	s.Tensor("a", "BF16", []int{5}, bytes.Repeat([]byte{2}, 10))
	s.Tensor("scalar", "I64", nil, bytes.Repeat([]byte{3}, 8))
	s.Tensor("empty", "U8", []int{0, 7}, nil)
	return s
}

func TestParse(t *testing.T) {
	t.Parallel()
	f, err := safetensors.Parse(sample().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "empty", "scalar"}, f.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	want := safetensors.Tensor{Name: "a", DType: "BF16", Shape: []int{5}, Data: bytes.Repeat([]byte{2}, 10)}
	got, ok := f.Tensor("a")
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("tensor (-want +got):\n%s", diff)
	}
	if text, ok := f.Metadata("format"); text != "pt" || !ok {
		t.Errorf("metadata %q, %v", text, ok)
	}
}

// TestHostile refuses files that are not sound, each with its reason.
func TestHostile(t *testing.T) {
	t.Parallel()
	raw := func(header string, data ...byte) []byte {
		b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
		return append(append(b, header...), data...)
	}
	length := func(n uint64) []byte { return append(binary.LittleEndian.AppendUint64(nil, n), "{}"...) }
	entry := func(dtype, shape, offsets string, data int) []byte {
		return raw(fmt.Sprintf(`{"t":{"dtype":%q,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets), make([]byte, data)...)
	}
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "the file has 0 bytes, too few for the header's length"},
		{"cut length", []byte("1234567"), "the file has 7 bytes"},
		{"no header", length(0), "it is not a JSON object"},
		{"length over the file", length(3), "its length is 3 bytes, but only 2 follow"},
		{"length over the limit", length(math.MaxUint64), "over the limit of 100000000 bytes"},
		{"array", raw("[]"), "it is not a JSON object"},
		{"cut JSON", raw(`{"t":`), "unexpected EOF"},
		{"no JSON", raw(`{t:1}`), "invalid character"},
		{"after the JSON", raw(`{} {}`), "something follows its JSON object"},
		{"no object", raw(`{"t":3}`), "unmarshal JSON number"},
		{"deep", raw(`{"t":{"x":` + strings.Repeat("[", 20000)), "exceeded max depth"},
		{"name twice", raw(`{"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), `duplicate object member name "t"`},
		{"field twice", raw(`{"t":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), `duplicate object member name "dtype"`},
		{"metadata kind", raw(`{"__metadata__":{"a":1}}`), "unmarshal JSON number"},
		{"one offset", entry("U8", "[1]", "[0]", 1), "data_offsets are not two numbers"},
		{"negative offset", entry("U8", "[1]", "[-1,0]", 1), "unmarshal JSON number -1"},
		{"fraction", entry("U8", "[1.5]", "[0,1]", 1), "unmarshal JSON number 1.5"},
		{"offset over the end", entry("U8", "[2]", "[0,2]", 1), "data_offsets [0, 2] are not within 1 bytes of data"},
		{"offset huge", entry("U8", "[2]", "[0,18446744073709551615]", 1), "are not within 1 bytes of data"},
		{"offsets swapped", entry("U8", "[1]", "[1,0]", 1), "data_offsets [1, 0] are not within"},
		{"hole before", entry("U8", "[1]", "[1,2]", 2), "its data begins at 1, that before it ends at 0"},
		{"hole after", entry("U8", "[1]", "[0,1]", 2), "2 bytes, of which the tensors cover 1"},
		{"size", entry("F32", "[2]", "[0,4]", 4), "F32 [2] takes 8 bytes, but data_offsets [0, 4] hold 4"},
		{"product", entry("F32", "[2147483647,2147483647,2147483647]", "[0,4]", 4), "is too large"},
		{"product with a zero", entry("F32", "[4294967296,0]", "[0,0]", 0), "dimension 4294967296 is over the limit"},
		{"dimensions", entry("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]", 1), "it has 9 dimensions"},
		{"dtype", entry("F4", "[1]", "[0,1]", 1), `its dtype "F4" is not supported`},
		{"overlap", raw(`{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 0, 0, 0), `tensor "u": its data begins at 1, that before it ends at 2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := safetensors.Parse(test.data)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want %q", err, test.want)
			}
			if _, ok := errors.AsType[*safetensors.FormatError](err); !ok {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

// TestTruncated cuts a sound file at every byte.
func TestTruncated(t *testing.T) {
	t.Parallel()
	data := sample().Bytes()
	for n := range data {
		if _, err := safetensors.Parse(data[:n:n]); err == nil {
			t.Errorf("accepted %d of %d bytes", n, len(data))
		}
	}
}

// write makes a folder of files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shard is a file with one tensor.
func shard(name string, value byte) string {
	s := &filetest.Safetensors{}
	s.Tensor(name, "U8", []int{1}, []byte{value})
	return string(s.Bytes())
}

func TestOpenFolder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		files map[string]string
		want  []string // the files that are opened
	}{
		{"one file", map[string]string{"model.safetensors": shard("a", 1), "other.safetensors": "x"}, []string{"model.safetensors"}},
		{
			"shards",
			map[string]string{
				"model.safetensors.index.json": `{"metadata":{"total_size":2},"weight_map":{"b":"2.safetensors","a":"1.safetensors"}}`,
				"1.safetensors":                shard("a", 1), "2.safetensors": shard("b", 2),
			},
			[]string{"1.safetensors", "2.safetensors"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := safetensors.OpenFolder(write(t, test.files))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, f.Files()); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if n := len(slices.Collect(f.Tensors())); n != len(test.want) {
				t.Errorf("%d tensors, want %d", n, len(test.want))
			}
			if tensor, ok := f.Tensor("a"); !ok || tensor.Data[0] != 1 {
				t.Errorf("tensor %+v, %v", tensor, ok)
			}
			if _, ok := f.Tensor("c"); ok {
				t.Error("found a tensor that is not there")
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenFolderRefuses(t *testing.T) {
	t.Parallel()
	const index = "model.safetensors.index.json"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no JSON", map[string]string{index: "{"}, "unexpected EOF"},
		{"no weights", map[string]string{index: "{}"}, "weight_map is empty"},
		{"a path", map[string]string{index: `{"weight_map":{"a":"../x.safetensors"}}`}, `weight_map names the file "../x.safetensors"`},
		{"an absolute path", map[string]string{index: `{"weight_map":{"a":"/etc/x.safetensors"}}`}, "want a *.safetensors in the same folder"},
		{"another file", map[string]string{index: `{"weight_map":{"a":".."}}`}, "want a *.safetensors in the same folder"},
		{"a missing shard", map[string]string{index: `{"weight_map":{"a":"1.safetensors"}}`}, "no such file"},
		{"a tensor elsewhere", map[string]string{index: `{"weight_map":{"b":"1.safetensors"}}`, "1.safetensors": shard("a", 1)}, `tensor "b" is not in 1.safetensors`},
		{"a broken shard", map[string]string{index: `{"weight_map":{"a":"1.safetensors"}}`, "1.safetensors": "x"}, "the file has 1 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := safetensors.OpenFolder(write(t, test.files))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
	if _, err := safetensors.OpenFolder(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: got error %v", err)
	}
}

// FuzzOpen parses any bytes and keeps the memory taken within a multiple of their number.
func FuzzOpen(f *testing.F) {
	f.Add(sample().Bytes())
	f.Add((&filetest.Safetensors{}).Bytes())
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\x00\xe0\xf5\x05\x00\x00\x00\x00{}")) // a header of 99 MB in a file of 10 bytes
	huge := &filetest.Safetensors{}
	huge.Entry("t", `{"dtype":"F32","shape":[2147483647,2147483647],"data_offsets":[0,18446744073709551615]}`)
	f.Add(huge.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		before := filetest.Allocated()
		file, err := safetensors.Parse(data)
		if taken := filetest.Allocated() - before; taken > 1<<20+64*uint64(len(data)) {
			t.Fatalf("%d bytes of file took %d bytes of memory", len(data), taken)
		}
		if err != nil {
			if _, ok := errors.AsType[*safetensors.FormatError](err); !ok {
				t.Fatalf("the error is a %T: %v", err, err)
			}
			return
		}
		total := 0
		for _, name := range file.Names() {
			tensor, _ := file.Tensor(name)
			total += len(tensor.Data)
		}
		if total > len(data) {
			t.Fatalf("the tensors have %d bytes, the file %d", total, len(data))
		}
	})
}
