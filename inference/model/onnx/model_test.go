package onnx

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
)

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// TestForeign dumps models that the onnx package wrote.
func TestForeign(t *testing.T) {
	datadriven.RunTest(t, "testdata/foreign.txt", func(t *testing.T, d *datadriven.TestData) string {
		m, err := Unmarshal(readFile(t, d.CmdArgs[0].Key))
		if err != nil {
			return err.Error()
		}
		return m.Dump()
	})
}

// TestMarshalEqualsForeign holds the encoding to the onnx package's, byte for byte.
func TestMarshalEqualsForeign(t *testing.T) {
	want := readFile(t, "foreign.onnx")
	m, err := Unmarshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Marshal(); !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	want := &Model{
		IRVersion: 10, ProducerName: "sluice", ProducerVersion: "1",
		Opsets:   []Opset{{Version: 21}, {Domain: "com.microsoft", Version: 1}},
		Metadata: []Property{{"b", "2"}, {"a", ""}},
		Graph: Graph{
			Name: "g",
			Nodes: []Node{{
				Name: "n", Op: "Op", Domain: "d", Inputs: []string{"a", "", "b"}, Outputs: []string{"", "c"},
				Attributes: []Attribute{
					Int("zero", 0), Int("negative", -7), Real("real", -0.5), Text("empty", ""), Text("text", "é"),
					{Name: "ints", Kind: KindInts, Ints: []int64{3, 0, -1}},
					{Name: "reals", Kind: KindFloats, Floats: []float32{0, 1}},
					{Name: "texts", Kind: KindStrings, Strings: []string{"", "x"}},
				},
			}},
			Inputs:  []Value{{Name: "a", Type: Int64, Shape: []Dim{Named("B"), Fixed(4), {}}}, {Name: "s", Type: Int32}},
			Outputs: []Value{{Name: "c", Type: Float, Shape: []Dim{Fixed(1)}}},
			Initializers: []Tensor{
				{Name: "b", Type: Uint8, Dims: []int64{2, 0, 3}, Raw: []byte{}},
				{Name: "e", Type: Float, Dims: []int64{5}, External: &External{Location: "f", Offset: 64, Length: 20}},
			},
		},
	}
	got, err := Unmarshal(want.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after a round trip (-want +got):\n%s", diff)
	}
}

func TestUnmarshalTruncated(t *testing.T) {
	for _, name := range []string{"foreign.onnx", "skipped.onnx"} {
		data := readFile(t, name)
		for n := range data {
			if _, err := Unmarshal(data[:n]); err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s, the first %d bytes: %v", name, n, err)
			}
		}
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":               "",
		"no nodes":              "\x08\x0a",
		"a tag of no field":     "\x00",
		"a version of length 1": "\x0a\x01x",
		"a graph as a number":   "\x38\x01",
		"an endless length":     "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"an offset of letters":  "\x3a\x10\x2a\x0e\x6a\x0c\x0a\x06offset\x12\x02no",
		"an open group":         "\x3b\x08\x01",
	} {
		if _, err := Unmarshal([]byte(data)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

// FuzzUnmarshal: any bytes give a model or ErrMalformed, and a model that was read is written and read as the same.
func FuzzUnmarshal(f *testing.F) {
	f.Add(readFile(f, "foreign.onnx"))
	f.Add(readFile(f, "skipped.onnx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Unmarshal(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		_ = m.Dump()
		_ = m.Verify(func(string) (int64, error) { return 1 << 20, nil })
		once := m.Marshal()
		again, err := Unmarshal(once)
		if err != nil {
			t.Fatalf("what Marshal wrote: %v", err)
		}
		if twice := again.Marshal(); !bytes.Equal(once, twice) {
			t.Errorf("written twice:\n%q\n%q", once, twice)
		}
	})
}
