package model_test

import (
	"encoding/binary"
	"encoding/json/v2"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/internal/filetest"
)

// small is the Spec of a model that fits a test: two layers, grouped heads, rows of whole blocks of 256.
func small() model.Spec {
	return model.Spec{
		Architecture: "llama", VocabSize: 12, HiddenSize: 256, IntermediateSize: 512, Layers: 2, Heads: 4, KVHeads: 2,
		HeadSize: 64, ContextLength: 128, RopeTheta: 10000, NormEpsilon: 1e-5, AttentionBias: true, MLPBias: true,
	}
}

// weights gives random blocks of a type for each weight of a Spec: what a Source should return.
func weights(s model.Spec, typ model.Type, seed uint64) map[string]model.Tensor {
	random := rand.New(rand.NewPCG(seed, 0))
	all := map[string]model.Tensor{}
	for _, w := range s.Weights() {
		kind := typ
		if len(w.Shape) == 1 {
			kind = model.F32 // norms and biases are never quantised
		}
		size, err := kind.Bytes(w.Shape)
		if err != nil {
			panic(err)
		}
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		all[w.Name] = model.Tensor{Name: w.Name, Shape: w.Shape, Type: kind, Data: data}
	}
	return all
}

// config is the config.json of a Spec, as transformers 5 writes it.
func config(s model.Spec) map[string]any {
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu",
		"vocab_size": s.VocabSize, "hidden_size": s.HiddenSize, "intermediate_size": s.IntermediateSize,
		"num_hidden_layers": s.Layers, "num_attention_heads": s.Heads, "num_key_value_heads": s.KVHeads,
		"head_dim": s.HeadSize, "max_position_embeddings": s.ContextLength, "rms_norm_eps": s.NormEpsilon,
		"tie_word_embeddings": s.TiedEmbeddings, "attention_bias": s.AttentionBias, "mlp_bias": s.MLPBias,
		"rope_parameters": map[string]any{"rope_type": "default", "rope_theta": s.RopeTheta},
		"bos_token_id":    1, "eos_token_id": 2, "pad_token_id": nil,
	}
}

// writeConfig writes the config.json.
func writeConfig(t *testing.T, dir string, c map[string]any) {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "config.json", data)
}

func writeFile(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeCheckpoint writes a Hugging Face folder.
func writeCheckpoint(t *testing.T, s model.Spec, all map[string]model.Tensor) string {
	t.Helper()
	dir := t.TempDir()
	writeConfig(t, dir, config(s))
	file := &filetest.Safetensors{}
	for _, name := range names(all) {
		w := all[name]
		file.Tensor(name, w.Type.String(), w.Shape, w.Data)
	}
	file.Tensor("model.layers.0.self_attn.rotary_emb.inv_freq", "I64", []int{1}, make([]byte, 8)) // old files have it
	writeFile(t, dir, "model.safetensors", file.Bytes())
	writeFile(t, dir, "tokenizer.json", []byte("{}"))
	return dir
}

// names lists the names of tensors, sorted.
func names(all map[string]model.Tensor) []string {
	var list []string
	for name := range all {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// ggufNumbers are GGML's numbers of the types.
var ggufNumbers = map[model.Type]uint32{
	model.F32: 0, model.F16: 1, model.Q4_0: 2, model.Q4_1: 3, model.Q5_0: 6, model.Q5_1: 7, model.Q8_0: 8,
	model.Q4_K: 12, model.Q5_K: 13, model.Q6_K: 14, model.BF16: 30,
	model.Q2_K: 10, model.Q3_K: 11, model.IQ4_NL: 20, model.IQ4_XS: 23,
}

// ggufNames are the file's names of a layer's parts.
var ggufNames = map[string]string{
	"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
	"self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}

// newGGUF makes a GGUF file of a Spec and its weights, as convert_hf_to_gguf.py does.
func newGGUF(s model.Spec, all map[string]model.Tensor) *filetest.GGUF {
	g := &filetest.GGUF{}
	g.Text("general.architecture", "llama")
	g.Text("general.name", "Small")
	g.Text("general.license", "apache-2.0")
	g.Uint32("llama.block_count", uint32(s.Layers))
	g.Uint32("llama.context_length", uint32(s.ContextLength))
	g.Uint32("llama.embedding_length", uint32(s.HiddenSize))
	g.Uint32("llama.feed_forward_length", uint32(s.IntermediateSize))
	g.Uint32("llama.attention.head_count", uint32(s.Heads))
	g.Uint32("llama.attention.head_count_kv", uint32(s.KVHeads))
	g.Float32("llama.rope.freq_base", float32(s.RopeTheta))
	g.Float32("llama.attention.layer_norm_rms_epsilon", float32(s.NormEpsilon))
	g.Text("tokenizer.ggml.model", "gpt2")
	g.Text("tokenizer.ggml.pre", "smollm")
	g.Texts("tokenizer.ggml.tokens", "<e>", "<s>", "a", "b", "c", "d", "e", "f", "g", "h", "i", "ab")
	g.Int32s("tokenizer.ggml.token_type", 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	g.Texts("tokenizer.ggml.merges", "a b")
	g.Uint32("tokenizer.ggml.bos_token_id", 1)
	g.Uint32("tokenizer.ggml.eos_token_id", 0)
	g.Text("tokenizer.chat_template", "{{ bos_token }}")
	for _, name := range names(all) {
		w := all[name]
		data := w.Data
		fileName, heads := ggufName(name, s)
		if heads > 0 {
			data = permute(data, w.Shape[0], heads)
		}
		g.Tensor(fileName, ggufNumbers[w.Type], w.Shape, data)
	}
	return g
}

// ggufName translates a canonical name, and gives the number of heads if the rows are permuted.
func ggufName(name string, s model.Spec) (fileName string, heads int) {
	switch name {
	case "model.embed_tokens.weight":
		return "token_embd.weight", 0
	case "model.norm.weight":
		return "output_norm.weight", 0
	case "lm_head.weight":
		return "output.weight", 0
	}
	for part, to := range ggufNames {
		for layer := range s.Layers {
			for _, kind := range []string{"weight", "bias"} {
				if name != "model.layers."+string(rune('0'+layer))+"."+part+"."+kind {
					continue
				}
				heads := map[string]int{"attn_q": s.Heads, "attn_k": s.KVHeads}[to]
				return "blk." + string(rune('0'+layer)) + "." + to + "." + kind, heads
			}
		}
	}
	panic(name)
}

// permute is LlamaModel.permute of convert_hf_to_gguf.py, written from its reshape(heads, 2, half).swapaxes(1, 2).
func permute(data []byte, rows, heads int) []byte {
	width, half := len(data)/rows, rows/heads/2
	var out []byte
	for head := range heads {
		for i := range half {
			for j := range 2 {
				from := (head*2+j)*half + i
				out = append(out, data[from*width:(from+1)*width]...)
			}
		}
	}
	return out
}

// writeGGUF writes a GGUF file.
func writeGGUF(t *testing.T, g *filetest.GGUF) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, dir, "model.gguf", g.Bytes())
	return filepath.Join(dir, "model.gguf")
}

// float32s gives the bytes of values.
func float32s(values ...float64) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return b
}
