package model

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// Folder is a model folder that Sluice made and can serve: sluice.json, the graph, its weights, the tokenizer and
// what goes with them. It holds no open files.
type Folder struct {
	Dir      string
	Manifest Manifest

	ModelPath     string // the ONNX graph
	DataPath      string // its weights; "" if they are in the graph's file
	TokenizerPath string // tokenizer.json

	GenerationConfig GenerationConfig // empty if the folder has none
	ChatTemplate     string           // "" if the folder has none
	// BOSToken and EOSToken are the texts that a chat template knows as bos_token and eos_token, "" if the folder does
	// not say.
	BOSToken string
	EOSToken string
}

// Open reads the folder dir: its manifest and small files, and that the large ones are there. A folder of another
// sort is refused with an *UnsupportedError that says what it is.
func Open(dir string) (*Folder, error) {
	manifest, err := ReadManifest(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) { // dir may be a file
		return nil, notServed(dir, err)
	}
	if err != nil {
		return nil, err
	}
	f := &Folder{
		Dir: dir, Manifest: manifest,
		ModelPath: filepath.Join(dir, manifest.Graph.File), TokenizerPath: filepath.Join(dir, tokenizerName),
	}
	if manifest.Graph.Data != "" {
		f.DataPath = filepath.Join(dir, manifest.Graph.Data)
	}
	if err := f.checkFiles(); err != nil {
		return nil, err
	}
	f.GenerationConfig, err = ReadGenerationConfig(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := f.GenerationConfig.within(filepath.Join(dir, generationConfigName), manifest.VocabSize); err != nil {
		return nil, err
	}
	t, err := readTexts(dir)
	if err != nil {
		return nil, err
	}
	f.ChatTemplate, f.BOSToken, f.EOSToken = t.chatTemplate, t.bos, t.eos
	return f, nil
}

// checkFiles says which of the folder's large files is missing or no file.
func (f *Folder) checkFiles() error {
	for _, path := range []string{f.ModelPath, f.DataPath, f.TokenizerPath} {
		if path == "" {
			continue
		}
		if _, err := regularSize(path); err != nil {
			return fmt.Errorf("the model folder is not complete: %w", err)
		}
	}
	return nil
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
