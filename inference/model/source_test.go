package model_test

import (
	"bytes"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/internal/filetest"
)

// checkSource compares what a source gives with what was written.
func checkSource(t *testing.T, path string, spec model.Spec, all map[string]model.Tensor) {
	t.Helper()
	source, err := model.OpenSource(path)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if diff := cmp.Diff(spec, source.Spec()); diff != "" {
		t.Errorf("Spec (-want +got):\n%s", diff)
	}
	for name, want := range all {
		got, ok := source.Tensor(name)
		if !ok {
			t.Errorf("no tensor %s", name)
			continue
		}
		if got.Name != name || got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("the tensor %s differs: %v %v", name, got.Type, got.Shape)
		}
	}
	if _, ok := source.Tensor("lm_head.weight"); ok == spec.TiedEmbeddings {
		t.Errorf("lm_head found: %v, tied: %v", ok, spec.TiedEmbeddings)
	}
	if _, ok := source.Tensor("nothing"); ok {
		t.Error("found a tensor that is not there")
	}
}

// TestGGUFTypes reads models of every type, whose query and key rows are permuted in the file.
func TestGGUFTypes(t *testing.T) {
	t.Parallel()
	for typ := range ggufNumbers {
		t.Run(typ.String(), func(t *testing.T) {
			t.Parallel()
			spec := small()
			all := weights(spec, typ, 1)
			checkSource(t, writeGGUF(t, newGGUF(spec, all)), spec, all)
		})
	}
}

// TestSafetensorsTypes reads models of every type, in one file.
func TestSafetensorsTypes(t *testing.T) {
	t.Parallel()
	for _, typ := range []model.Type{model.F32, model.F16, model.BF16, model.F8_E4M3, model.F8_E5M2} {
		t.Run(typ.String(), func(t *testing.T) {
			t.Parallel()
			spec := small()
			all := weights(spec, typ, 2)
			checkSource(t, writeCheckpoint(t, spec, all), spec, all)
		})
	}
}

// TestScaledFloats refuses 8-bit floats that mean nothing without another tensor.
func TestScaledFloats(t *testing.T) {
	t.Parallel()
	spec := small()
	file := &filetest.Safetensors{}
	all := weights(spec, model.F8_E4M3, 2)
	for _, name := range names(all) {
		file.Tensor(name, all[name].Type.String(), all[name].Shape, all[name].Data)
	}
	file.Tensor("model.layers.1.mlp.up_proj.weight_scale_inv", "F32", []int{1}, make([]byte, 4))
	dir := t.TempDir()
	writeConfig(t, dir, config(spec))
	writeFile(t, dir, "model.safetensors", file.Bytes())
	_, err := model.OpenSource(dir)
	if _, ok := errors.AsType[*model.UnsupportedError](err); !ok || !strings.Contains(err.Error(), `"model.layers.1.mlp.up_proj.weight_scale_inv"`) {
		t.Errorf("got error %v", err)
	}
}

// TestSplitGGUF reads a model in three files, and says what is wrong with others.
func TestSplitGGUF(t *testing.T) {
	t.Parallel()
	spec := small()
	all := weights(spec, model.Q4_K, 5)
	write := func(change func(parts []*filetest.GGUF)) string {
		dir := t.TempDir()
		first := map[string]model.Tensor{}
		for _, name := range names(all)[:3] {
			first[name] = all[name]
		}
		parts := []*filetest.GGUF{newGGUF(spec, first), {}, {}}
		for i, name := range names(all)[3:] {
			fileName, heads := ggufName(name, spec)
			data := all[name].Data
			if heads > 0 {
				data = permute(data, all[name].Shape[0], heads)
			}
			parts[1+i%2].Tensor(fileName, ggufNumbers[all[name].Type], all[name].Shape, data)
		}
		for i, part := range parts {
			part.Uint32("split.no", uint32(i))
			part.Uint32("split.count", uint32(len(parts)))
		}
		parts[0].Uint32("split.tensors.count", uint32(len(all)))
		if change != nil {
			change(parts)
		}
		for i, part := range parts {
			writeFile(t, dir, fmt.Sprintf("m-%05d-of-00003.gguf", i+1), part.Bytes())
		}
		return filepath.Join(dir, "m-00001-of-00003.gguf")
	}
	path := write(nil)
	checkSource(t, path, spec, all)
	origin, err := model.ReadOrigin(t.Context(), path)
	if err != nil || len(origin.Files) != 3 || origin.Files[2].Name != "m-00003-of-00003.gguf" {
		t.Errorf("origin %+v, %v", origin, err)
	}
	if _, err := model.OpenSource(filepath.Join(filepath.Dir(path), "m-00002-of-00003.gguf")); err == nil ||
		!strings.Contains(err.Error(), "open the first one, m-00001-of-00003.gguf") {
		t.Errorf("the second file: got error %v", err)
	}
	if err := os.Rename(filepath.Join(filepath.Dir(path), "m-00002-of-00003.gguf"), filepath.Join(t.TempDir(), "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := model.OpenSource(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: got error %v", err)
	}
	path = write(func(parts []*filetest.GGUF) { parts[1], parts[2] = parts[2], parts[1] })
	if _, err := model.OpenSource(path); err == nil || !strings.Contains(err.Error(), "says that it is file 3, not 2") {
		t.Errorf("files in another order: got error %v", err)
	}
	path = write(func(parts []*filetest.GGUF) { parts[2].Tensor("output.weight", 0, []int{1}, make([]byte, 4)) })
	if _, err := model.OpenSource(path); err == nil || !strings.Contains(err.Error(), `holds the tensor "output.weight" again`) {
		t.Errorf("a tensor twice: got error %v", err)
	}
}

// TestShards reads a model in two files.
func TestShards(t *testing.T) {
	t.Parallel()
	spec := small()
	spec.TiedEmbeddings, spec.AttentionBias, spec.MLPBias = true, false, false
	all := weights(spec, model.BF16, 3)
	dir := t.TempDir()
	writeConfig(t, dir, config(spec))
	shards := [2]filetest.Safetensors{}
	where := map[string]string{}
	for i, name := range names(all) {
		shards[i%2].Tensor(name, all[name].Type.String(), all[name].Shape, all[name].Data)
		where[name] = []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}[i%2]
	}
	writeFile(t, dir, "model-00001-of-00002.safetensors", shards[0].Bytes())
	writeFile(t, dir, "model-00002-of-00002.safetensors", shards[1].Bytes())
	index, err := json.Marshal(map[string]any{"weight_map": where})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "model.safetensors.index.json", index)
	checkSource(t, dir, spec, all)
}

// TestGGUFSpec reads what the metadata says in its other forms.
func TestGGUFSpec(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		spec   func(s *model.Spec)             // of the model
		change func(g *filetest.GGUF)          // adds to the file
		drop   func(m map[string]model.Tensor) // weights that the file lacks
	}{
		{name: "tied", spec: func(s *model.Spec) { s.TiedEmbeddings = true }},
		{name: "no biases", spec: func(s *model.Spec) { s.AttentionBias, s.MLPBias = false, false }},
		{
			name: "head size apart", spec: func(s *model.Spec) { s.HeadSize = 32 },
			change: func(g *filetest.GGUF) {
				g.Uint32("llama.attention.key_length", 32)
				g.Uint32("llama.attention.value_length", 32)
				g.Uint32("llama.rope.dimension_count", 32)
			},
		},
		{
			name: "linear scaling", spec: func(s *model.Spec) { s.RopeScaling = &model.RopeScaling{Kind: "linear", Factor: 4} },
			change: func(g *filetest.GGUF) {
				g.Text("llama.rope.scaling.type", "linear")
				g.Float32("llama.rope.scaling.factor", 4)
			},
		},
		{
			name: "old linear scaling", spec: func(s *model.Spec) { s.RopeScaling = &model.RopeScaling{Kind: "linear", Factor: 2} },
			change: func(g *filetest.GGUF) { g.Float32("llama.rope.scale_linear", 2) },
		},
		{name: "no scaling", change: func(g *filetest.GGUF) { g.Text("llama.rope.scaling.type", "none") }},
		{
			name: "llama3 scaling", spec: func(s *model.Spec) {
				s.RopeScaling = &model.RopeScaling{Kind: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContextLength: 8192}
			},
			change: func(g *filetest.GGUF) {
				g.Tensor("rope_freqs.weight", 0, []int{32}, float32s(llama3Divisors(10000, 64, 8, 1, 4, 8192)...))
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			spec := small()
			if test.spec != nil {
				test.spec(&spec)
			}
			all := weights(spec, model.F16, 4)
			g := newGGUF(spec, all)
			if test.change != nil {
				test.change(g)
			}
			checkSource(t, writeGGUF(t, g), spec, all)
		})
	}
}

func TestGGUFRefuses(t *testing.T) {
	t.Parallel()
	spec := small()
	all := weights(spec, model.F16, 5)
	without := func(name string) map[string]model.Tensor {
		rest := maps.Clone(all)
		delete(rest, name)
		return rest
	}
	reshaped := maps.Clone(all)
	reshaped["model.norm.weight"] = model.Tensor{Name: "model.norm.weight", Shape: []int{128}, Type: model.F32, Data: make([]byte, 512)}
	empty := func(arch string) *filetest.GGUF {
		g := &filetest.GGUF{}
		if arch != "" {
			g.Text("general.architecture", arch)
		}
		return g
	}
	with := func(change func(g *filetest.GGUF)) *filetest.GGUF {
		g := newGGUF(spec, all)
		change(g)
		return g
	}
	for _, test := range []struct {
		name        string
		file        *filetest.GGUF
		want        string
		unsupported bool
	}{
		{"no architecture", empty(""), "general.architecture: it is missing", false},
		{"other architecture", empty("mamba"), `the architecture "mamba" is not supported yet`, true},
		{"no weights", empty("llama"), `the tensor "token_embd.weight" is missing`, false},
		{"no layers", func() *filetest.GGUF {
			g := empty("llama")
			g.Tensor("token_embd.weight", 0, []int{1, 1}, make([]byte, 4))
			return g
		}(), "llama.embedding_length: it is missing", false},
		{"a missing weight", newGGUF(spec, without("model.layers.1.mlp.up_proj.weight")), "the tensor model.layers.1.mlp.up_proj.weight is missing", false},
		{"a missing bias", newGGUF(spec, without("model.layers.1.self_attn.o_proj.bias")), "the tensor model.layers.1.self_attn.o_proj.bias is missing", false},
		{"a wrong shape", newGGUF(spec, reshaped), `the tensor "output_norm.weight" has the shape [128], want [256]`, false},
		{"a strange tensor", with(func(g *filetest.GGUF) {
			g.Tensor("blk.0.attn_q_norm.weight", 0, []int{64}, make([]byte, 256))
		}), `the tensor "blk.0.attn_q_norm.weight" is no part of a LlamaForCausalLM`, true},
		{"a layer too many", with(func(g *filetest.GGUF) {
			g.Tensor("blk.2.attn_norm.weight", 0, []int{256}, make([]byte, 1024))
		}), `the tensor "blk.2.attn_norm.weight" is no part of a LlamaForCausalLM`, true},
		{"a name in disguise", with(func(g *filetest.GGUF) {
			g.Tensor("blk.+1.attn_norm.weight", 0, []int{256}, make([]byte, 1024))
		}), `the tensor "blk.+1.attn_norm.weight" is no part`, true},
		{"experts", with(func(g *filetest.GGUF) { g.Uint32("llama.expert_count", 8) }), "a mixture of 8 experts is not supported yet", true},
		{"partial rotary", with(func(g *filetest.GGUF) { g.Uint32("llama.rope.dimension_count", 32) }), "a rotary embedding of 32 of a head's 64 values", true},
		{"value length", with(func(g *filetest.GGUF) { g.Uint32("llama.attention.value_length", 32) }), "keys of 64 values and values of 32", true},
		{"dynamic", with(func(g *filetest.GGUF) { g.Text("llama.rope.scaling.type", "dynamic") }), `the rope scaling "dynamic" is not supported yet`, true},
		{"split", with(func(g *filetest.GGUF) { g.Uint32("split.count", 3) }), "it is one of 3 files: its name does not end in -00001-of-00003.gguf", false},
		{"strange factors", with(func(g *filetest.GGUF) {
			g.Tensor("rope_freqs.weight", 0, []int{32}, float32s(llama3Divisors(10000, 64, 8, 2, 4, 8192)...))
		}), "its factors are not Llama 3's: number", true},
		{"too few factors", with(func(g *filetest.GGUF) {
			g.Tensor("rope_freqs.weight", 0, []int{16}, make([]byte, 64))
		}), `the tensor "rope_freqs.weight": dequantize: 64 bytes of F32 for 32 values`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := writeGGUF(t, test.file)
			_, err := model.OpenSource(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
			if _, ok := errors.AsType[*model.UnsupportedError](err); ok != test.unsupported {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

// TestGGUFWrongValues refuses metadata that no model has, naming the key. Each is a whole file: keys may not be there
// twice.
func TestGGUFWrongValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		set  func(g *filetest.GGUF)
		want string
	}{
		{"a text", func(g *filetest.GGUF) { g.Text("llama.block_count", "2") }, "llama.block_count: it is a string, not an integer"},
		{"huge", func(g *filetest.GGUF) { g.Uint64("llama.block_count", 1<<60) }, "llama.block_count: 1152921504606846976 is over the limit"},
		{"zero", func(g *filetest.GGUF) { g.Uint32("llama.block_count", 0) }, "the number of layers is 0, it must be 1 to"},
		{"many", func(g *filetest.GGUF) { g.Uint32("llama.block_count", 100000) }, "the number of layers is 100000"},
		{"layers differ", func(g *filetest.GGUF) {
			g.Uint32("llama.block_count", 2)
			g.Int32s("llama.attention.head_count_kv", 1, 2)
		}, "llama.attention.head_count_kv: layers of different sizes are not supported yet"},
		{"heads", func(g *filetest.GGUF) {
			g.Uint32("llama.block_count", 2)
			g.Int32s("llama.attention.head_count_kv", 3, 3)
		}, "4 heads do not divide among 3 key/value heads"},
		{"no number", func(g *filetest.GGUF) {
			g.Uint32("llama.block_count", 2)
			g.Raw("llama.rope.freq_base", 6, []byte{0, 0, 0xc0, 0x7f})
		}, "llama.rope.freq_base: NaN is no finite number"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := &filetest.GGUF{}
			g.Text("general.architecture", "llama")
			g.Uint32("llama.context_length", 128)
			g.Uint32("llama.embedding_length", 256)
			g.Uint32("llama.feed_forward_length", 512)
			g.Uint32("llama.attention.head_count", 4)
			g.Float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
			test.set(g)
			g.Tensor("token_embd.weight", 0, []int{2, 256}, make([]byte, 2048))
			_, err := model.OpenSource(writeGGUF(t, g))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestOpenSourceRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := model.OpenSource(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: got error %v", err)
	}
	if _, err := model.OpenSource(dir); err == nil || !strings.Contains(err.Error(), "neither a GGUF file nor a folder with config.json") {
		t.Errorf("an empty folder: got error %v", err)
	}
	random := filepath.Join(dir, "random")
	if err := os.WriteFile(random, bytes.Repeat([]byte{0x80, 0x00}, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := model.OpenSource(random); err == nil || !strings.Contains(err.Error(), `the file starts with "\x80\x00\x80\x00", not "GGUF"`) {
		t.Errorf("random bytes: got error %v", err)
	}
}
