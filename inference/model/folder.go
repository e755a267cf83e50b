package model

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// Folder is a model folder that can be served: the graph, its weights, the tokenizer and what goes with them, and the
// sluice.json of one that Sluice made. It holds no open files.
type Folder struct {
	Dir  string
	Kind Kind // KindSluice, KindGenAI or KindCommunity
	// Manifest is sluice.json, or what a folder that others made says of itself: sizes and the graph.
	Manifest Manifest
	Others   []string // graphs of a folder of KindCommunity that could be named instead, relative to Dir

	ModelPath     string   // the ONNX graph
	DataPaths     []string // its weights, as far as they are not in the graph's file
	TokenizerPath string   // tokenizer.json

	GenerationConfig GenerationConfig // empty if the folder has none
	ChatTemplate     string           // "" if the folder has none
	// BOSToken and EOSToken are the texts that a chat template knows as bos_token and eos_token, "" if the folder does
	// not say.
	BOSToken string
	EOSToken string
}

// Open reads the folder dir: its manifest and small files, and that the large ones are there. Folders in the layouts of
// onnxruntime-genai and of onnx-community are opened as they are; of the latter, dir may also be the path of one of its
// graphs, and of either a folder with a single such folder below it. A folder of another sort is refused with an
// *UnsupportedError that says what it is.
func Open(dir string) (*Folder, error) {
	manifest, err := ReadManifest(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) { // dir may be a file
		if f, ok, err := openForeign(dir); ok {
			return f, err
		}
		return nil, notServed(dir, err)
	}
	if err != nil {
		return nil, err
	}
	f := &Folder{
		Dir: dir, Kind: KindSluice, Manifest: manifest,
		ModelPath: filepath.Join(dir, manifest.Graph.File), TokenizerPath: filepath.Join(dir, tokenizerName),
	}
	if manifest.Graph.Data != "" {
		f.DataPaths = []string{filepath.Join(dir, manifest.Graph.Data)}
	}
	if err := f.checkFiles(); err != nil {
		return nil, err
	}
	f.GenerationConfig, err = ReadGenerationConfig(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return f, f.readSmall()
}

// notServed says what dir, which has no manifest, is.
func notServed(dir string, missing error) error {
	report, err := Inspect(dir)
	if err != nil {
		return err
	}
	switch {
	case report.Problem != "":
		return &UnsupportedError{Path: dir, Reason: strings.TrimPrefix(report.Problem, dir+": ")}
	case report.Use == Convert:
		return unsupported(dir, "it is %s and must be converted first: sluice convert", report.Kind)
	default:
		return missing
	}
}
