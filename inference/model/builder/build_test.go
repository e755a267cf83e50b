package builder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files are what Build writes, by name.
func files(tb testing.TB, src model.Source, opts Options) map[string][]byte {
	tb.Helper()
	dir := tb.TempDir()
	if _, err := Build(tb.Context(), src, dir, opts); err != nil {
		tb.Fatal(err)
	}
	found := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if found[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			tb.Fatal(err)
		}
	}
	return found
}

// mixedTypes has a weight of every kind: carried with and without offsets, of 4 and 8 bits, and rounded.
func mixedTypes(name string) model.Type {
	for part, typ := range map[string]model.Type{ // a name holds one of them at most
		"embed": model.Q8_0, "q_proj": model.Q4_1, "k_proj": model.Q4_0, "v_proj": model.Q5_1, "o_proj": model.F16,
		"gate_proj": model.Q8_0, "up_proj": model.Q4_1, "down_proj": model.Q5_0,
	} {
		if strings.Contains(name, part) {
			return typ
		}
	}
	return 0
}

// TestBuildTwice: the same bytes again, whatever the number of workers.
func TestBuildTwice(t *testing.T) {
	src := newMemory(tinySpec(), mixedTypes)
	for _, form := range []Form{FormAuto, FormNone, FormInt8} {
		one := files(t, src, Options{Quantize: form, Version: "v", Workers: 1})
		many := files(t, src, Options{Quantize: form, Version: "v", Workers: 7})
		if len(one) != 3 {
			t.Errorf("%s: %d files", form, len(one))
		}
		for name, data := range one {
			if !bytes.Equal(data, many[name]) {
				t.Errorf("%s: %s differs with the number of workers", form, name)
			}
		}
	}
}

// decoded is a naive reading of a data file: the matrix [out, in] of a product by the rules of MatMulNBits, with the
// offsets of its second product.
func decoded(tb testing.TB, m *onnx.Model, data []byte, name string) []float32 {
	tb.Helper()
	find := func(name string) (onnx.Tensor, []byte) {
		for _, t := range m.Graph.Initializers {
			if t.Name == name {
				return t, data[t.External.Offset:][:t.External.Length]
			}
		}
		return onnx.Tensor{}, nil
	}
	number := func(b []byte, i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
	weight, codes := find(name + ".weight")
	if codes == nil {
		tb.Fatalf("no tensor %s.weight", name)
	}
	if weight.Type == onnx.Float {
		out := make([]float32, len(codes)/4)
		for i := range out {
			out[i] = number(codes, i)
		}
		return out
	}
	_, scales := find(name + ".scales")
	_, offsets := find(name + ".offsets")
	perBlock := int(weight.Dims[2]) // bytes
	out := make([]float32, len(codes)/perBlock*32)
	for i := range out {
		block, at := i/32, i%32
		var q int
		if perBlock == 16 {
			q = int(codes[16*block+at/2]>>(4*(at%2))&0xf) - 8
		} else {
			q = int(codes[i]) - 128
		}
		out[i] = number(scales, block) * float32(q)
		if offsets != nil {
			out[i] += number(offsets, block)
		}
	}
	return out
}

// TestBuildHoldsWeights reads what Build wrote back, and compares it with the source.
func TestBuildHoldsWeights(t *testing.T) {
	src := newMemory(tinySpec(), mixedTypes)
	for _, test := range []struct {
		form     Form
		products map[string][]string // name → weights in it, the same for all layers
		tied     string
	}{
		{FormNone, map[string][]string{
			"self_attn.qkv_proj": {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
			"self_attn.o_proj":   {"self_attn.o_proj"},
			"mlp.gate_up_proj":   {"mlp.gate_proj", "mlp.up_proj"}, "mlp.down_proj": {"mlp.down_proj"},
		}, "float32"},
		{FormInt8, map[string][]string{
			"self_attn.qkv_proj": {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
			"self_attn.o_proj":   {"self_attn.o_proj"},
			"mlp.gate_up_proj":   {"mlp.gate_proj", "mlp.up_proj"}, "mlp.down_proj": {"mlp.down_proj"},
		}, "q8_0+int8"},
		{FormAuto, map[string][]string{ // 4 and 8 bits are multiplied apart
			"self_attn.qkv_proj.0": {"self_attn.q_proj", "self_attn.k_proj"},
			"self_attn.qkv_proj.1": {"self_attn.v_proj"},
			"self_attn.o_proj":     {"self_attn.o_proj"},
			"mlp.gate_up_proj.0":   {"mlp.gate_proj"}, "mlp.gate_up_proj.1": {"mlp.up_proj"},
			"mlp.down_proj": {"mlp.down_proj"},
		}, ""},
	} {
		t.Run(string(test.form), func(t *testing.T) {
			out := files(t, src, Options{Quantize: test.form})
			m, err := onnx.Unmarshal(out["model.onnx"])
			if err != nil {
				t.Fatal(err)
			}
			data := out["model.onnx.data"]
			if err := m.Verify(func(string) (int64, error) { return int64(len(data)), nil }); err != nil {
				t.Fatal(err)
			}
			for _, prefix := range []string{"model.layers.0.", "model.layers.1."} {
				for product, parts := range test.products {
					got := decoded(t, m, data, prefix+product)
					for _, part := range parts {
						weight := src.tensors[prefix+part+".weight"]
						want := values(t, weight)
						compare(t, prefix+part, got[:len(want)], want, tolerance(test.form, weight.Type))
						got = got[len(want):]
					}
					if len(got) != 0 {
						t.Errorf("%s has %d values too many", product, len(got))
					}
				}
			}
			compare(t, "embedding", decoded(t, m, data, "model.embed_tokens"),
				values(t, src.tensors["model.embed_tokens.weight"]), 0)
		})
	}
}

// tolerance is the largest error of a form relative to the largest magnitude of a block.
func tolerance(form Form, typ model.Type) float64 {
	carry, ok := carrierOf(typ)
	switch {
	case form == FormNone || ok && !carry.offsets:
		return 0
	case form == FormAuto && ok:
		return 1e-6 // offsets are sums that are rounded once
	default:
		return 0.5001 / 127
	}
}

func compare(t *testing.T, name string, got, want []float32, relative float64) {
	t.Helper()
	for i := range want {
		var most float64
		for _, v := range want[i/32*32 : i/32*32+32] {
			most = max(most, math.Abs(float64(v)))
		}
		if e := math.Abs(float64(got[i]) - float64(want[i])); e > relative*most {
			t.Fatalf("%s: value %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

func TestBuildManifest(t *testing.T) {
	src := newMemory(tinySpec(), mixedTypes)
	origin := model.Origin{Format: "gguf", Files: []model.OriginFile{{Name: "m.gguf", Bytes: 3, SHA256: "ab"}}}
	dir := filepath.Join(t.TempDir(), "made")
	got, err := Build(t.Context(), src, dir, Options{Version: "v1", Name: "tiny", Source: origin})
	if err != nil {
		t.Fatal(err)
	}
	read, err := model.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []model.Manifest{got, read} {
		if m.Quantization != "q4_1+q8_0+q5_0+int8+q4_0+q5_1" || m.Options["quantize"] != "auto" || m.Name != "tiny" ||
			m.ToolVersion != "v1" || m.Source.Files[0].Name != "m.gguf" || m.ContextLength != 48 {
			t.Errorf("manifest %+v", m)
		}
	}
}

func TestBuildProgress(t *testing.T) {
	src := newMemory(tinySpec(), nil)
	var last, end int64
	opts := Options{Workers: 4, Progress: func(done, total int64) {
		if done <= last || done > total || end != 0 && total != end {
			t.Errorf("progress %d of %d after %d of %d", done, total, last, end)
		}
		last, end = done, total
	}}
	files(t, src, opts)
	if last == 0 || last != end {
		t.Errorf("the last progress was %d of %d", last, end)
	}
}

func TestBuildCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	opts := Options{Workers: 1, Progress: func(int64, int64) { cancel() }}
	if _, err := Build(ctx, newMemory(tinySpec(), nil), dir, opts); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
	if _, err := os.Stat(filepath.Join(dir, model.ManifestName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a cancelled build left a manifest: %v", err)
	}
}
