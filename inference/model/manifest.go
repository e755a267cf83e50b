package model

import (
	"bytes"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ManifestName is the file of a Sluice folder that describes it.
const ManifestName = "sluice.json"

// manifestFormat is the version of the manifest that this package writes, and the newest that it reads.
const manifestFormat = 1

// Manifest is what sluice.json says: how a folder was made, and what its graph takes and gives. It holds no time and
// no path, so that the same source and options give the same bytes.
type Manifest struct {
	Format       int    `json:"format"`       // manifestFormat
	ToolVersion  string `json:"tool_version"` // of the sluice that wrote it
	Name         string `json:"name,omitzero"`
	Architecture string `json:"architecture"` // "llama"

	VocabSize        int `json:"vocab_size"`
	HiddenSize       int `json:"hidden_size"`
	IntermediateSize int `json:"intermediate_size"`
	Layers           int `json:"layers"`
	Heads            int `json:"heads"`
	KVHeads          int `json:"kv_heads"`
	HeadSize         int `json:"head_size"`
	ContextLength    int `json:"context_length"` // tokens that the model was made for

	Pooling string `json:"pooling,omitzero"` // by which it was trained to give embeddings: PoolingMean, …; "": it was not

	Quantization string            `json:"quantization"` // the --quantize that made the graph
	Options      map[string]string `json:"options,omitempty"`
	Source       Origin            `json:"source"`
	Graph        Graph             `json:"graph"`
}

// Origin says which checkpoint a folder was made from.
type Origin struct {
	Format  string `json:"format"` // "gguf" or "safetensors"
	License string `json:"license,omitzero"`

	// Of a checkpoint that was named on a hub: owner/name, and the commit.
	Repository string `json:"repository,omitzero"`
	Revision   string `json:"revision,omitzero"`

	Files []OriginFile `json:"files"` // sorted by name
}

// OriginFile is a file of a checkpoint.
type OriginFile struct {
	Name   string `json:"name"` // without its folder
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // lower-case hexadecimal
}

// Graph describes the ONNX graph of a folder: its files, and the names, types and shapes of what it takes and gives.
// B is the number of rows of a step, S the tokens of each, n the positions whose logits are wanted, L the length of
// the key and value buffers, V the vocabulary size.
type Graph struct {
	File string `json:"file"`          // "model.onnx"
	Data string `json:"data,omitzero"` // the file of its weights, "" if they are in File

	InputIDs            string `json:"input_ids"`                      // int64 [B, S]
	SeqlensK            string `json:"seqlens_k,omitzero"`             // int32 [B]: length of each row after the step, less 1
	TotalSequenceLength string `json:"total_sequence_length,omitzero"` // int32 scalar: the longest row after the step
	LogitsIndices       string `json:"logits_indices,omitzero"`        // int64 [n]: indices into the B·S positions
	Logits              string `json:"logits"`                         // float32 [n, V]

	// The buffers, [B, KVHeads, L, HeadSize]; each name has one %d for the layer.
	PastKey      string `json:"past_key"`
	PastValue    string `json:"past_value"`
	PresentKey   string `json:"present_key"`
	PresentValue string `json:"present_value"`
	KVType       string `json:"kv_type"` // "float32", "int8" in a hybrid graph, or "float16" in a masked one

	Hybrid *HybridGraph `json:"hybrid,omitzero"` // nil: a graph that takes decode rows or a chunk
	Masked *MaskedGraph `json:"masked,omitzero"` // nil: a graph with the inputs and outputs that Sluice's own have

	Layers    int `json:"layers"`
	KVHeads   int `json:"kv_heads"`
	HeadSize  int `json:"head_size"`
	VocabSize int `json:"vocab_size"`
}

// HybridGraph describes what a graph has more that takes decode rows and a chunk of a prompt in one step, each with
// keys and values of its own: the rows' are 8-bit numbers, the chunk's float32. The steps' tokens are one list, the rows'
// first. InputIDs is [T] then, with T = B·R + S: R tokens for each of B rows, and S of the chunk. Neither part may be
// empty. That is the graph of the folder: where there are kernels, inference/ort makes another of it, with one cache for both.
type HybridGraph struct {
	Split     string `json:"split"`      // int64 [2]: B·R and S
	RowsShape string `json:"rows_shape"` // int64 [3]: B, R, and the width of queries, keys and values together

	SeqlensK            string `json:"chunk_seqlens_k"`             // int32 [1]: as the rows', of the chunk
	TotalSequenceLength string `json:"chunk_total_sequence_length"` // int32 scalar

	// The chunk's buffers, float32 [1, KVHeads, L, HeadSize]; each name has one %d for the layer.
	PastKey      string `json:"chunk_past_key"`
	PastValue    string `json:"chunk_past_value"`
	PresentKey   string `json:"chunk_present_key"`
	PresentValue string `json:"chunk_present_value"`

	// ScalesOffset is where in the data file the scales of the 8-bit keys and values lie: for each layer KVHeads·HeadSize
	// float32 of its keys, then as many of its values. A value is its scale times its code.
	ScalesOffset int64 `json:"scales_offset"`
	QKVWidth     int   `json:"qkv_width"` // the last number of RowsShape
}

// DefaultHybrid gives the names that Sluice's own builder uses.
func DefaultHybrid(s Spec) *HybridGraph {
	return &HybridGraph{
		Split: "split", RowsShape: "rows_shape",
		SeqlensK: "chunk_seqlens_k", TotalSequenceLength: "chunk_total_sequence_length",
		PastKey: "chunk_past_key_values.%d.key", PastValue: "chunk_past_key_values.%d.value",
		PresentKey: "chunk_present.%d.key", PresentValue: "chunk_present.%d.value",
		QKVWidth: (s.Heads + 2*s.KVHeads) * s.HeadSize,
	}
}

// NewManifest fills a manifest with what a Spec says. The writer of the graph adds Quantization, Options, Source and
// Graph, which begins as DefaultGraph.
func NewManifest(s Spec, toolVersion string) Manifest {
	return Manifest{
		Format: manifestFormat, ToolVersion: toolVersion, Architecture: s.Architecture,
		VocabSize: s.VocabSize, HiddenSize: s.HiddenSize, IntermediateSize: s.IntermediateSize,
		Layers: s.Layers, Heads: s.Heads, KVHeads: s.KVHeads, HeadSize: s.HeadSize, ContextLength: s.ContextLength,
		Graph: DefaultGraph(s),
	}
}

// DefaultGraph gives the names that Sluice's own builder uses.
func DefaultGraph(s Spec) Graph {
	return Graph{
		File: "model.onnx", Data: "model.onnx.data",
		InputIDs: "input_ids", SeqlensK: "seqlens_k", TotalSequenceLength: "total_sequence_length",
		LogitsIndices: "logits_idx", Logits: "logits",
		PastKey: "past_key_values.%d.key", PastValue: "past_key_values.%d.value",
		PresentKey: "present.%d.key", PresentValue: "present.%d.value", KVType: "float32",
		Layers: s.Layers, KVHeads: s.KVHeads, HeadSize: s.HeadSize, VocabSize: s.VocabSize,
	}
}

// Encode gives the manifest's JSON text: the same bytes for the same values.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	return encodeJSON(m)
}

// Write writes dir/sluice.json.
func (m Manifest) Write(dir string) error {
	data, err := m.Encode()
	if err != nil {
		return fmt.Errorf("write %s: %w", ManifestName, err)
	}
	return writeFile(filepath.Join(dir, ManifestName), data)
}

// ReadManifest reads dir/sluice.json and checks it. A folder without one gives an error for which
// errors.Is(err, fs.ErrNotExist).
func ReadManifest(dir string) (Manifest, error) {
	path := filepath.Join(dir, ManifestName)
	data, err := readFile(path, maxConfig)
	if err != nil {
		return Manifest{}, err
	}
	return parseManifest(path, data)
}

// parseManifest reads the text of the manifest at path. The version comes first: a newer one may mean other things
// by the same fields.
func parseManifest(path string, data []byte) (Manifest, error) {
	var version struct {
		Format *int `json:"format"`
	}
	if err := parseJSON(path, data, &version); err != nil {
		return Manifest{}, err
	}
	if version.Format == nil {
		return Manifest{}, &FieldError{Path: path, Field: "format", Err: errMissing}
	}
	if *version.Format > manifestFormat {
		return Manifest{}, unsupported(path, "its format is %d, this sluice knows %d at most: use a newer sluice",
			*version.Format, manifestFormat)
	}
	var m Manifest
	if err := parseJSON(path, data, &m); err != nil {
		return Manifest{}, err
	}
	if err := m.validate(); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// validate says what in the manifest is missing or out of range: every fault, joined.
func (m Manifest) validate() error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...)))
	}
	if m.Format != manifestFormat {
		fault("format", "it is %d, not %d", m.Format, manifestFormat)
	}
	if m.Pooling != "" && !isPooling(m.Pooling) {
		fault("pooling", "%.40q is none of mean, last and cls", m.Pooling)
	}
	if m.Architecture == "" {
		fault("architecture", "%w", errMissing)
	}
	for _, size := range []struct {
		field string
		n     int
	}{
		{"vocab_size", m.VocabSize},
		{"hidden_size", m.HiddenSize},
		{"intermediate_size", m.IntermediateSize},
		{"layers", m.Layers},
		{"heads", m.Heads},
		{"kv_heads", m.KVHeads},
		{"head_size", m.HeadSize},
		{"context_length", m.ContextLength},
		{"graph.vocab_size", m.Graph.VocabSize},
		{"graph.layers", m.Graph.Layers},
		{"graph.kv_heads", m.Graph.KVHeads},
		{"graph.head_size", m.Graph.HeadSize},
	} {
		if size.n < 1 || size.n > maxSize {
			fault(size.field, "%d is not from 1 to %d", size.n, maxSize)
		}
	}
	if m.Layers > maxLayers || m.Graph.Layers > maxLayers {
		fault("layers", "over the limit of %d", maxLayers)
	}
	return errors.Join(append(faults, m.Graph.validate())...)
}

// named is a field of a graph.
type named struct{ field, value string }

// validate says what in the graph is missing or wrong.
func (g Graph) validate() error {
	var faults []error
	fault := func(field, reason string) { faults = append(faults, fmt.Errorf("graph.%s: %s", field, reason)) }
	plain := []named{{"input_ids", g.InputIDs}, {"logits", g.Logits}}
	if g.Masked == nil {
		plain = append(plain, named{"seqlens_k", g.SeqlensK}, named{"total_sequence_length", g.TotalSequenceLength},
			named{"logits_indices", g.LogitsIndices})
	} else {
		g.Masked.validate(g.KVType, fault)
		if g.Hybrid != nil {
			fault("masked", "it cannot be hybrid too")
		}
	}
	layered := []named{
		{"past_key", g.PastKey},
		{"past_value", g.PastValue},
		{"present_key", g.PresentKey},
		{"present_value", g.PresentValue},
	}
	kv := "float32"
	if h := g.Hybrid; h != nil {
		kv = "int8"
		plain = append(plain, named{"hybrid.split", h.Split}, named{"hybrid.rows_shape", h.RowsShape},
			named{"hybrid.chunk_seqlens_k", h.SeqlensK}, named{"hybrid.chunk_total_sequence_length", h.TotalSequenceLength})
		layered = append(layered, named{"hybrid.chunk_past_key", h.PastKey}, named{"hybrid.chunk_past_value", h.PastValue},
			named{"hybrid.chunk_present_key", h.PresentKey}, named{"hybrid.chunk_present_value", h.PresentValue})
		if h.QKVWidth < 1 || h.QKVWidth > maxSize {
			fault("hybrid.qkv_width", fmt.Sprintf("%d is not from 1 to %d", h.QKVWidth, maxSize))
		}
		if h.ScalesOffset < 0 || g.Data == "" {
			fault("hybrid.scales_offset", "there is no such place in a data file")
		}
	}
	for _, name := range plain {
		if name.value == "" {
			fault(name.field, errMissing.Error())
		}
	}
	for _, name := range layered {
		if !isLayerName(name.value) {
			fault(name.field, "it must hold one %d for the layer")
		}
	}
	if g.KVType != kv && g.Masked == nil {
		fault("kv_type", fmt.Sprintf("%.20q is not supported in this kind of graph, only %q is", g.KVType, kv))
	}
	for _, file := range []struct{ field, value string }{{"file", g.File}, {"data", g.Data}} {
		if file.value == "" && file.field == "data" {
			continue
		}
		if !isBase(file.value) {
			fault(file.field, fmt.Sprintf("%.80q is not the name of a file in the folder", file.value))
		}
	}
	return errors.Join(faults...)
}

// isBase reports whether name is a file's name without a folder: a path could reach any file of the system.
func isBase(name string) bool {
	return name != "" && name != "." && name != ".." && name == filepath.Base(name) && !strings.ContainsAny(name, "/\\\x00")
}

// encodeJSON gives v as indented JSON with a final newline: the same bytes for the same values.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := json.MarshalWrite(&b, v, json.Deterministic(true), jsontext.WithIndent("  ")); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// writeFile writes a file that everyone may read.
func writeFile(path string, data []byte) error {
	return os.WriteFile(path, data, 0o644) //nolint:gosec // a model is no secret; os names the path
}
