package model

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluiceml/sluice/inference/model/gguf"
)

// ggufSource is a GGUF file of the architecture "llama".
type ggufSource struct {
	file  *gguf.File
	spec  Spec
	names map[string]string // canonical name → the file's
}

// openGGUF opens a GGUF file.
func openGGUF(path string) (Source, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := newGGUFSource(path, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// newGGUFSource reads the model of an opened file. The source owns the file only if there is no error.
func newGGUFSource(path string, file *gguf.File) (*ggufSource, error) {
	spec, err := ggufSpec(path, file)
	if err != nil {
		return nil, err
	}
	s := &ggufSource{file: file, spec: spec, names: map[string]string{}}
	for t := range file.Tensors() {
		if t.Name == ropeFactors {
			continue // the Spec has them as a RopeScaling
		}
		name, ok := canonicalName(t.Name, spec.Layers)
		if !ok {
			return nil, unsupported(path, "the tensor %q is no part of a Llama model", t.Name)
		}
		s.names[name] = t.Name
	}
	if err := checkGGUFWeights(path, s); err != nil {
		return nil, err
	}
	return s, nil
}

// checkGGUFWeights is checkWeights by the file's own shapes: Tensor would copy the permuted ones.
func checkGGUFWeights(path string, s *ggufSource) error {
	for _, want := range s.spec.Weights() {
		got, ok := s.file.Tensor(s.names[want.Name])
		if !ok {
			return fmt.Errorf("%s: the tensor %s is missing", path, want.Name)
		}
		if err := checkShape(path, got.Name, got.Shape, want.Shape); err != nil {
			return err
		}
	}
	return nil
}

// Spec implements Source.
func (s *ggufSource) Spec() Spec { return s.spec }

// Close implements Source.
func (s *ggufSource) Close() error {
	return s.file.Close()
}

// Tensor gives the file's bytes, but for query and key projections a copy in Hugging Face's order of rows.
func (s *ggufSource) Tensor(name string) (Tensor, bool) {
	t, ok := s.file.Tensor(s.names[name])
	if !ok {
		return Tensor{}, false
	}
	out := Tensor{Name: name, Shape: t.Shape, Type: t.Type, Data: t.Data}
	switch part := layerPart(name); part {
	case "self_attn.q_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.weight", "self_attn.k_proj.bias":
		out.Data = unpermute(t.Data, t.Shape[0], s.spec.HeadSize)
	}
	return out, true
}

// unpermute puts the rows of a query or key projection back into Hugging Face's order. llama.cpp rotates
// neighbouring values of a head and Hugging Face values half a head apart, so convert_hf_to_gguf.py interleaves the
// two halves of each head: its row 2i+j is row j·size/2+i here. Rows move whole, so blocks of weights survive. A
// bias is rows of one value.
func unpermute(data []byte, rows, headSize int) []byte {
	out := make([]byte, len(data))
	width := len(data) / rows
	for row := range rows {
		head, at := row/headSize*headSize, row%headSize
		from := head + at%(headSize/2)*2 + at/(headSize/2)
		copy(out[row*width:(row+1)*width], data[from*width:])
	}
	return out
}

// ropeFactors is the tensor by which a GGUF tells the rope scaling of Llama 3.1 and later.
const ropeFactors = "rope_freqs.weight"

// canonicalName translates a GGUF's name of a tensor. It knows no tensor of a layer that the model has not.
func canonicalName(name string, layers int) (string, bool) {
	switch name {
	case "token_embd.weight":
		return "model.embed_tokens.weight", true
	case "output_norm.weight":
		return "model.norm.weight", true
	case "output.weight":
		return "lm_head.weight", true
	}
	rest, ok := strings.CutPrefix(name, "blk.")
	if !ok {
		return "", false
	}
	number, rest, _ := strings.Cut(rest, ".")
	layer, err := strconv.Atoi(number)
	if err != nil || layer < 0 || layer >= layers || strconv.Itoa(layer) != number {
		return "", false
	}
	part, kind, _ := strings.Cut(rest, ".")
	if kind != "weight" && kind != "bias" {
		return "", false
	}
	canonical, ok := map[string]string{
		"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
		"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
		"attn_output": "self_attn.o_proj",
		"ffn_gate":    "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
	}[part]
	if !ok || kind == "bias" && strings.HasSuffix(canonical, "norm") {
		return "", false
	}
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, canonical, kind), true
}

// layerPart is what a canonical name says after its layer, empty for tensors of no layer.
func layerPart(name string) string {
	rest, ok := strings.CutPrefix(name, "model.layers.")
	if !ok {
		return ""
	}
	_, part, _ := strings.Cut(rest, ".")
	return part
}
