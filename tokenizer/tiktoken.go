package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/normalize"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// Tiktoken has what a tokenizer needs besides a file of tiktoken ranks.
type Tiktoken struct {
	Pattern string            // what cuts a text into words
	Special map[string]uint32 // the special tokens and their ids
	NFC     bool              // the text is brought into NFC first, as Qwen's is
}

// FromTiktoken makes a tokenizer from a file of ranks (".tiktoken"): on each line a token in base64, and its rank, which
// is its id. A text gives what tiktoken's encode(text, allowed_special="all") does.
func FromTiktoken(ranks []byte, o Tiktoken) (*Tokenizer, error) {
	tokens, err := readRanks(ranks)
	if err != nil {
		return nil, err
	}
	return o.build(tokens, nil)
}

// readRanks reads the lines of a file of ranks.
func readRanks(data []byte) ([]rankedPiece, error) {
	var tokens []rankedPiece
	n := 0
	for line := range bytes.Lines(data) {
		n++
		text, rank, ok := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		if len(text) == 0 {
			continue
		}
		id, err := strconv.ParseUint(string(rank), 10, 31)
		if !ok || err != nil {
			return nil, formatError("line %d of the ranks is not a token and a rank", n)
		}
		token, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil || len(token) == 0 {
			return nil, formatError("line %d of the ranks has no token in base64", n)
		}
		if len(tokens) == maxTokens {
			return nil, formatError("there are more than %d ranks", maxTokens)
		}
		tokens = append(tokens, rankedPiece{string(token), uint32(id)})
	}
	return tokens, nil
}

// build makes the tokenizer. Its vocabulary writes bytes as the characters of byte-level vocabularies.
func (o Tiktoken) build(tokens []rankedPiece, prefix []uint32) (*Tokenizer, error) {
	if len(tokens) == 0 {
		return nil, formatError("there are no ranks")
	}
	slices.SortFunc(tokens, func(a, b rankedPiece) int { return int(a.id) - int(b.id) })
	d := &definition{byteLevel: true, ignoreMerges: true, decoder: byteLevelChain(), prefix: prefix}
	if o.NFC {
		d.normalizer = normalize.NFC
	}
	if err := d.tiktokenPattern(o.Pattern); err != nil {
		return nil, err
	}
	letters := newAlphabet()
	entries := make([]entry, len(tokens), len(tokens)+len(o.Special))
	seen := make(map[string]uint32, len(tokens))
	for i, t := range tokens {
		if other, ok := seen[t.text]; ok {
			return nil, formatError("token %q has the ranks %d and %d", t.text, other, t.id)
		}
		seen[t.text] = t.id
		entries[i] = entry{letters.text(t.text), t.id}
	}
	for _, special := range slices.Sorted(maps.Keys(o.Special)) {
		if !utf8.ValidString(special) {
			return nil, formatError("special token %q is not valid UTF-8", special)
		}
		entries = append(entries, entry{special, o.Special[special]})
		d.added = append(d.added, addedToken{Content: special, Special: true})
	}
	var err error
	if d.vocab, err = newVocab(entries, 0); err != nil {
		return nil, err
	}
	if d.merges, d.ranks, err = impliedMerges(tokens, func(string, int) bool { return true }); err != nil {
		return nil, err
	}
	return d.build()
}

// tiktokenPattern reads the pattern, which is written for the regular expressions of Rust.
func (d *definition) tiktokenPattern(text string) error {
	if s, ok := pretoken.LookupTiktoken(text); ok {
		d.steps = []step{scan{s}}
		return nil
	}
	re, err := d.engine("pre-tokenizer", text)
	if err != nil {
		return err
	}
	d.steps = []step{delimiter{match: re, behavior: removed, invert: true}}
	return nil
}

// tekken is a tekken.json, Mistral's form of tiktoken ranks.
type tekken struct {
	Config *struct {
		Pattern    string `json:"pattern"`
		VocabSize  int    `json:"default_vocab_size"`
		NumSpecial int    `json:"default_num_special_tokens"`
	} `json:"config"`
	Vocab   tekkenVocab `json:"vocab"`
	Special []struct {
		Rank uint32 `json:"rank"`
		Text string `json:"token_str"`
	} `json:"special_tokens"`
}

// tekkenVocab is the list of ranks. It is read one by one, so that no more of them take memory than there may be.
type tekkenVocab []tekkenRank

type tekkenRank struct {
	Rank  uint32 `json:"rank"`
	Bytes []byte `json:"token_bytes"`
}

// UnmarshalJSON reads the list.
func (v *tekkenVocab) UnmarshalJSON(data []byte) error {
	if !present(data) {
		return nil
	}
	s := &jsonScanner{data: data}
	return s.array(func() error {
		value, err := s.value()
		if err != nil {
			return err
		}
		var r tekkenRank
		if err := json.Unmarshal(value, &r); err != nil {
			return err
		}
		if len(r.Bytes) == 0 {
			return formatError("vocab: rank %d has no token_bytes", r.Rank)
		}
		if len(*v) == maxTokens {
			return formatError("vocab: more than %d ranks", maxTokens)
		}
		*v = append(*v, r)
		return nil
	})
}

// FromTekken makes a tokenizer from the contents of a tekken.json. Its special tokens come first, and AddSpecialTokens
// puts "<s>" before a text.
func FromTekken(data []byte) (*Tokenizer, error) {
	var f tekken
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: tekken.json: %w", err)
	}
	if f.Config == nil {
		return nil, formatError("tekken.json has no config")
	}
	special, size := f.Config.NumSpecial, f.Config.VocabSize
	inner := size - special
	if special < 0 || special > maxSparse || inner <= 0 || inner > len(f.Vocab) {
		return nil, formatError("tekken.json: %d tokens, %d of them special, of %d ranks", size, special, len(f.Vocab))
	}
	o := Tiktoken{Pattern: f.Config.Pattern, Special: make(map[string]uint32, special)}
	names := make([]string, special)
	for i := range names {
		names[i] = fmt.Sprintf("<SPECIAL_%d>", i)
	}
	if f.Special == nil {
		copy(names, tekkenSpecial())
	}
	for _, s := range f.Special {
		if int(s.Rank) >= special {
			return nil, formatError("tekken.json: special token %q has the id %d of %d", s.Text, s.Rank, special)
		}
		names[s.Rank] = s.Text
	}
	for i, name := range names {
		if other, ok := o.Special[name]; ok {
			return nil, formatError("tekken.json: special token %q has the ids %d and %d", name, other, i)
		}
		o.Special[name] = uint32(i)
	}
	tokens := make([]rankedPiece, 0, inner)
	for _, t := range f.Vocab {
		if int64(t.Rank) < int64(inner) {
			tokens = append(tokens, rankedPiece{string(t.Bytes), t.Rank + uint32(special)})
		}
	}
	if len(tokens) != inner {
		return nil, formatError("tekken.json: %d of %d ranks are there", len(tokens), inner)
	}
	var prefix []uint32
	if id, ok := o.Special["<s>"]; ok {
		prefix = []uint32{id}
	}
	return o.build(tokens, prefix)
}

// tekkenSpecial are the special tokens of a tekken.json that lists none, which those before version 7 do.
func tekkenSpecial() []string {
	return []string{
		"<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
		"[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
		"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
	}
}

// FromVocabMerges makes a tokenizer from the two files of GPT-2's kind: vocab.json (also encoder.json), tokens and ids,
// and merges.txt (also vocab.bpe), a merge on each line. The pattern is GPT-2's, and "<|endoftext|>" is special if it is
// in the vocabulary.
func FromVocabMerges(vocabJSON, mergesTXT []byte) (*Tokenizer, error) {
	m := &model{}
	if !utf8.Valid(vocabJSON) {
		return nil, formatError("vocab.json is not valid UTF-8")
	}
	scanner := &jsonScanner{data: vocabJSON}
	if err := errors.Join(m.readVocab(scanner), scanner.end()); err != nil {
		return nil, fmt.Errorf("tokenizer: vocab.json: %w", err)
	}
	s, _ := pretoken.Lookup(pretoken.GPT2)
	d := &definition{vocab: m.vocab, byteLevel: true, decoder: byteLevelChain(), steps: []step{scan{s}}}
	r := newMerger(m.vocab, 0, m.vocab.count)
	for line := range bytes.Lines(mergesTXT) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 || bytes.HasPrefix(line, []byte("#version")) {
			continue
		}
		if err := r.addLine(line); err != nil {
			return nil, err
		}
	}
	var err error
	if d.merges, err = r.list(); err != nil {
		return nil, err
	}
	const end = "<|endoftext|>"
	if _, ok := m.vocab.find(end); ok {
		d.added = []addedToken{{Content: end, Special: true}}
	}
	return d.build()
}
