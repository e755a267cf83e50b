package model_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/internal/filetest"
)

// TestInspect describes what can be served or converted.
func TestInspect(t *testing.T) {
	t.Parallel()
	spec := small()
	all := weights(spec, model.Q8_0, 9)
	floats := weights(spec, model.BF16, 9)
	checkpoint := writeCheckpoint(t, spec, floats)
	writeFile(t, checkpoint, "chat_template.jinja", []byte("x"))
	m := manifest()
	served := writeFolder(t)
	for _, test := range []struct {
		path string
		want model.Report
	}{
		{served, model.Report{
			Kind: model.KindSluice, Use: model.Serve, Name: "Small", Architecture: "llama", Manifest: &m, Bytes: 12, Tokenizer: true,
			ChatTemplate: true, Graph: filepath.Join(served, "model.onnx"),
			Execution: "rows of any length in one pass, a prompt's chunk in another",
		}},
		{writeGGUF(t, newGGUF(spec, all)), model.Report{
			Kind: model.KindGGUF, Use: model.Convert, Name: "Small", Architecture: "llama", Spec: &spec, Vocabulary: 12, Algorithm: "gpt2", Tokenizer: true,
			ChatTemplate: true, Bytes: size(all), Weights: counts(all, model.Q8_0, model.F32),
		}},
		{checkpoint, model.Report{
			Kind: model.KindSafetensors, Use: model.Convert, Architecture: "LlamaForCausalLM", Spec: &spec, Tokenizer: true, ChatTemplate: true,
			Bytes: size(floats) + 8, Weights: append(counts(floats, model.BF16, model.F32), model.WeightCount{Type: "I64", Tensors: 1, Bytes: 8}),
		}},
	} {
		got, err := model.Inspect(test.path)
		if err != nil {
			t.Fatal(err)
		}
		test.want.Path = test.path
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.want.Kind, diff)
		}
	}
}

// size is the number of bytes of all tensors.
func size(all map[string]model.Tensor) (n int64) {
	for _, w := range all {
		n += int64(len(w.Data))
	}
	return n
}

// counts gives the numbers of tensors by type.
func counts(all map[string]model.Tensor, types ...model.Type) []model.WeightCount {
	var list []model.WeightCount
	for _, typ := range types {
		c := model.WeightCount{Type: typ.String()}
		for _, w := range all {
			if w.Type == typ {
				c.Tensors++
				c.Bytes += int64(len(w.Data))
			}
		}
		list = append(list, c)
	}
	return list
}

// TestInspectTellsTheTokenizerApart: a folder whose graph cannot be served still has the tokenizer and the template that it has.
func TestInspectTellsTheTokenizerApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"genai_config.json": "{}", "model.onnx": "x", "tokenizer.json": "{}", "chat_template.jinja": "{{ messages }}",
	} {
		writeFile(t, dir, name, []byte(text))
	}
	r, err := model.Inspect(dir)
	if err != nil || r.Use != model.None || !r.Tokenizer || !r.ChatTemplate {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestInspectProblems says why other things cannot be used, and Open says the same of folders.
func TestInspectProblems(t *testing.T) {
	t.Parallel()
	folder := func(files ...string) string {
		dir := t.TempDir()
		for _, name := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, dir, name, []byte("x"))
		}
		return dir
	}
	broken := writeFolder(t)
	change(t, broken, map[string]string{"tokenizer.json": ""})
	spec := small()
	toothless := writeCheckpoint(t, spec, weights(spec, model.BF16, 10))
	change(t, toothless, map[string]string{"tokenizer.json": ""})
	other := &filetest.GGUF{}
	other.Text("general.architecture", "mamba")
	for _, test := range []struct {
		name, path string
		kind       model.Kind
		want       string
	}{
		{"genai", folder("genai_config.json", "model.onnx", "model.onnx.data"), model.KindGenAI, "genai_config.json: jsontext: invalid character"},
		{"onnx-community", folder("config.json", "onnx/model_q4.onnx"), model.KindCommunity, "config.json: jsontext: invalid character"},
		{"a lone graph", folder("model.onnx"), model.KindCommunity, "there is no config.json beside the graph"},
		{"pickles", folder("config.json", "pytorch_model.bin"), model.KindPyTorch, "reading them can run any code: save them as safetensors"},
		{"a folder of GGUFs", folder("a.gguf", "b.gguf"), model.KindUnknown, `name one of them, such as "a.gguf"`},
		{"an empty folder", folder(), model.KindUnknown, "the folder has no sluice.json, genai_config.json, ONNX graph or model.safetensors"},
		{"random bytes", filepath.Join(folder("x"), "x"), model.KindUnknown, "the file is not a GGUF file"},
		{"another architecture", writeGGUF(t, other), model.KindGGUF, `the architecture "mamba" is not supported yet`},
		{"safetensors without a config", folder("model.safetensors"), model.KindSafetensors, "the file has 1 bytes"},
		{"no tokenizer", toothless, model.KindSafetensors, "it has no tokenizer"},
		{"a broken folder", broken, model.KindSluice, "the model folder is not complete"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, err := model.Inspect(test.path)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind != test.kind || r.Use != model.None || !strings.Contains(r.Problem, test.want) {
				t.Errorf("%q, %q: %q, want %q: %q", r.Kind, r.Use, r.Problem, test.kind, test.want)
			}
			if info, err := os.Stat(test.path); err != nil || !info.IsDir() {
				return
			}
			if _, err := model.Open(test.path); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: got error %v, want %q", err, test.want)
			}
		})
	}
	if _, err := model.Inspect(filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing path: got error %v", err)
	}
}

// TestOpenCheckpoint says of a checkpoint that it must be converted.
func TestOpenCheckpoint(t *testing.T) {
	t.Parallel()
	spec := small()
	all := weights(spec, model.F16, 11)
	for _, path := range []string{writeCheckpoint(t, spec, all), writeGGUF(t, newGGUF(spec, all))} {
		_, err := model.Open(path)
		if _, ok := errors.AsType[*model.UnsupportedError](err); !ok || !strings.Contains(err.Error(), "must be converted first: sluice convert") {
			t.Errorf("got error %v", err)
		}
	}
}
