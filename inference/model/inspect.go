package model

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference/model/gguf"
	"github.com/sluiceml/sluice/inference/model/safetensors"
)

// Kind says what a file or folder is.
type Kind string

// The kinds of models.
const (
	KindSluice      Kind = "a Sluice model folder"
	KindGGUF        Kind = "a GGUF file"
	KindSafetensors Kind = "a Hugging Face checkpoint (safetensors)"
	KindPyTorch     Kind = "a Hugging Face checkpoint (PyTorch pickles)"
	KindGenAI       Kind = "an onnxruntime-genai model folder"
	KindCommunity   Kind = "an ONNX folder in the layout of onnx-community and transformers.js"
	KindUnknown     Kind = "no model that Sluice knows"
)

// Use says what can be done with a model.
type Use string

// The uses of a model.
const (
	Serve   Use = "serve"   // sluice serve takes it as it is
	Convert Use = "convert" // sluice convert makes a folder to serve from it
	None    Use = "none"    // Report.Problem says why
)

// Report says what a file or folder is, how it will run, or why it can't.
type Report struct {
	Path    string
	Kind    Kind
	Use     Use
	Problem string // why Use is None, else ""

	Name         string        // the model's own name, "" if it does not say
	Architecture string        // "" if it could not be read
	Spec         *Spec         // of a checkpoint; nil if it could not be read
	Caveat       string        // of a checkpoint: Spec.Caveat
	Manifest     *Manifest     // of a folder to serve; nil if it could not be read
	Graph        string        // of a folder to serve: the path of its graph
	Execution    string        // of a folder to serve: how a session will run it
	Others       []string      // graphs that could be named instead, relative to the folder
	Weights      []WeightCount // of a checkpoint, largest first
	Bytes        int64         // of all weights, in the files
	Vocabulary   int           // tokens of a GGUF's own vocabulary; 0: none
	Algorithm    string        // GGML's name of the vocabulary's algorithm, such as "gpt2"; "": not said
	Tokenizer    bool          // whether there is a tokenizer: a vocabulary, or tokenizer.json
	ChatTemplate bool          // whether there is a chat template
}

// WeightCount is how many tensors have a type.
type WeightCount struct {
	Type    string
	Tensors int
	Bytes   int64
}

// Inspect describes the file or folder at path. A model that is not sound or not supported is no error but a Report
// whose Use is None; an error says that path could not be looked at.
func Inspect(path string) (Report, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Report{}, fmt.Errorf("inspect the model: %w", err)
	}
	r := Report{Path: path, Use: None}
	if !info.IsDir() && filepath.Ext(path) != ".onnx" {
		if !beginsAsGGUF(path) {
			r.Kind, r.Problem = KindUnknown, "the file is not a GGUF file, and models of other formats are folders: name the folder that it lies in"
			return r, nil
		}
		r.Kind = KindGGUF
		r.inspectGGUF()
		return r, nil
	}
	if !info.IsDir() {
		r.Kind = KindCommunity
		r.inspectFolder()
		return r, nil
	}
	_, r.Kind, err = locateFolder(path)
	if reason, ok := errors.AsType[*UnsupportedError](err); ok { // several models
		r.Kind, r.Problem = KindUnknown, reason.Error()
		return r, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("inspect the model: %w", err)
	}
	names, err := listNames(path)
	if err != nil {
		return Report{}, fmt.Errorf("inspect the model: %w", err)
	}
	switch r.Kind {
	case KindSluice, KindGenAI, KindCommunity:
		r.inspectFolder()
	case KindSafetensors:
		r.inspectCheckpoint(names)
	case KindPyTorch:
		r.Problem = "PyTorch's pickled weights are not supported, because reading them can run any code: save them as safetensors"
	case KindGGUF, KindUnknown:
		r.Kind = KindUnknown
		r.Problem = unknownProblem(names)
	}
	return r, nil
}

// beginsAsGGUF says whether a file has the mark of its format. One that cannot be read is taken to have it: who opens it says
// why.
func beginsAsGGUF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close() //nolint:errcheck // read only
	mark := make([]byte, 4)
	_, err = io.ReadFull(f, mark)
	return err == nil && string(mark) == "GGUF"
}

// maxNames is the limit of a folder's entries that are looked at.
const maxNames = 1 << 16

// listNames lists a folder's entries, and those of a folder "onnx" in it, sorted.
func listNames(dir string) ([]string, error) {
	var names []string
	for _, sub := range []string{".", "onnx"} {
		f, err := os.Open(filepath.Join(dir, sub))
		if sub != "." && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list, err := f.Readdirnames(maxNames)
		_ = f.Close()                                            // read only
		if err != nil && !errors.Is(err, io.EOF) && sub == "." { // EOF: an empty folder
			return nil, err
		}
		for _, name := range list {
			names = append(names, filepath.Join(sub, name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// kindOf says what a folder with these entries is.
func kindOf(names []string) Kind {
	has := func(match func(string) bool) bool { return slices.ContainsFunc(names, match) }
	is := func(name string) func(string) bool { return func(s string) bool { return s == name } }
	suffix := func(end string) func(string) bool { return func(s string) bool { return strings.HasSuffix(s, end) } }
	switch {
	case has(is(ManifestName)):
		return KindSluice
	case has(is(genaiConfigName)):
		return KindGenAI
	case has(suffix(".onnx")):
		return KindCommunity
	case has(is(safetensors.IndexName)), has(is(safetensors.SingleName)):
		return KindSafetensors
	case has(is("pytorch_model.bin")), has(is("pytorch_model.bin.index.json")):
		return KindPyTorch
	default:
		return KindUnknown
	}
}

// servable says whether a folder with these entries is one that Open opens. A graph without a configuration beside it is the
// folder "onnx" of another.
func servable(names []string) bool {
	switch kindOf(names) {
	case KindSluice, KindGenAI:
		return true
	case KindCommunity:
		return slices.Contains(names, configName)
	default:
		return false
	}
}

// IsFolder says by the names of its entries whether dir is a folder that Open opens; one below it, which Open would find too,
// does not count.
func IsFolder(dir string) (bool, error) {
	names, err := listNames(dir)
	return err == nil && servable(names), err
}

// unknownProblem says what is missing from a folder of no known kind.
func unknownProblem(names []string) string {
	for _, name := range names {
		if strings.HasSuffix(name, ".gguf") {
			return fmt.Sprintf("the folder holds GGUF files: name one of them, such as %.80q", name)
		}
	}
	return fmt.Sprintf("the folder has no %s, %s, ONNX graph or %s", ManifestName, genaiConfigName, safetensors.SingleName)
}

// inspectFolder describes a folder to serve.
func (r *Report) inspectFolder() {
	f, err := Open(r.Path)
	if err != nil {
		r.Problem = err.Error()
		// The graph or its configuration is at fault: what lies beside it is told apart from that.
		_, missing := os.Stat(filepath.Join(r.Path, tokenizerName))
		r.Tokenizer = missing == nil
		if t, err := readTexts(r.Path); err == nil {
			r.ChatTemplate = t.chatTemplate != ""
		}
		return
	}
	r.Use = Serve
	r.Manifest = &f.Manifest
	r.Name, r.Architecture = f.Manifest.Name, f.Manifest.Architecture
	r.Tokenizer, r.ChatTemplate = true, f.ChatTemplate != ""
	r.Execution, r.Others, r.Graph = f.Execution(), f.Others, f.ModelPath
	if n, err := f.WeightBytes(); err == nil { // else a file went away since Open
		r.Bytes = n
	}
}

// inspectGGUF describes a GGUF file.
func (r *Report) inspectGGUF() {
	file, err := gguf.Open(r.Path)
	if err != nil {
		r.Problem = err.Error()
		return
	}
	defer file.Close() //nolint:errcheck // read only
	for t := range file.Tensors() {
		r.count(t.Type.String(), len(t.Data))
	}
	r.sortWeights()
	m := &metadata{path: r.Path, file: file}
	r.Name, r.Architecture = m.text("general.name", ""), m.text("general.architecture", "")
	if v, ok := file.Value("tokenizer.ggml.tokens"); ok {
		r.Vocabulary = v.Len()
	}
	r.Tokenizer, r.Algorithm = r.Vocabulary > 0, m.text("tokenizer.ggml.model", "")
	_, r.ChatTemplate = file.Value("tokenizer.chat_template")
	s, err := newGGUFSource(r.Path, file)
	r.judge(s, err)
}

// inspectCheckpoint describes a Hugging Face folder.
func (r *Report) inspectCheckpoint(names []string) {
	if config, err := readHFConfig(filepath.Join(r.Path, configName)); err == nil && len(config.Architectures) > 0 {
		r.Architecture = config.Architectures[0]
	}
	r.Tokenizer = slices.Contains(names, tokenizerName)
	if t, err := readTexts(r.Path); err == nil {
		r.ChatTemplate = t.chatTemplate != ""
	}
	folder, err := safetensors.OpenFolder(r.Path)
	if err != nil {
		r.Problem = err.Error()
		return
	}
	defer folder.Close() //nolint:errcheck // read only
	for t := range folder.Tensors() {
		r.count(t.DType, len(t.Data))
	}
	r.sortWeights()
	s, err := newCheckpoint(r.Path, folder)
	r.judge(s, err)
}

// judge says what can be done with a checkpoint whose source could be opened, or not.
func (r *Report) judge(s Source, err error) {
	switch {
	case err != nil:
		r.Problem = err.Error()
	case !r.Tokenizer:
		r.Problem = r.Path + ": it has no tokenizer"
	default:
		r.Use = Convert
	}
	if err == nil {
		spec := s.Spec()
		r.Spec, r.Caveat = &spec, spec.Caveat()
	}
}

// count adds a tensor to the weights.
func (r *Report) count(typ string, size int) {
	i := slices.IndexFunc(r.Weights, func(w WeightCount) bool { return w.Type == typ })
	if i < 0 {
		i = len(r.Weights)
		r.Weights = append(r.Weights, WeightCount{Type: typ})
	}
	r.Weights[i].Tensors++
	r.Weights[i].Bytes += int64(size)
	r.Bytes += int64(size)
}

// sortWeights puts the type with the most bytes first.
func (r *Report) sortWeights() {
	slices.SortFunc(r.Weights, func(a, b WeightCount) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Type, b.Type))
	})
}
