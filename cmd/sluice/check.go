package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/sluiceml/sluice/cmd/sluice/internal/models"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

type checkCmd struct {
	Path string `arg:"" help:"Model folder, GGUF file or Hugging Face checkpoint." placeholder:"DIR"`
	JSON bool   `help:"Print one JSON object." name:"json"`
}

// Help implements kong.HelpProvider.
func (checkCmd) Help() string {
	return `Says what the path is, how sluice serve would run it or what sluice convert could make of it, or else why neither can.
The exit code is 0 if the model can be served or converted, and 1 if not. Needs no ONNX Runtime.

Examples:

  sluice check models/small
  sluice check ./Phi-3-mini-4k-instruct-onnx
  sluice check ./SmolLM2-135M-ONNX/onnx/model_q4.onnx
  sluice check SmolLM2-135M-Instruct.Q4_1.gguf --json | jq .use`
}

// errUnusable ends check with a failure after its report is printed.
var errUnusable = errors.New("the model can be neither served nor converted")

// Run describes a model.
func (c *checkCmd) Run(p *process) error {
	report, err := model.Inspect(c.Path)
	if err != nil {
		return err
	}
	var vectors embeddings
	if report.Use == model.Serve {
		// What the server would do next.
		if vectors, err = loadFolderFiles(c.Path); err != nil {
			report.Use, report.Problem = model.None, err.Error()
		}
	}
	ignored := ineffective(report)
	if c.JSON {
		err = printReportJSON(p.stdout, report, vectors, ignored)
	} else {
		err = printReport(p.stdout, report, vectors, ignored)
	}
	if err == nil && report.Use == model.None {
		err = errUnusable
	}
	return err
}

// ineffective names what a model's generation_config.json asks for in vain. A file that cannot be read has been reported.
func ineffective(r model.Report) []string {
	if r.Use == model.Serve {
		if folder, err := model.Open(r.Path); err == nil {
			return folder.GenerationConfig.Ineffective()
		}
	}
	if r.Kind != model.KindSafetensors {
		return nil
	}
	config, _ := model.ReadGenerationConfig(r.Path)
	return config.Ineffective()
}

// embeddings is what a folder's graph says of vectors: how many values they have, or why it gives none.
type embeddings struct {
	size int
	none string
}

// String is for people.
func (e embeddings) String() string {
	if e.size == 0 {
		return "no: " + e.none
	}
	return fmt.Sprintf("vectors of %d values, on the CPU", e.size)
}

// loadFolderFiles reads what a server reads of a folder, and of the graph what can be checked without ONNX Runtime:
// that every weight has its bytes, and whether it gives embeddings.
func loadFolderFiles(dir string) (vectors embeddings, err error) {
	folder, err := model.Open(dir)
	if err != nil {
		return vectors, err
	}
	if err := models.CheckTexts(folder); err != nil {
		return vectors, err
	}
	data, err := os.ReadFile(folder.ModelPath)
	if err != nil {
		return vectors, err
	}
	graph, err := onnx.Unmarshal(data)
	if err != nil {
		return vectors, fmt.Errorf("%s: %w", folder.ModelPath, err)
	}
	states, err := folder.Manifest.Graph.HiddenStates(graph)
	if none, ok := errors.AsType[*model.NoHiddenStatesError](err); ok {
		vectors.none = none.Reason
	}
	vectors.size = states.Size
	return vectors, firstOf(graph.Verify(func(location string) (int64, error) {
		info, err := os.Stat(filepath.Join(filepath.Dir(folder.ModelPath), location))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}))
}

// firstOf is the first of several joined errors, with the number of the others: a file that was cut off has a fault for
// every weight behind the cut.
func firstOf(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) < 2 {
		return err
	}
	return fmt.Errorf("%w (and %d more faults)", joined.Unwrap()[0], len(joined.Unwrap())-1)
}

func printReport(w io.Writer, r model.Report, vectors embeddings, ignored []string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // keeps the first error for Flush
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(table, "%s:\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("path", "%s", r.Path)
	row("is", "%s", r.Kind)
	if r.Name != "" {
		row("name", "%s", r.Name)
	}
	if r.Architecture != "" {
		row("architecture", "%s", r.Architecture)
	}
	if s := r.Spec; s != nil {
		row("sizes", "%d layers, hidden %d, %d heads (%d for keys), vocabulary %d", s.Layers, s.HiddenSize, s.Heads, s.KVHeads, s.VocabSize)
		row("context", "%d tokens", s.ContextLength)
	}
	if r.Caveat != "" {
		row("note", "%s", r.Caveat)
	}
	if m := r.Manifest; m != nil {
		row("sizes", "%d layers, hidden %d, %d heads (%d for keys), vocabulary %d", m.Layers, m.HiddenSize, m.Heads, m.KVHeads, m.VocabSize)
		row("context", "%d tokens", m.ContextLength)
		row("weights", "%s", m.Quantization)
		if r.Kind == model.KindSluice {
			row("made by", "sluice %s from %s", m.ToolVersion, m.Source.Format)
		}
		row("graph", "%s", r.Graph)
		row("runs", "%s", r.Execution)
	}
	if len(r.Others) > 0 {
		row("instead", "%s can be named in place of the folder", strings.Join(r.Others, ", "))
	}
	for _, count := range r.Weights {
		row("weights", "%d tensors of %s, %.1f MB", count.Tensors, count.Type, float64(count.Bytes)/1e6)
	}
	row("tokenizer", "%s", yesNo(r.Tokenizer))
	row("chat", "%s", yesNo(r.ChatTemplate))
	if r.Use == model.Serve {
		row("embeddings", "%s", vectors)
	}
	if len(ignored) > 0 {
		row("no effect", "%s of generation_config.json", strings.Join(ignored, ", "))
	}
	switch r.Use {
	case model.Serve:
		row("use", "sluice serve --model NAME=%s", r.Path)
	case model.Convert:
		row("use", "sluice convert %s --out DIR", r.Path)
	case model.None:
		row("problem", "%s", r.Problem)
	}
	return table.Flush()
}

// checkJSON is the report's JSON form.
type checkJSON struct {
	Path          string `json:"path"`
	Kind          string `json:"kind"`
	Use           string `json:"use"` // serve, convert or none
	Problem       string `json:"problem,omitempty"`
	Note          string `json:"note,omitempty"` // in what the converted model will differ from transformers' running of it
	Name          string `json:"name,omitempty"`
	Architecture  string `json:"architecture,omitempty"`
	ContextLength int    `json:"context_length,omitempty"`
	VocabSize     int    `json:"vocab_size,omitempty"`
	Quantization  string `json:"quantization,omitempty"`
	WeightBytes   int64  `json:"weight_bytes,omitempty"`
	Tokenizer     bool   `json:"tokenizer"`
	ChatTemplate  bool   `json:"chat_template"`

	Graph  string   `json:"graph,omitempty"`  // of a folder to serve
	Runs   string   `json:"runs,omitempty"`   // how
	Others []string `json:"others,omitempty"` // graphs that could be named instead

	EmbeddingSize int    `json:"embedding_size,omitempty"` // of a folder to serve: values of a vector
	NoEmbeddings  string `json:"no_embeddings,omitempty"`  // or why it gives none

	NoEffect []string `json:"no_effect,omitempty"` // fields of generation_config.json
}

func printReportJSON(w io.Writer, r model.Report, vectors embeddings, ignored []string) error {
	out := checkJSON{
		Path: r.Path, Kind: string(r.Kind), Use: string(r.Use), Problem: r.Problem, Note: r.Caveat, Name: r.Name,
		Architecture: r.Architecture, WeightBytes: r.Bytes, Tokenizer: r.Tokenizer, ChatTemplate: r.ChatTemplate,
		NoEffect: ignored, Graph: r.Graph, Runs: r.Execution, Others: r.Others,
		EmbeddingSize: vectors.size, NoEmbeddings: vectors.none,
	}
	if s := r.Spec; s != nil {
		out.ContextLength, out.VocabSize = s.ContextLength, s.VocabSize
	}
	if m := r.Manifest; m != nil {
		out.ContextLength, out.VocabSize, out.Quantization = m.ContextLength, m.VocabSize, m.Quantization
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}
