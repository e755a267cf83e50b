//go:build cgo

package builder

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/internal/filetest"
)

// noGGUF are cases that a GGUF's metadata can't tell; scripts/parity/cases.py says why.
var noGGUF = []string{ //nolint:gochecknoglobals // a table
	"mistral/window of 16", "qwen2/untied, a window from the second layer on, yarn", "smollm3/a list of layers",
	"gemma2/window of 16", "gemma3/window of 8 in two of three layers", "gemma3/linear scaling", "gpt2/untied, another width",
}

// TestArchitecturesGGUF is TestArchitectures on the same models as GGUF files. They are written here as
// convert_hf_to_gguf.py writes them, which `make test-architectures` runs itself.
func TestArchitecturesGGUF(t *testing.T) {
	env := environment(t)
	for name := range architectures() {
		for _, test := range architectureCases(t, filepath.Join("testdata", "architectures", name+".json")) {
			if slices.Contains(noGGUF, name+"/"+test.Name) {
				continue
			}
			t.Run(name+"/"+test.Name, func(t *testing.T) {
				src, err := model.OpenSource(test.writeGGUF(t, name))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := src.Close(); err != nil {
						t.Error(err)
					}
				}()
				test.check(t, env, src)
			})
		}
	}
}

// ggufParts are GGUF's names of the parts of tensors' names.
var ggufParts = map[string]string{ //nolint:gochecknoglobals // a table
	"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
	"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
	"gpt_neox.embed_in": "token_embd", "gpt_neox.final_layer_norm": "output_norm", "embed_out": "output",

	"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "pre_feedforward_layernorm": "ffn_norm",
	"post_feedforward_layernorm": "post_ffw_norm",
	"self_attn.q_proj":           "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
	"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	"ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up",
	"mlp.c_proj": "ffn_down", "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output",
	"mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down",
}

// ggufTensorName translates transformers' name of a tensor.
func ggufTensorName(architecture, name string) string {
	kind := name[strings.LastIndexByte(name, '.'):]
	name = strings.TrimSuffix(name, kind)
	prefix := ""
	for _, layers := range []string{"model.layers.", "transformer.h.", "gpt_neox.layers."} {
		if rest, ok := strings.CutPrefix(name, layers); ok {
			number, part, _ := strings.Cut(rest, ".")
			prefix, name = "blk."+number+".", part
		}
	}
	if name == "post_attention_layernorm" && slices.Contains([]string{"gemma2", "gemma3", "olmo2"}, architecture) {
		return prefix + "post_attention_norm" + kind
	}
	return prefix + ggufParts[name] + kind
}

// ggufConfig is what a GGUF's metadata is made of.
type ggufConfig struct {
	Hidden      int      `json:"hidden_size"`
	Width       int      `json:"intermediate_size"`
	Layers      int      `json:"num_hidden_layers"`
	Heads       int      `json:"num_attention_heads"`
	KVHeads     int      `json:"num_key_value_heads"`
	HeadSize    int      `json:"head_dim"`
	Context     int      `json:"max_position_embeddings"`
	GPTHidden   int      `json:"n_embd"`
	GPTLayers   int      `json:"n_layer"`
	GPTHeads    int      `json:"n_head"`
	GPTContext  int      `json:"n_positions"`
	RMSEpsilon  float32  `json:"rms_norm_eps"`
	Epsilon     float32  `json:"layer_norm_eps"`
	GPTEpsilon  float32  `json:"layer_norm_epsilon"`
	Window      *int     `json:"sliding_window"`
	ScoreCap    *float32 `json:"attn_logit_softcapping"`
	LogitCap    *float32 `json:"final_logit_softcapping"`
	Parallel    *bool    `json:"use_parallel_residual"`
	OriginalLen int      `json:"original_max_position_embeddings"`
	Rope        struct {
		ggufRope
		Full  *ggufRope `json:"full_attention"`
		Local *ggufRope `json:"sliding_attention"`
	} `json:"rope_parameters"`
}

type ggufRope struct {
	Type     string    `json:"rope_type"`
	Theta    float32   `json:"rope_theta"`
	Factor   float32   `json:"factor"`
	Original int       `json:"original_max_position_embeddings"`
	Partial  float64   `json:"partial_rotary_factor"`
	Short    []float32 `json:"short_factor"`
	Long     []float32 `json:"long_factor"`
}

// writeGGUF writes the case's model as a GGUF file.
func (c *architectureCase) writeGGUF(t *testing.T, architecture string) string {
	t.Helper()
	var config ggufConfig
	if err := json.Unmarshal(c.Config, &config); err != nil {
		t.Fatal(err)
	}
	config.Hidden, config.Layers = max(config.Hidden, config.GPTHidden), max(config.Layers, config.GPTLayers)
	config.Heads, config.Context = max(config.Heads, config.GPTHeads), max(config.Context, config.GPTContext)
	config.Epsilon = max(config.Epsilon, config.GPTEpsilon)
	if config.Width == 0 {
		config.Width = 4 * config.Hidden
	}
	g := &filetest.GGUF{}
	config.metadata(g, architecture)
	for _, name := range slices.Sorted(maps.Keys(c.Tensors)) {
		values, shape := config.stored(architecture, name, tinyWeights(name, c.Tensors[name]), c.Tensors[name])
		g.Tensor(ggufTensorName(architecture, name), 0, shape, float32Bytes(values))
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, g.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// metadata writes the metadata.
func (c *ggufConfig) metadata(g *filetest.GGUF, architecture string) {
	g.Text("general.architecture", architecture)
	size := func(key string, n int) { g.Uint32(architecture+"."+key, uint32(n)) }
	number := func(key string, x float32) { g.Float32(architecture+"."+key, x) }
	size("block_count", c.Layers)
	size("context_length", c.Context)
	size("embedding_length", c.Hidden)
	size("feed_forward_length", c.Width)
	size("attention.head_count", c.Heads)
	if c.KVHeads > 0 {
		size("attention.head_count_kv", c.KVHeads)
	}
	if c.RMSEpsilon > 0 {
		number("attention.layer_norm_rms_epsilon", c.RMSEpsilon)
	} else {
		number("attention.layer_norm_epsilon", c.Epsilon)
	}
	if c.HeadSize > 0 {
		size("attention.key_length", c.HeadSize)
		size("attention.value_length", c.HeadSize)
	}
	if c.Window != nil && slices.Contains([]string{"gemma2", "gemma3", "phi3"}, architecture) {
		size("attention.sliding_window", *c.Window)
	}
	if c.ScoreCap != nil {
		number("attn_logit_softcapping", *c.ScoreCap)
	}
	if c.LogitCap != nil {
		number("final_logit_softcapping", *c.LogitCap)
	}
	if c.Parallel != nil {
		g.Bool(architecture+".use_parallel_residual", *c.Parallel)
	}
	c.rope(g, architecture)
}

// rope writes the metadata and the tensors of rotary positions.
func (c *ggufConfig) rope(g *filetest.GGUF, architecture string) {
	r := c.Rope.ggufRope
	if c.Rope.Full != nil {
		r = *c.Rope.Full
		g.Float32(architecture+".rope.freq_base_swa", c.Rope.Local.Theta)
	}
	if r.Theta > 0 {
		g.Float32(architecture+".rope.freq_base", r.Theta)
	}
	if r.Partial > 0 {
		g.Uint32(architecture+".rope.dimension_count", uint32(r.Partial*float64(c.Hidden/c.Heads)))
	}
	switch r.Type {
	case "yarn":
		g.Text(architecture+".rope.scaling.type", "yarn")
		g.Float32(architecture+".rope.scaling.factor", r.Factor)
		g.Uint32(architecture+".rope.scaling.original_context_length", uint32(r.Original))
	case "llama3":
		g.Tensor("rope_freqs.weight", 0, []int{c.HeadSize / 2}, float32Bytes(r.llama3Divisors(c.HeadSize)))
	case "longrope":
		factor := math.Log(float64(c.Context)/float64(r.Original)) / math.Log(float64(r.Original))
		g.Text(architecture+".rope.scaling.type", "longrope")
		g.Uint32(architecture+".rope.scaling.original_context_length", uint32(r.Original))
		g.Float32(architecture+".rope.scaling.attn_factor", float32(math.Sqrt(1+factor)))
		g.Tensor("rope_factors_long.weight", 0, []int{len(r.Long)}, float32Bytes(r.Long))
		g.Tensor("rope_factors_short.weight", 0, []int{len(r.Short)}, float32Bytes(r.Short))
	}
}

// llama3Divisors is the loop of convert_hf_to_gguf.py's LlamaModel.generate_extra_tensors, for the only low and high factors
// of all models so far.
func (r ggufRope) llama3Divisors(headSize int) []float32 {
	const low, high = 1, 4
	divisors := make([]float32, headSize/2)
	for i := range divisors {
		wavelength := 2 * math.Pi * math.Pow(float64(r.Theta), float64(2*i)/float64(headSize))
		switch length := float64(r.Original); {
		case wavelength < length/high:
			divisors[i] = 1
		case wavelength > length/low:
			divisors[i] = r.Factor
		default:
			smooth := (length/wavelength - low) / (high - low)
			divisors[i] = float32(1 / ((1-smooth)/float64(r.Factor) + smooth))
		}
	}
	return divisors
}

// stored gives a tensor as convert_hf_to_gguf.py stores it.
func (c *ggufConfig) stored(architecture, name string, values []float32, shape []int) ([]float32, []int) {
	rows := shape[0]
	width := len(values) / rows
	order := func(from func(row int) int) []float32 {
		out := make([]float32, 0, len(values))
		for row := range rows {
			out = append(out, values[from(row)*width:][:width]...)
		}
		return out
	}
	switch {
	case strings.HasPrefix(architecture, "gemma") && strings.HasSuffix(name, "norm.weight"):
		out := slices.Clone(values)
		for i := range out {
			out[i]++
		}
		return out, shape
	case (architecture == "llama" || architecture == "smollm3") && (strings.Contains(name, "q_proj") || strings.Contains(name, "k_proj")):
		size := c.HeadSize
		if size == 0 {
			size = c.Hidden / c.Heads
		}
		// reshape(heads, 2, size/2).swapaxes(1, 2): value i of a half becomes number 2i or 2i+1.
		return order(func(row int) int { return row/size*size + row%2*size/2 + row%size/2 }), shape
	case architecture == "gpt2" && len(shape) == 2 && strings.Contains(name, ".c_"):
		out := make([]float32, len(values))
		for i := range rows {
			for j := range width {
				out[j*rows+i] = values[i*width+j]
			}
		}
		return out, []int{width, rows}
	case strings.Contains(name, "query_key_value"):
		size := c.Hidden / c.Heads
		return order(func(row int) int { // head by head becomes all queries, all keys, all values
			part, head, at := row/c.Hidden, row%c.Hidden/size, row%size
			return (head*3+part)*size + at
		}), shape
	}
	return values, shape
}

func float32Bytes(values []float32) []byte {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}
