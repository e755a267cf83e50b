package model

import (
	"cmp"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"path/filepath"
)

// genaiConfigName is the file of an onnxruntime-genai folder that describes it.
const genaiConfigName = "genai_config.json"

// genaiConfig is the part of a genai_config.json that says how to run a decoder and when it ends.
type genaiConfig struct {
	Model  genaiModel  `json:"model"`
	Search genaiSearch `json:"search"`
}

// genaiModel is the model of a genai_config.json. What stands for a model that is more than one decoder is kept as it
// is, to be refused.
type genaiModel struct {
	Type          string       `json:"type"`
	BOSTokenID    *uint32      `json:"bos_token_id,omitzero"`
	EOSTokenID    TokenIDs     `json:"eos_token_id"`
	PadTokenID    *uint32      `json:"pad_token_id,omitzero"`
	ContextLength int          `json:"context_length"`
	VocabSize     int          `json:"vocab_size"`
	Decoder       genaiDecoder `json:"decoder"`

	Encoder   jsontext.Value `json:"encoder,omitzero"`
	Embedding jsontext.Value `json:"embedding,omitzero"`
	Vision    jsontext.Value `json:"vision,omitzero"`
	Speech    jsontext.Value `json:"speech,omitzero"`
}

// genaiDecoder is the decoder of a genai_config.json. Names of caches hold one %d for the layer.
type genaiDecoder struct {
	Filename      string         `json:"filename"`
	HeadSize      int            `json:"head_size"`
	HiddenSize    int            `json:"hidden_size"`
	Heads         int            `json:"num_attention_heads"`
	KVHeads       int            `json:"num_key_value_heads"`
	Layers        int            `json:"num_hidden_layers"`
	Options       jsontext.Value `json:"session_options,omitzero"` // of ONNX Runtime; ours are in place of them
	Pipeline      jsontext.Value `json:"pipeline,omitzero"`
	SlidingWindow jsontext.Value `json:"sliding_window,omitzero"`
	Inputs        struct {
		InputIDs      string `json:"input_ids"`
		AttentionMask string `json:"attention_mask"`
		PositionIDs   string `json:"position_ids,omitzero"`
		PastKeys      string `json:"past_key_names"`
		PastValues    string `json:"past_value_names"`
	} `json:"inputs"`
	Outputs struct {
		Logits        string `json:"logits"`
		PresentKeys   string `json:"present_key_names"`
		PresentValues string `json:"present_value_names"`
	} `json:"outputs"`
}

// genaiSearch is how onnxruntime-genai draws tokens unless it is told otherwise.
type genaiSearch struct {
	DoSample          *bool    `json:"do_sample,omitzero"`
	Temperature       *float64 `json:"temperature,omitzero"`
	TopK              *int     `json:"top_k,omitzero"`
	TopP              *float64 `json:"top_p,omitzero"`
	RepetitionPenalty *float64 `json:"repetition_penalty,omitzero"`
	NoRepeatNGramSize *int     `json:"no_repeat_ngram_size,omitzero"`
	NumBeams          *int     `json:"num_beams,omitzero"`

	// For onnxruntime-genai alone: a folder that Sluice writes has them.
	MaxLength int  `json:"max_length,omitzero"`
	Share     bool `json:"past_present_share_buffer,omitzero"`
}

// openGenAI opens a folder of onnxruntime-genai.
func openGenAI(dir string) (*Folder, error) {
	path := filepath.Join(dir, genaiConfigName)
	var c genaiConfig
	if err := readJSON(path, maxConfig, &c); err != nil {
		return nil, err
	}
	names, err := c.names(path)
	if err != nil {
		return nil, err
	}
	m, err := readMasked(filepath.Join(dir, filepath.FromSlash(c.Model.Decoder.Filename)), names)
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: dir, Kind: KindGenAI, GenerationConfig: c.generation()}
	if err := f.GenerationConfig.validate(path); err != nil {
		return nil, err
	}
	d := c.Model.Decoder
	f.Manifest = Manifest{
		Architecture: c.Model.Type, HiddenSize: d.HiddenSize, Heads: d.Heads,
		VocabSize: c.Model.VocabSize, ContextLength: c.Model.ContextLength,
	}
	return f, f.finish(path, m, foreignSizes{vocabulary: c.Model.VocabSize, kvHeads: d.KVHeads, headSize: d.HeadSize})
}

// names checks the configuration and gives the names of the graph's inputs and outputs.
func (c genaiConfig) names(path string) (Graph, error) {
	refuse := func(format string, args ...any) (Graph, error) { return Graph{}, unsupported(path, format, args...) }
	d := c.Model.Decoder
	for _, part := range []struct {
		name  string
		value jsontext.Value
	}{
		{"encoder", c.Model.Encoder},
		{"embedding", c.Model.Embedding},
		{"vision", c.Model.Vision},
		{"speech", c.Model.Speech},
		{"decoder.pipeline", d.Pipeline},
		{"decoder.sliding_window", d.SlidingWindow},
	} {
		if holds(part.value) && string(part.value) != "{}" {
			return refuse("a model with a %s is not supported", part.name)
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(d.Filename)) {
		return Graph{}, &FieldError{Path: path, Field: "model.decoder.filename", Err: fmt.Errorf("%.80q is not the name of a file in the folder", d.Filename)}
	}
	g := Graph{
		InputIDs:  cmp.Or(d.Inputs.InputIDs, inputIDsName),
		Logits:    cmp.Or(d.Outputs.Logits, logitsName),
		PastKey:   cmp.Or(d.Inputs.PastKeys, pastKeyName),
		PastValue: cmp.Or(d.Inputs.PastValues, pastValueName), PresentKey: cmp.Or(d.Outputs.PresentKeys, presentKeyName),
		PresentValue: cmp.Or(d.Outputs.PresentValues, presentValueName),
		Masked: &MaskedGraph{
			AttentionMask: cmp.Or(d.Inputs.AttentionMask, attentionMaskName),
			PositionIDs:   cmp.Or(d.Inputs.PositionIDs, positionIDsName),
			LogitsToKeep:  logitsToKeepName,
		},
	}
	for _, name := range []named{
		{"inputs.past_key_names", g.PastKey},
		{"inputs.past_value_names", g.PastValue},
		{"outputs.present_key_names", g.PresentKey},
		{"outputs.present_value_names", g.PresentValue},
	} {
		if !isLayerName(name.value) {
			return Graph{}, &FieldError{Path: path, Field: "model.decoder." + name.field, Err: errors.New("it must hold one %d for the layer")}
		}
	}
	return g, nil
}

// generation gives what the configuration says of drawing tokens. Several beams are named as having no effect.
func (c genaiConfig) generation() GenerationConfig {
	s := c.Search
	return GenerationConfig{
		BOSTokenID: c.Model.BOSTokenID, EOSTokenIDs: c.Model.EOSTokenID, PadTokenID: c.Model.PadTokenID,
		DoSample: s.DoSample, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, RepetitionPenalty: s.RepetitionPenalty,
		NoRepeatNGramSize: s.NoRepeatNGramSize, NumBeams: s.NumBeams,
	}
}

// WriteGenAI writes the genai_config.json by which onnxruntime-genai loads the folder dir, whose graph is a masked one.
func (m Manifest) WriteGenAI(dir string, g GenerationConfig) error {
	if m.Graph.Masked == nil {
		return errors.New("the graph has not the inputs and outputs of onnxruntime-genai")
	}
	var c genaiConfig
	c.Model = genaiModel{
		Type: genaiType(m.Architecture), BOSTokenID: g.BOSTokenID, EOSTokenID: g.EOSTokenIDs, PadTokenID: g.PadTokenID,
		ContextLength: m.ContextLength, VocabSize: m.VocabSize,
		Decoder: genaiDecoder{
			Filename: m.Graph.File, HeadSize: m.HeadSize, HiddenSize: m.HiddenSize, Heads: m.Heads, KVHeads: m.KVHeads,
			Layers: m.Layers, Options: jsontext.Value(`{"provider_options":[]}`),
		},
	}
	if len(g.EOSTokenIDs) > 0 && c.Model.PadTokenID == nil {
		c.Model.PadTokenID = &g.EOSTokenIDs[0] // it must be there, and is never seen
	}
	in, out := &c.Model.Decoder.Inputs, &c.Model.Decoder.Outputs
	in.InputIDs, in.AttentionMask, in.PositionIDs = m.Graph.InputIDs, m.Graph.Masked.AttentionMask, m.Graph.Masked.PositionIDs
	in.PastKeys, in.PastValues = m.Graph.PastKey, m.Graph.PastValue
	out.Logits, out.PresentKeys, out.PresentValues = m.Graph.Logits, m.Graph.PresentKey, m.Graph.PresentValue
	c.Search = genaiSearch{
		DoSample: g.DoSample, Temperature: g.Temperature, TopK: g.TopK, TopP: g.TopP, RepetitionPenalty: g.RepetitionPenalty,
		NoRepeatNGramSize: g.NoRepeatNGramSize, MaxLength: m.ContextLength, Share: m.Graph.Masked.Shared,
	}
	data, err := encodeJSON(c)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, genaiConfigName), data)
}

// genaiType is onnxruntime-genai's name of an architecture: of those that it knows as plain decoders, which differ in
// name only, "decoder" stands for all others.
func genaiType(architecture string) string {
	switch architecture {
	case "llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3", "smollm3":
		return architecture
	default:
		return "decoder"
	}
}
