package model

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluiceml/sluice/inference/model/gguf"
)

// ggufSource is a GGUF file.
type ggufSource struct {
	file    *gguf.File
	spec    Spec
	weights map[string]storedWeight // by canonical name
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
	a, _ := architectureNamed(spec.Architecture)
	s := &ggufSource{file: file, spec: spec, weights: map[string]storedWeight{}}
	used := map[string]bool{ropeFactors: true, longFactors: true, shortFactors: true} // the Spec has them as a RopeScaling
	all := spec.Weights()
	for _, w := range all {
		p := s.place(&a, w.Name)
		s.weights[w.Name] = storedWeight{place: p, shape: w.Shape}
		used[p.name] = true
	}
	for t := range file.Tensors() {
		if !used[t.Name] {
			return nil, unsupported(path, "the tensor %q is no part of a %s", t.Name, a.class)
		}
	}
	for _, w := range all {
		at := s.weights[w.Name]
		got, ok := file.Tensor(at.name)
		if !ok {
			return nil, fmt.Errorf("%s: the tensor %s is missing", path, w.Name)
		}
		if err := checkShape(path, got.Name, got.Shape, at.place.shape(w.Shape)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Spec implements Source.
func (s *ggufSource) Spec() Spec { return s.spec }

// Close implements Source.
func (s *ggufSource) Close() error {
	return s.file.Close()
}

// Tensor gives the file's bytes, or a copy of rows that lie in another order.
func (s *ggufSource) Tensor(name string) (Tensor, bool) {
	at, ok := s.weights[name]
	if !ok {
		return Tensor{}, false
	}
	t, ok := s.file.Tensor(at.name)
	if !ok {
		return Tensor{}, false
	}
	return at.take(name, Tensor{Shape: t.Shape, Type: t.Type, Data: t.Data}, at.shape), true
}

// place says where a weight lies.
func (s *ggufSource) place(a *architecture, name string) place {
	p := place{name: a.ggufName(name)}
	prefix, part := layerPart(name)
	projection, kind, _ := strings.Cut(strings.TrimPrefix(part, "self_attn."), ".")
	if first, rows, ok := attentionPart(&s.spec, projection); ok {
		// The three may lie on top of each other.
		fused := strings.Replace(prefix, "model.layers.", "blk.", 1) + "attn_qkv." + kind
		if _, ok := s.file.Tensor(fused); ok {
			p = place{name: fused, rows: rows, first: first}
		}
	}
	if a.ggufStored != nil {
		p = a.ggufStored(&s.spec, name, p)
	}
	return p
}

// unpermute is the order of the rows of a query or key projection. llama.cpp rotates neighbouring values of a head and
// Hugging Face values half a head apart, so of some architectures convert_hf_to_gguf.py interleaves the two halves of
// each head: its row 2i+j is row j·size/2+i here. Rows move whole, so blocks of weights survive. A bias is rows of one
// value.
func unpermute(s *Spec, name string, p place) place {
	_, part := layerPart(name)
	if strings.HasPrefix(part, "self_attn.q_proj.") || strings.HasPrefix(part, "self_attn.k_proj.") {
		size := s.HeadSize
		p.order = func(row int) int {
			head, at := row/size*size, row%size
			return head + at%(size/2)*2 + at/(size/2)
		}
	}
	return p
}

// ggufParts are a GGUF's names of a layer's parts.
func ggufParts() map[string]string {
	return map[string]string{
		"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
		"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
		"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "self_attn.o_proj": "attn_output",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	}
}

// normsAfter are the names of the norms of layers that have some after attention and the feed-forward layer.
func normsAfter() map[string]string {
	return map[string]string{
		"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
		"post_feedforward_layernorm": "post_ffw_norm",
	}
}

// ggufName translates a canonical name.
func (a *architecture) ggufName(name string) string {
	prefix, part := layerPart(name)
	if prefix == "" {
		name, kind, _ := strings.CutLast(name, ".")
		return map[string]string{
			"model.embed_tokens": "token_embd", "model.embed_positions": "position_embd", finalNorm: "output_norm",
			"lm_head": "output",
		}[name] + "." + kind
	}
	part, kind, _ := strings.CutLast(part, ".")
	to, ok := a.parts[part]
	if !ok {
		to = ggufParts()[part]
	}
	return strings.Replace(prefix, "model.layers.", "blk.", 1) + to + "." + kind
}
