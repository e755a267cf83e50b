package model

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// locate finds the model folder that a path means, and what it is: the folder itself, the only one below it, or that
// of the graph whose file the path is. graph is the file of a folder of KindCommunity, relative to it.
func locate(path string) (dir string, kind Kind, graph string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "", "", err
	}
	if !info.IsDir() {
		return locateGraph(path)
	}
	if dir, kind, err = locateFolder(path); err != nil {
		return "", "", "", err
	}
	if kind == KindCommunity {
		graph, err = findGraph(dir)
	}
	return dir, kind, graph, err
}

// locateGraph finds the folder of a graph that was named itself, to choose among the variants of an onnx-community
// folder.
func locateGraph(path string) (dir string, kind Kind, graph string, err error) {
	if filepath.Ext(path) != ".onnx" {
		return "", KindUnknown, "", nil
	}
	dir, graph = filepath.Split(filepath.Clean(path))
	dir = filepath.Clean(dir)
	for range 2 { // the graph lies beside config.json, or in a folder "onnx" beside it
		if _, err := os.Stat(filepath.Join(dir, configName)); err == nil {
			return dir, KindCommunity, graph, nil
		}
		dir, graph = filepath.Dir(dir), filepath.Join(filepath.Base(dir), graph)
	}
	return "", "", "", unsupported(path, "there is no %s beside the graph", configName)
}

// locateFolder says what a folder is, or which one below it is a model.
func locateFolder(path string) (string, Kind, error) {
	names, err := listNames(path)
	if err != nil {
		return "", "", err
	}
	if kind := kindOf(names); kind != KindUnknown {
		return path, kind, nil
	}
	found, err := nested(path)
	switch {
	case err != nil:
		return "", "", err
	case len(found) == 0:
		return path, KindUnknown, nil
	case len(found) > 1:
		return "", "", unsupported(path, "it holds %d models: name one of %s", len(found), strings.Join(found, ", "))
	}
	dir := filepath.Join(path, found[0])
	if names, err = listNames(dir); err != nil {
		return "", "", err
	}
	return dir, kindOf(names), nil
}

// The limits of the search for a model below a folder.
const (
	maxDepth  = 4
	maxNested = 16
)

// nested lists the folders below dir, relative to it, that a configuration says are models of ONNX graphs.
func nested(dir string) ([]string, error) {
	var found []string
	seen := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > maxNames || len(found) == maxNested {
			return fs.SkipAll
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if !entry.IsDir() || relative == "." {
			return nil
		}
		if strings.Count(relative, string(filepath.Separator)) >= maxDepth {
			return fs.SkipDir
		}
		names, err := listNames(path)
		if err != nil {
			return err
		}
		if !servable(names) {
			return nil
		}
		found = append(found, relative)
		return fs.SkipDir
	})
	if err != nil {
		return nil, fmt.Errorf("look for a model: %w", err)
	}
	return found, nil
}

// openForeign opens a folder that others made. ok is false if path means another kind of thing.
func openForeign(path string) (f *Folder, ok bool, err error) {
	dir, kind, graph, err := locate(path)
	if err != nil {
		return nil, true, err
	}
	switch kind {
	case KindGenAI:
		f, err = openGenAI(dir)
	case KindCommunity:
		f, err = openCommunity(dir, graph)
	case KindSluice:
		if dir == path {
			return nil, true, unsupported(path, "its %s leads nowhere", ManifestName)
		}
		f, err = Open(dir)
		return f, true, err
	default:
		return nil, false, nil
	}
	if err != nil {
		return nil, true, err
	}
	return f, true, f.readSmall()
}

// foreignSizes are what a configuration says of sizes that the graph may leave open; 0: it does not say.
type foreignSizes struct{ vocabulary, kvHeads, headSize int }

// finish fills a folder that others made from its graph, which counts before the configuration at path.
func (f *Folder) finish(path string, m *masked, said foreignSizes) error {
	g := &m.graph
	g.VocabSize = cmp.Or(g.VocabSize, said.vocabulary)
	g.KVHeads, g.HeadSize = cmp.Or(g.KVHeads, said.kvHeads), cmp.Or(g.HeadSize, said.headSize)
	for _, size := range []struct {
		what string
		n    int
	}{
		{"the vocabulary size", g.VocabSize},
		{"the number of key/value heads", g.KVHeads},
		{"the head size", g.HeadSize},
		{"the context length", f.Manifest.ContextLength},
	} {
		if size.n < 1 || size.n > maxSize {
			return unsupported(path, "%s is %d, and the graph does not say it", size.what, size.n)
		}
	}
	f.Manifest.VocabSize, f.Manifest.Layers = g.VocabSize, g.Layers
	f.Manifest.KVHeads, f.Manifest.HeadSize = g.KVHeads, g.HeadSize
	f.Manifest.Quantization = variantOf(g.File)
	f.Manifest.Graph = *g
	f.ModelPath = m.path
	f.TokenizerPath = filepath.Join(f.Dir, tokenizerName)
	for _, name := range m.files {
		f.DataPaths = append(f.DataPaths, filepath.Join(filepath.Dir(m.path), name))
	}
	return f.checkFiles()
}

// variantOf is the form of the weights that a graph's file name tells, "onnx" if it does not.
func variantOf(file string) string {
	stem := strings.TrimSuffix(file, ".onnx")
	for _, variant := range variants()[1:] {
		if strings.HasSuffix(stem, variant) {
			return strings.TrimPrefix(variant, "_")
		}
	}
	return "onnx"
}

// Execution says in a line how a session will run the folder's graph.
func (f *Folder) Execution() string {
	g := f.Manifest.Graph
	switch {
	case g.Hybrid != nil:
		return "decode rows and a prompt's chunk in one pass"
	case g.Masked == nil:
		return "rows of any length in one pass, a prompt's chunk in another"
	case g.Masked.Shared:
		return "rows of any length in one pass, a prompt's chunk in another; logits of every token of a prompt"
	default:
		return "one row at a time, slower: the graph has no attention with a shared buffer and a length for each row"
	}
}

// checkFiles says which of the folder's large files is missing or no file.
func (f *Folder) checkFiles() error {
	for _, path := range append([]string{f.ModelPath, f.TokenizerPath}, f.DataPaths...) {
		if _, err := regularSize(path); err != nil {
			return fmt.Errorf("the model folder is not complete: %w", err)
		}
	}
	return nil
}

// WeightBytes is the size of the graph's file and of its weights.
func (f *Folder) WeightBytes() (int64, error) {
	var total int64
	for _, path := range append([]string{f.ModelPath}, f.DataPaths...) {
		n, err := regularSize(path)
		if err != nil {
			return 0, fmt.Errorf("the model's weights: %w", err)
		}
		total += n
	}
	return total, nil
}

// readSmall reads the folder's chat template and the texts of its end tokens, and checks its generation config.
func (f *Folder) readSmall() error {
	if err := f.GenerationConfig.within(filepath.Join(f.Dir, generationConfigName), f.Manifest.VocabSize); err != nil {
		return err
	}
	t, err := readTexts(f.Dir)
	if err != nil {
		return err
	}
	f.ChatTemplate, f.BOSToken, f.EOSToken = t.chatTemplate, t.bos, t.eos
	return nil
}
