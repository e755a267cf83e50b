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
	BOSTokenID    *uint32      `json:"bos_token_id"`
	EOSTokenID    TokenIDs     `json:"eos_token_id"`
	PadTokenID    *uint32      `json:"pad_token_id"`
	ContextLength int          `json:"context_length"`
	VocabSize     int          `json:"vocab_size"`
	Decoder       genaiDecoder `json:"decoder"`

	Encoder   jsontext.Value `json:"encoder"`
	Embedding jsontext.Value `json:"embedding"`
	Vision    jsontext.Value `json:"vision"`
	Speech    jsontext.Value `json:"speech"`
}

// genaiDecoder is the decoder of a genai_config.json. Names of caches hold one %d for the layer.
type genaiDecoder struct {
	Filename      string         `json:"filename"`
	HeadSize      int            `json:"head_size"`
	HiddenSize    int            `json:"hidden_size"`
	Heads         int            `json:"num_attention_heads"`
	KVHeads       int            `json:"num_key_value_heads"`
	Layers        int            `json:"num_hidden_layers"`
	Pipeline      jsontext.Value `json:"pipeline"`
	SlidingWindow jsontext.Value `json:"sliding_window"`
	Inputs        struct {
		InputIDs      string `json:"input_ids"`
		AttentionMask string `json:"attention_mask"`
		PositionIDs   string `json:"position_ids"`
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
	DoSample          *bool    `json:"do_sample"`
	Temperature       *float64 `json:"temperature"`
	TopK              *int     `json:"top_k"`
	TopP              *float64 `json:"top_p"`
	RepetitionPenalty *float64 `json:"repetition_penalty"`
	NoRepeatNGramSize *int     `json:"no_repeat_ngram_size"`
	NumBeams          *int     `json:"num_beams"`
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
	err := errors.Join(
		checkLayerName("model.decoder.inputs.past_key_names", g.PastKey),
		checkLayerName("model.decoder.inputs.past_value_names", g.PastValue),
		checkLayerName("model.decoder.outputs.present_key_names", g.PresentKey),
		checkLayerName("model.decoder.outputs.present_value_names", g.PresentValue),
	)
	if err != nil {
		return Graph{}, fmt.Errorf("%s: %w", path, err)
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
