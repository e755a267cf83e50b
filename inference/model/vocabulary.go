package model

import (
	"fmt"
	"math"
	"strings"

	"github.com/sluiceml/sluice/inference/model/gguf"
)

// Vocabulary is the tokenizer of a GGUF file as plain values: what package tokenizer makes a tokenizer of.
type Vocabulary struct {
	Model  string    // "gpt2": byte-level BPE; "llama": SentencePiece; …
	Pre    string    // llama.cpp's name of the pre-tokenizer, such as "smollm"; "": not said
	Tokens []string  // by id
	Types  []int32   // GGML's type of each token (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte); nil: not said
	Scores []float32 // of SentencePiece's tokens; nil: not said
	Merges []string  // "left right", best first; nil: none

	BOS, EOS, EOT, UNK, PAD *uint32 // ids of special tokens; nil: none
	AddBOS, AddEOS          bool    // whether encoding adds them
	AddSpacePrefix          bool    // whether encoding puts a space before the text
}

// text gives the token of an id, "" for nil.
func (v *Vocabulary) text(id *uint32) string {
	if id == nil {
		return ""
	}
	return v.Tokens[*id] // readVocabulary has checked it
}

// ggufAssets reads what lies around the weights of a GGUF file.
func ggufAssets(path string, file *gguf.File) (Assets, error) {
	m := &metadata{path: path, file: file}
	v := m.vocabulary()
	a := Assets{
		Name: m.text("general.name", ""), License: m.text("general.license", ""), Vocabulary: v,
		ChatTemplate: m.text("tokenizer.chat_template", ""),
	}
	if m.err != nil {
		return Assets{}, m.err
	}
	for key := range file.Keys() { // tokenizer.chat_template.NAME
		if name, ok := strings.CutPrefix(key, "tokenizer.chat_template."); ok && name != "" {
			if a.ChatTemplates == nil {
				a.ChatTemplates = map[string]string{}
			}
			a.ChatTemplates[name] = m.text(key, "")
		}
	}
	if m.err != nil {
		return Assets{}, m.err
	}
	a.BOSToken, a.EOSToken = v.text(v.BOS), v.text(v.EOS)
	a.GenerationConfig, a.Pooling = m.generationConfig(v), m.ggufPooling()
	if m.err != nil {
		return Assets{}, m.err
	}
	return a, a.GenerationConfig.validate(path)
}

// generationConfig makes a generation config of the vocabulary's end tokens and the sampling that the file
// recommends.
func (m *metadata) generationConfig(v *Vocabulary) GenerationConfig {
	c := GenerationConfig{BOSTokenID: v.BOS, PadTokenID: v.PAD}
	if v.EOS != nil {
		c.EOSTokenIDs = append(c.EOSTokenIDs, *v.EOS)
	}
	if v.EOT != nil && (v.EOS == nil || *v.EOT != *v.EOS) { // the end of a turn, where it is another token
		c.EOSTokenIDs = append(c.EOSTokenIDs, *v.EOT)
	}
	number := func(key string) *float64 {
		if _, ok := m.file.Value(key); !ok {
			return nil
		}
		x := m.float(key, 0)
		return &x
	}
	c.Temperature = number("general.sampling.temp")
	c.TopP = number("general.sampling.top_p")
	c.MinP = number("general.sampling.min_p")
	c.RepetitionPenalty = number("general.sampling.penalty_repeat")
	if _, ok := m.file.Value("general.sampling.top_k"); ok {
		n := m.sizeOr("general.sampling.top_k", 0)
		c.TopK = &n
	}
	return c
}

// vocabulary reads the tokenizer.ggml values. It is never nil.
func (m *metadata) vocabulary() *Vocabulary {
	const prefix = "tokenizer.ggml."
	v := &Vocabulary{
		Model: m.text(prefix+"model", ""), Pre: m.text(prefix+"pre", ""),
		BOS: m.id(prefix + "bos_token_id"), EOS: m.id(prefix + "eos_token_id"), EOT: m.id(prefix + "eot_token_id"),
		UNK: m.id(prefix + "unknown_token_id"), PAD: m.id(prefix + "padding_token_id"),
	}
	sentencePiece := v.Model == "llama"
	v.AddBOS = m.bool(prefix+"add_bos_token", sentencePiece || addsBOS(v.Pre))
	v.AddEOS = m.bool(prefix+"add_eos_token", false)
	v.AddSpacePrefix = m.bool(prefix+"add_space_prefix", sentencePiece)
	v.Tokens, _ = read(m, prefix+"tokens", gguf.Value.Texts)
	v.Types, _ = read(m, prefix+"token_type", int32s)
	v.Scores, _ = read(m, prefix+"scores", gguf.Value.Floats)
	v.Merges, _ = read(m, prefix+"merges", gguf.Value.Texts)
	if m.err == nil && (v.Model == "" || len(v.Tokens) == 0) {
		m.err = m.missing(prefix + "model and " + prefix + "tokens")
	}
	m.perToken(prefix+"token_type", len(v.Types), len(v.Tokens))
	m.perToken(prefix+"scores", len(v.Scores), len(v.Tokens))
	for _, special := range []struct {
		key string
		id  *uint32
	}{{"bos", v.BOS}, {"eos", v.EOS}, {"eot", v.EOT}, {"unknown", v.UNK}, {"padding", v.PAD}} {
		if id := special.id; id != nil && int64(*id) >= int64(len(v.Tokens)) {
			m.fail(prefix+special.key+"_token_id", fmt.Errorf("%d is not in the vocabulary of %d", *id, len(v.Tokens)))
		}
	}
	return v
}

// addsBOS reports whether llama.cpp adds the first token for a byte-level pre-tokenizer when the file does not say.
func addsBOS(pre string) bool {
	switch pre {
	case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2":
		return true
	default:
		return false
	}
}

// perToken notes that an array has not one element for each token.
func (m *metadata) perToken(key string, n, tokens int) {
	if n != 0 && n != tokens {
		m.fail(key, fmt.Errorf("%d values for %d tokens", n, tokens))
	}
}

// int32s gives an array of integers that fit an int32.
func int32s(v gguf.Value) ([]int32, error) {
	all, err := v.Ints()
	if err != nil {
		return nil, err
	}
	out := make([]int32, len(all))
	for i, n := range all {
		if n < math.MinInt32 || n > math.MaxInt32 {
			return nil, fmt.Errorf("%d is out of range", n)
		}
		out[i] = int32(n)
	}
	return out, nil
}
