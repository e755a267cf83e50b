package model

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model/gguf"
	"github.com/sluiceml/sluice/inference/model/internal/filetest"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// bounded runs f and keeps the memory that it takes within a multiple of the size of its input.
func bounded(t *testing.T, size int, f func()) {
	t.Helper()
	before := filetest.Allocated()
	f()
	if taken := filetest.Allocated() - before; taken > 1<<20+256*uint64(size) {
		t.Fatalf("%d bytes of input took %d bytes of memory", size, taken)
	}
}

// FuzzConfig reads any config.json: a Spec that comes out is valid.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"architectures":["LlamaForCausalLM"],"vocab_size":8,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,` +
		`"num_attention_heads":2,"max_position_embeddings":8,"eos_token_id":[1,2],"rope_scaling":{"type":"linear","factor":2}}`))
	sizes := `"vocab_size":8,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":4,"num_attention_heads":2,"max_position_embeddings":64,`
	for _, rest := range []string{
		`"architectures":["Gemma3ForCausalLM"],"sliding_window":8,"layer_types":["sliding_attention","full_attention","full_attention",` +
			`"sliding_attention"],"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8},"sliding_attention":{"rope_theta":1e4}}`,
		`"architectures":["Gemma2ForCausalLM"],"sliding_window":8,"attn_logit_softcapping":50,"final_logit_softcapping":30`,
		`"architectures":["Phi3ForCausalLM"],"original_max_position_embeddings":16,"rope_scaling":{"type":"su","short_factor":[1,1],"long_factor":[2,3]}`,
		`"architectures":["SmolLM3ForCausalLM"],"no_rope_layers":[1,0,1,1],"use_sliding_window":true,"sliding_window":8`,
		`"architectures":["Qwen2ForCausalLM"],"rope_scaling":{"rope_type":"yarn","factor":4,"original_max_position_embeddings":16}`,
		`"architectures":["GPTNeoXForCausalLM"],"rotary_pct":0.5,"use_parallel_residual":false`,
		`"architectures":["GPT2LMHeadModel"],"n_embd":8,"n_inner":null`,
	} {
		data := []byte("{" + sizes + rest + "}")
		var c hfConfig
		if err := parseJSON("config.json", data, &c); err != nil {
			f.Fatal(err)
		}
		if _, err := c.spec("config.json"); err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"architectures":["SmolLM3ForCausalLM"],` + strings.Replace(sizes, `"num_hidden_layers":4`, `"num_hidden_layers":268435456`, 1) + `"a":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			var c hfConfig
			if parseJSON("config.json", data, &c) != nil {
				return
			}
			if s, err := c.spec("config.json"); err == nil {
				if err := s.Validate(); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// FuzzGenerationConfig reads any generation_config.json: one that is sound is the same after writing.
func FuzzGenerationConfig(f *testing.F) {
	f.Add([]byte(`{"eos_token_id":2,"do_sample":true,"temperature":0.5,"top_k":3,"top_p":0.9,"max_new_tokens":7}`))
	f.Add([]byte(`{"eos_token_id":[1,2],"bos_token_id":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c GenerationConfig
		var err error
		bounded(t, len(data), func() { c, err = parseGenerationConfig("a", data) })
		if err != nil {
			return
		}
		text, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseGenerationConfig("a", text)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.EOSTokenIDs) == 0 {
			c.EOSTokenIDs = nil // an empty list is not written
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Fatalf("after writing (-before +after):\n%s", diff)
		}
	})
}

// FuzzManifest reads any sluice.json: one that is sound is the same after writing, and names files of its folder.
func FuzzManifest(f *testing.F) {
	m := NewManifest(Spec{
		Architecture: "llama", VocabSize: 8, HiddenSize: 8, IntermediateSize: 8, Layers: 1, Heads: 2, KVHeads: 1, HeadSize: 4, ContextLength: 8,
	}, "v1")
	text, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Manifest
		var err error
		bounded(t, len(data), func() { m, err = parseManifest("a", data) })
		if err != nil {
			return
		}
		text, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseManifest("a", text)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := again.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(twice)); diff != "" {
			t.Fatalf("after writing (-before +after):\n%s", diff)
		}
	})
}

// FuzzGenAIConfig reads any genai_config.json: the names that come out can be given to fmt with a layer, and the graph's
// file lies in the folder.
func FuzzGenAIConfig(f *testing.F) {
	f.Add([]byte(`{"model":{"type":"llama","eos_token_id":[2,3],"context_length":64,"vocab_size":12,"decoder":{"filename":"model.onnx",` +
		`"inputs":{"past_key_names":"past.%d.key"},"sliding_window":{}}},"search":{"do_sample":false,"top_k":50,"top_p":1.0}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			var c genaiConfig
			if parseJSON("genai_config.json", data, &c) != nil {
				return
			}
			g, err := c.names("genai_config.json")
			if err != nil {
				return
			}
			for _, name := range []string{g.PastKey, g.PastValue, g.PresentKey, g.PresentValue} {
				if text := fmt.Sprintf(name, 1); strings.Contains(text, "%!") {
					t.Fatalf("%q is written as %q", name, text)
				}
			}
			if !filepath.IsLocal(c.Model.Decoder.Filename) {
				t.Fatalf("the graph is %q", c.Model.Decoder.Filename)
			}
			_ = c.generation().validate("genai_config.json")
		})
	})
}

// FuzzMaskedGraph describes any ONNX graph: one that is taken has its weights in its folder.
func FuzzMaskedGraph(f *testing.F) {
	data, err := os.ReadFile("../ort/testdata/genai.onnx")
	if err != nil {
		f.Fatal(err)
	}
	m, err := onnx.Unmarshal(data)
	if err != nil {
		f.Fatal(err)
	}
	m.Graph.Initializers = nil // they would only make the search slow
	for i := range m.Graph.Nodes {
		m.Graph.Nodes[i].Attributes = nil // of kinds that are not written
	}
	f.Add(m.Marshal())
	names := Graph{
		InputIDs: inputIDsName, Logits: logitsName, PastKey: pastKeyName, PastValue: pastValueName,
		PresentKey: presentKeyName, PresentValue: presentValueName,
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			m, err := onnx.Unmarshal(data)
			if err != nil {
				return
			}
			names := names
			names.Masked = &MaskedGraph{AttentionMask: attentionMaskName, PositionIDs: positionIDsName, LogitsToKeep: logitsToKeepName}
			described, err := describeMasked("model.onnx", m, names)
			if err != nil {
				return
			}
			for _, name := range described.files {
				if !filepath.IsLocal(name) {
					t.Fatalf("its weights lie at %q", name)
				}
			}
			if g := described.graph; g.Layers < 1 || g.Masked.AttentionMask == "" || g.KVType == "" || g.Masked.LogitsType == "" {
				t.Fatalf("%+v", g)
			}
		})
	})
}

// FuzzTokenizerConfig reads any tokenizer_config.json.
func FuzzTokenizerConfig(f *testing.F) {
	f.Add([]byte(`{"bos_token":{"content":"<s>"},"eos_token":"</s>","chat_template":[{"name":"default","template":"x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			var c tokenizerConfig
			_ = parseJSON("a", data, &c)
		})
	})
}

// FuzzGGUFModel reads the model and the vocabulary of any GGUF file.
func FuzzGGUFModel(f *testing.F) {
	g := &filetest.GGUF{}
	g.Text("general.architecture", "llama")
	for _, key := range []string{"block_count", "context_length", "feed_forward_length", "attention.head_count"} {
		g.Uint32("llama."+key, 1)
	}
	g.Uint32("llama.embedding_length", 2)
	g.Float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
	g.Text("tokenizer.ggml.model", "gpt2")
	g.Texts("tokenizer.ggml.tokens", "a", "b")
	g.Uint32("tokenizer.ggml.eos_token_id", 1)
	names := map[string][]int{
		"token_embd.weight": {2, 2}, "output_norm.weight": {2}, "blk.0.attn_norm.weight": {2}, "blk.0.ffn_norm.weight": {2},
		"blk.0.attn_q.weight": {2, 2}, "blk.0.attn_k.weight": {2, 2}, "blk.0.attn_v.weight": {2, 2}, "blk.0.attn_output.weight": {2, 2},
		"blk.0.ffn_gate.weight": {1, 2}, "blk.0.ffn_up.weight": {1, 2}, "blk.0.ffn_down.weight": {2, 1}, "rope_freqs.weight": {1},
	}
	for name, shape := range names {
		size, err := F32.Bytes(shape)
		if err != nil {
			f.Fatal(err)
		}
		g.Tensor(name, 0, shape, bytes.Repeat([]byte{0, 0, 0x80, 0x3f}, size/4)) // ones
	}
	file, err := gguf.Parse(g.Bytes())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := newGGUFSource("a", file); err != nil {
		f.Fatal(err)
	}
	f.Add(g.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			file, err := gguf.Parse(data)
			if err != nil {
				return
			}
			_, _ = ggufAssets("a", file)
			s, err := newGGUFSource("a", file)
			if err != nil {
				return
			}
			for _, w := range s.Spec().Weights() {
				tensor, ok := s.Tensor(w.Name)
				if !ok {
					t.Fatalf("no tensor %s", w.Name)
				}
				if size, err := tensor.Type.Bytes(tensor.Shape); err != nil || size != len(tensor.Data) {
					t.Fatalf("%s: %d bytes, want %d, %v", w.Name, len(tensor.Data), size, err)
				}
			}
		})
	})
}
