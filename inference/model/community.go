package model

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The usual names of the caches of a graph, each with one %d for the layer.
const (
	pastKeyName      = "past_key_values.%d.key"
	pastValueName    = "past_key_values.%d.value"
	presentKeyName   = "present.%d.key"
	presentValueName = "present.%d.value"
)

// variants are the graphs of an onnx-community folder by the end of their names, the one that is taken first: exact
// weights before 8-bit and 4-bit ones, and those that need no 16-bit arithmetic before those that do.
func variants() []string {
	return []string{"", "_int8", "_quantized", "_uint8", "_q4", "_fp16", "_q4f16", "_bnb4"}
}

// communityConfig is the part of a config.json that says what a graph does not: the names are those of any family.
type communityConfig struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`
	VocabSize     int      `json:"vocab_size"`
	MaxPositions  int      `json:"max_position_embeddings"`
	NPositions    int      `json:"n_positions"`
	NCtx          int      `json:"n_ctx"`
	SeqLength     int      `json:"seq_length"`
	HiddenSize    int      `json:"hidden_size"`
	NEmbd         int      `json:"n_embd"`
	Heads         int      `json:"num_attention_heads"`
	NHead         int      `json:"n_head"`
	KVHeads       int      `json:"num_key_value_heads"`
	HeadDim       int      `json:"head_dim"`
	BOSTokenID    *uint32  `json:"bos_token_id"`
	EOSTokenID    TokenIDs `json:"eos_token_id"`
	PadTokenID    *uint32  `json:"pad_token_id"`
}

// findGraph finds the graph of an onnx-community folder, relative to it: that of the first variant, in the folder
// itself or in "onnx".
func findGraph(dir string) (string, error) {
	for _, variant := range variants() {
		for _, sub := range []string{"onnx", "."} {
			name := filepath.Join(sub, "model"+variant+".onnx")
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
				return name, nil
			}
		}
	}
	return "", unsupported(dir, "it has no onnx/model.onnx, nor another variant of it (model%s.onnx): models of several graphs are not supported",
		strings.Join(variants()[1:], ".onnx, model"))
}

// otherVariants lists the graphs beside the one that is taken, relative to dir.
func otherVariants(dir, taken string) []string {
	sub := filepath.Dir(taken)
	names, err := filepath.Glob(filepath.Join(dir, sub, "model*.onnx"))
	if err != nil {
		return nil // the folder's own name has a mark of Glob's in it
	}
	var others []string
	for _, name := range names {
		if name := filepath.Join(sub, filepath.Base(name)); name != taken {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return others
}

// openCommunity opens a folder of onnx-community; graph is the path of the graph in it.
func openCommunity(dir, graph string) (*Folder, error) {
	path := filepath.Join(dir, configName)
	var c communityConfig
	if err := readJSON(path, maxConfig, &c); errors.Is(err, fs.ErrNotExist) {
		return nil, unsupported(dir, "there is no %s beside the graph", configName)
	} else if err != nil {
		return nil, err
	}
	m, err := readMasked(filepath.Join(dir, graph), Graph{
		InputIDs: inputIDsName, Logits: logitsName, PastKey: pastKeyName, PastValue: pastValueName,
		PresentKey: presentKeyName, PresentValue: presentValueName,
		Masked: &MaskedGraph{AttentionMask: attentionMaskName, PositionIDs: positionIDsName, LogitsToKeep: logitsToKeepName},
	})
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: dir, Kind: KindCommunity, Others: otherVariants(dir, graph)}
	f.GenerationConfig, err = ReadGenerationConfig(dir)
	if errors.Is(err, fs.ErrNotExist) {
		f.GenerationConfig = GenerationConfig{BOSTokenID: c.BOSTokenID, EOSTokenIDs: c.EOSTokenID, PadTokenID: c.PadTokenID}
	} else if err != nil {
		return nil, err
	}
	hidden, heads := cmp.Or(c.HiddenSize, c.NEmbd), cmp.Or(c.Heads, c.NHead)
	f.Manifest = Manifest{
		Architecture: c.ModelType, HiddenSize: hidden, Heads: heads,
		ContextLength: cmp.Or(c.MaxPositions, c.NPositions, c.NCtx, c.SeqLength),
	}
	if f.Manifest.Architecture == "" && len(c.Architectures) > 0 {
		f.Manifest.Architecture = c.Architectures[0]
	}
	return f, f.finish(path, m, foreignSizes{
		vocabulary: c.VocabSize, kvHeads: cmp.Or(c.KVHeads, heads), headSize: cmp.Or(c.HeadDim, hidden/max(1, heads)),
	})
}
