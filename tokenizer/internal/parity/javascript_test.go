//go:build families

package parity

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer"
)

// The second judge: Hugging Face's tokenizers for JavaScript, an implementation apart from the one in Rust.
const (
	javaScript       = "@huggingface/tokenizers@0.2.0"
	javaScriptFile   = "package/dist/tokenizers.mjs"
	javaScriptSHA256 = "1c4a848f86156201c033d6cd08c4cf81ae1088552acec3367f31ef086edf5af0"
)

// javaScriptEvery says of how many texts the second judge gets one.
const javaScriptEvery = 12

// TestJavaScript gives part of the corpus to both judges. Where they agree, so must package tokenizer, and where they do
// not it must agree with the first. They may differ in texts beyond ASCII alone: the JavaScript one takes normal forms
// and the classes of characters from its runtime, whose Unicode is another version. The log says where.
func TestJavaScript(t *testing.T) {
	skipShort(t)
	dir := filepath.Join(cache(t), "test", "npm")
	module := filepath.Join(dir, "tokenizers-0.2.0.mjs")
	npmFile(t, javaScript, javaScriptFile, javaScriptSHA256, module)
	py, node := python(t), "node"
	for name, want := range families {
		t.Run(name, func(t *testing.T) {
			path, dir := family(t, name, want), t.TempDir()
			tok, err := tokenizer.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			corpus, sample := filepath.Join(dir, "corpus"), filepath.Join(dir, "sample")
			first, second := filepath.Join(dir, "python"), filepath.Join(dir, "javascript")
			run(t, py, oracle, "corpus", run(t, "go", "env", "GOROOT"), filepath.Join("testdata", "prose.txt"), corpus, strconv.Itoa(scale), path)
			thin(t, corpus, sample)
			run(t, py, oracle, "encode", path, sample, first)
			run(t, node, "oracle.mjs", module, path, sample, second)
			compareJudges(t, tok, sample, first, second)
		})
	}
}

// thin writes one text of javaScriptEvery of a corpus.
func thin(t *testing.T, corpus, out string) {
	t.Helper()
	var data []byte
	texts := openFrames(t, corpus)
	for i := 0; ; i++ {
		text, ok := texts.next()
		if !ok {
			break
		}
		if i%javaScriptEvery == 0 {
			data = append(binary.LittleEndian.AppendUint32(data, uint32(len(text))), text...)
		}
	}
	if err := os.WriteFile(out, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func compareJudges(t *testing.T, tok *tokenizer.Tokenizer, sample, first, second string) {
	t.Helper()
	texts, firsts, seconds := openFrames(t, sample), openFrames(t, first), openFrames(t, second)
	n, size, differ := 0, 0, 0
	for {
		frame, ok := texts.next()
		if !ok {
			break
		}
		text := string(frame)
		n, size = n+1, size+len(text)
		one, two := unpack(firsts.must()), unpack(seconds.must())
		got, err := tok.Encode(text, tokenizer.EncodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, one) {
			at := firstDifference(got, one)
			t.Errorf("text %d, %.200q: token %d differs:\ngot  %d\nwant %d", n, text, at, around(got, at), around(one, at))
		}
		if slices.Equal(one, two) {
			continue
		}
		at := firstDifference(one, two)
		if differ++; differ <= 20 {
			t.Logf("the judges differ in text %d at token %d: %d in Python (%+q), %d in JavaScript (%+q)", n, at,
				around(one, at), tok.Decode(around(one, at), false), around(two, at), tok.Decode(around(two, at), false))
		}
		if isASCII(text) {
			t.Errorf("the judges differ in the ASCII text %q", text)
		}
	}
	if differ*100 > n {
		t.Errorf("the judges differ in %d texts of %d", differ, n)
	}
	t.Logf("%d texts, %d bytes: the judges differ in %d", n, size, differ)
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}
