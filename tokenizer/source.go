package tokenizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// Load reads a tokenizer from a file, or from a folder. A file is a tokenizer.json, a tekken.json or one of the known
// files of tiktoken ranks (r50k_base, cl100k_base, o200k_base, Qwen's); which of them is told by its contents; or it is a
// SentencePiece model, whose name must have ".model" in it. In a folder Load takes tokenizer.json, or else tekken.json, or
// else tokenizer.model, or else vocab.json with merges.txt, or else the one file whose name ends with ".tiktoken". GGUF
// files hold more than a tokenizer: see [FromVocabulary].
func Load(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: load: %w", err)
	}
	if info.IsDir() {
		return loadFolder(path)
	}
	return loadFile(path)
}

// loadFile reads one file.
func loadFile(path string) (*Tokenizer, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: load: %w", err)
	}
	read := fromData
	if strings.Contains(filepath.Base(path), ".model") && isSentencePiece(data) {
		read = FromSentencePiece
	}
	t, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return t, nil
}

// fromData makes a tokenizer from the contents of a file.
func fromData(data []byte) (*Tokenizer, error) {
	start := bytes.TrimLeft(data, " \t\r\n")
	if len(start) > 0 && start[0] != '{' {
		known, ok := knownRanks(data)
		if !ok {
			return nil, formatError("neither JSON nor a known file of tiktoken ranks; FromTiktoken takes ranks with their pattern")
		}
		return FromTiktoken(data, known)
	}
	if isTekken(start) {
		return FromTekken(data)
	}
	return FromJSON(data)
}

// isTekken looks for the config that a tekken.json begins with.
func isTekken(data []byte) bool {
	s := &jsonScanner{data: data}
	found := errors.New("found")
	err := s.object(func(key []byte) error {
		if string(key) == "config" {
			return found
		}
		if string(key) == "model" {
			return errJSON
		}
		_, err := s.value()
		return err
	})
	return errors.Is(err, found)
}

// loadFolder reads what it finds in a folder.
func loadFolder(dir string) (*Tokenizer, error) {
	for _, name := range []string{"tokenizer.json", "tekken.json", "tokenizer.model"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return loadFile(path)
		}
	}
	vocab, err := readFile(filepath.Join(dir, "vocab.json"))
	if err == nil {
		merges, err := readFile(filepath.Join(dir, "merges.txt"))
		if err != nil {
			return nil, fmt.Errorf("tokenizer: load: %w", err)
		}
		t, err := FromVocabMerges(vocab, merges)
		if err != nil {
			return nil, fmt.Errorf("%w (in %s)", err, dir)
		}
		return t, nil
	}
	names, globErr := filepath.Glob(filepath.Join(dir, "*.tiktoken"))
	if globErr == nil && len(names) == 1 {
		return loadFile(names[0])
	}
	return nil, fmt.Errorf("tokenizer: load: %s holds no tokenizer: %w", dir, err)
}

// knownRanks finds the pattern and the special tokens of a file of ranks by its sha256.
func knownRanks(data []byte) (Tiktoken, bool) {
	const end = "<|endoftext|>"
	sum := sha256.Sum256(data)
	switch hex.EncodeToString(sum[:]) {
	case "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": // r50k_base
		return Tiktoken{Pattern: pretoken.GPT2, Special: map[string]uint32{end: 50256}}, true
	case "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": // cl100k_base
		return Tiktoken{
			Pattern: `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`,
			Special: map[string]uint32{
				end: 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260, "<|endofprompt|>": 100276,
			},
		}, true
	case "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": // o200k_base
		return Tiktoken{Pattern: pretoken.O200K, Special: map[string]uint32{end: 199999, "<|endofprompt|>": 200018}}, true
	case "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186": // Qwen
		special := map[string]uint32{end: 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}
		for i := range uint32(205) {
			special[fmt.Sprintf("<|extra_%d|>", i)] = 151646 + i
		}
		return Tiktoken{Pattern: pretoken.Qwen2, Special: special, NFC: true}, true
	}
	return Tiktoken{}, false
}
