package tokenizer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer"
)

// benchTexts are the texts of the speed figures: $SLUICE_BENCH_TEXTS names a folder of .txt files; without it they are
// made from what lies in the repository.
func benchTexts(b *testing.B) map[string]string {
	b.Helper()
	texts := map[string]string{
		"letter": strings.Repeat("a", 1<<20),
		"spaces": strings.Repeat(" ", 1<<20),
		"han":    strings.Repeat("中", 1<<20/3),
	}
	if dir := os.Getenv("SLUICE_BENCH_TEXTS"); dir != "" {
		paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
		if err != nil {
			b.Fatal(err)
		}
		for _, path := range paths {
			texts[strings.TrimSuffix(filepath.Base(path), ".txt")] = read(b, path)
		}
		return texts
	}
	prose := read(b, filepath.Join("internal", "parity", "testdata", "prose.txt"))
	texts["prose"] = strings.Repeat(prose, 1+(1<<20)/len(prose))
	code := read(b, "encode.go") + read(b, "pipeline.go") + read(b, filepath.Join("bpe", "merge.go"))
	texts["code"] = strings.Repeat(code, 1+(1<<20)/len(code))
	return texts
}

func read(b *testing.B, path string) string {
	b.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

// benchTokenizer is the one that $SLUICE_BENCH_TOKENIZER names, or the small one of the golden tests.
func benchTokenizer(b *testing.B) *tokenizer.Tokenizer {
	b.Helper()
	path := os.Getenv("SLUICE_BENCH_TOKENIZER")
	if path == "" {
		path = filepath.Join("testdata", "smollm.json")
	}
	tok, err := tokenizer.Load(path)
	if err != nil {
		b.Fatal(err)
	}
	return tok
}

func BenchmarkEncode(b *testing.B) {
	tok := benchTokenizer(b)
	for name, text := range benchTexts(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var ids []uint32
			for b.Loop() {
				var err error
				if ids, err = tok.AppendEncode(ids[:0], text, tokenizer.EncodeOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncodeChat encodes short texts, one call each.
func BenchmarkEncodeChat(b *testing.B) {
	tok := benchTokenizer(b)
	const text = "<|im_start|>user\nCould you tell me, in two or three sentences, why the sky is blue?<|im_end|>\n"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var ids []uint32
	for b.Loop() {
		var err error
		if ids, err = tok.AppendEncode(ids[:0], text, tokenizer.EncodeOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := benchTokenizer(b)
	ids, err := tok.Encode(benchTexts(b)["prose"], tokenizer.EncodeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(tok.Decode(ids, false))))
	b.ReportAllocs()
	for b.Loop() {
		_ = tok.Decode(ids, false)
	}
}

func BenchmarkDecoder(b *testing.B) {
	tok := benchTokenizer(b)
	ids, err := tok.Encode(benchTexts(b)["prose"], tokenizer.EncodeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	d := tok.NewDecoder(false)
	b.SetBytes(int64(len(tok.Decode(ids, false))))
	b.ReportAllocs()
	for b.Loop() {
		for _, id := range ids {
			_ = d.Add(id)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	path := os.Getenv("SLUICE_BENCH_TOKENIZER")
	if path == "" {
		path = filepath.Join("testdata", "smollm.json")
	}
	data := []byte(read(b, path))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tokenizer.FromJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}
