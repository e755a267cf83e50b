package tokenizer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluiceml/sluice/tokenizer"
	"github.com/sluiceml/sluice/tokenizer/normalize"
	"github.com/sluiceml/sluice/tokenizer/pattern"
)

// greedyPattern remembers a place for each of a thousand million turns, on any text.
const greedyPattern = `(?:(?:(?:|a){1000}){1000}){1000}`

// quoted returns a JSON string.
func quoted(s string) string {
	data, _ := json.Marshal(s) //nolint:errchkjson // a string
	return string(data)
}

// rows joins what f makes of 0 to n-1 by a comma.
func rows(n int, f func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = f(i)
	}
	return strings.Join(parts, ",")
}

func replaceJSON(kind, pattern, content string) string {
	return fmt.Sprintf(`{"type": "Replace", "pattern": {%q: %s}, "content": %s}`, kind, quoted(pattern), quoted(content))
}

// hostile are parts of a tokenizer.json that must be refused, and what the error must name.
func hostile() []struct{ part, value, name string } {
	same := func(text string) func(int) string { return func(int) string { return text } }
	sequence := func(key, component string, n int) string {
		return fmt.Sprintf(`{"type": "Sequence", %q: [%s]}`, key, rows(n, same(component)))
	}
	model := func(vocab, merges, more string) string {
		return fmt.Sprintf(`{"type": "BPE", "vocab": {%s}, "merges": [%s]%s}`, vocab, merges, more)
	}
	template := func(single, special string) string {
		return fmt.Sprintf(`{"type": "TemplateProcessing", "single": [%s], "pair": [], "special_tokens": {%s}}`, single, special)
	}
	long := strings.Repeat("x", 1<<20)
	return []struct{ part, value, name string }{
		{"model", model(`"a": 2147483648`, "", ""), "vocab"},
		{"model", model(`"a": 4294967295`, "", ""), "id 4294967295"},
		{"model", model(`"a": 4294967296`, "", ""), "vocab"},
		{"model", model(`"a": 99999999999999999999999`, "", ""), "vocab"},
		{"model", model(`"a": 0, "b": 0`, "", ""), "id 0 is that of two"},
		{"model", model(`"": 0, "a": 1`, `["", "b"]`, ""), "merge 0"},
		{"model", model(`"a": 0`, `["a", "a"]`, ""), "merge 0"},
		{"model", model(quoted(long)+`: 0, "b": 0`, "", ""), "id 0 is that of two"},
		{"model", model(`"a": 0`, quoted(long), ""), "merge 0"},
		{"model", model(`"a": 0`, "", `, "unk_token": `+quoted(long)), "unknown token"},
		{"model", `{"type": ` + quoted(long) + `}`, "model"},
		{"model", model(`"a": 0`, strings.Repeat("[", 1<<16), ""), "merges"},
		{"model", model(`"a": `+strings.Repeat("[", 1<<16), "", ""), "vocab"},
		{"truncation", quoted(long), "truncation"},
		{"version", quoted(long), "version"},
		{"added_tokens", "[" + rows(1<<18+1, func(i int) string { return fmt.Sprintf(`{"content": "%d"}`, i) }) + "]", "added_tokens"},
		{"added_tokens", `[{"content": ` + quoted(long) + `}]`, "added tokens"},
		{"normalizer", sequence("normalizers", `{"type": "NFC"}`, 300), "normalizer"},
		{"normalizer", `{"type": "Sequence", "normalizers": [` + rows(1<<20, same("{}")) + `]}`, "normalizer"},
		{"normalizer", `{"type": "Sequence"}`, "normalizers"},
		{"normalizer", `{"type": "Sequence", "pretokenizers": []}`, "normalizers"},
		{"normalizer", `{"type": ` + quoted(long) + `}`, "normalizer"},
		{"normalizer", `{"type": "NFC", "x": ` + quoted(strings.Repeat(long, 9)) + `}`, "normalizer"},
		{"normalizer", replaceJSON("Regex", long, "x"), "a pattern of"},
		{"normalizer", replaceJSON("Regex", strings.Repeat(`\w`, 4000), "x"), "normalizer Replace"},
		{"normalizer", replaceJSON("Regex", strings.Repeat("(", 4000), "x"), "normalizer Replace"},
		{"pre_tokenizer", sequence("pretokenizers", `{"type": "ByteLevel"}`, 50), "ByteLevel"},
		{"pre_tokenizer", sequence("pretokenizers", `{"type": "Metaspace", "replacement": "x"},{"type": "Metaspace", "replacement": "y"}`, 50), "Metaspace"},
		{"pre_tokenizer", `{"type": "Split", "pattern": {"Regex": ""}, "behavior": ` + quoted(long) + `}`, "behavior"},
		{"pre_tokenizer", `{"type": "Metaspace", "replacement": ""}`, "replacement"},
		{"post_processor", template(`{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "x"}}`, ""), "TemplateProcessing"},
		{"post_processor", template(`{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "x"}}`, `"x": {"ids": [4294967295]}`), "id 4294967295"},
		{"post_processor", template(`{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "x"}}`, `"x": {"ids": [4294967296]}`), "post_processor"},
		{"post_processor", template(`{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "x"}}`, `"x": {"ids": [`+rows(1<<13, same("0"))+`]}`), "adds more than"},
		{"post_processor", template(rows(1<<13, same(`{"SpecialToken": {"id": "x"}}`)), `"x": {"ids": []}`), "pieces"},
		{"post_processor", `{"type": "BertProcessing", "sep": [` + rows(1<<20, same("0")) + `], "cls": ["a", 0]}`, "array of two"},
		{"post_processor", `{"type": "BertProcessing", "sep": ["a", -1], "cls": ["a", 0]}`, "post_processor"},
		{"decoder", sequence("decoders", replaceJSON("String", "a", "aa"), 200), "decoder Replace"},
		{"decoder", replaceJSON("Regex", "x*", long), "decoder Replace"},
		{"decoder", `{"type": "Strip", "content": "a", "start": 9223372036854775807, "stop": 0}`, "Strip"},
		{"decoder", `{"type": "Strip", "content": "a", "start": 9223372036854775808, "stop": 0}`, "decoder"},
		{"decoder", `{"type": "Strip", "content": "a", "start": 0, "stop": 2000000}`, "Strip"},
	}
}

// TestHostileJSON: a tokenizer.json that is made to take memory or time is refused by the name of its part, in little
// memory, and the error is short. It does not run beside other tests, since it counts what is allocated.
func TestHostileJSON(t *testing.T) {
	for _, c := range hostile() {
		data := []byte(strings.Replace(base, fieldOf(t, c.part), `"`+c.part+`": `+c.value, 1))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := tokenizer.FromJSON(data)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.name) || len(err.Error()) > 9000 {
			t.Errorf("%s %.100s: %.300v, want an error with %q", c.part, c.value, err, c.name)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(128*len(data)+8<<20) {
			t.Errorf("%s %.100s: %d bytes allocated for a file of %d", c.part, c.value, used, len(data))
		}
	}
}

// fieldOf returns the field of base as it is written there.
func fieldOf(tb testing.TB, part string) string {
	tb.Helper()
	start := strings.Index(base, `"`+part+`"`)
	line, _, _ := strings.Cut(base[max(start, 0):], "\n")
	for _, field := range []string{`"version": "1.0"`, `"truncation": null`, `"padding": null`, strings.TrimSuffix(line, ",")} {
		if strings.HasPrefix(field, `"`+part+`"`) && strings.Contains(base, field) {
			return field
		}
	}
	tb.Fatalf("no field %q", part)
	return ""
}

// TestHostileText: what no look at the file can tell, since it depends on the text, is a LimitError of Encode, or of the
// load if an added token is the text.
func TestHostileText(t *testing.T) {
	t.Parallel()
	double := `{"type": "Sequence", "normalizers": [` + rows(200, func(int) string { return replaceJSON("String", "a", "aa") }) + `]}`
	for _, c := range []struct{ part, value, name string }{
		{"normalizer", double, "normalizer"},
		{"normalizer", replaceJSON("String", "a", strings.Repeat("b", 1<<20)), "normalizer"},
		{"normalizer", replaceJSON("Regex", "a*", strings.Repeat("b", 1<<20)), "normalizer"},
		{"normalizer", replaceJSON("Regex", greedyPattern, ""), "normalizer"},
		{"pre_tokenizer", split(`{"Regex": `+quoted(greedyPattern)+`}`, "Isolated"), "pre_tokenizer"},
	} {
		tok, err := tokenizer.FromJSON(with(t, c.part, c.value))
		if err != nil {
			t.Fatal(err)
		}
		_, err = tok.Encode("aaaa", tokenizer.EncodeOptions{})
		var limit *tokenizer.LimitError
		if !errors.As(err, &limit) || limit.Part != c.name || len(err.Error()) > 2000 {
			t.Errorf("%s %.100s: %.200v", c.part, c.value, err)
		}
		var growth *normalize.GrowthError
		var backtracks *pattern.LimitError
		if !errors.As(err, &growth) && !errors.As(err, &backtracks) {
			t.Errorf("%s %.100s: %v says not what happened", c.part, c.value, err)
		}
		if _, _, err := tok.EncodeOffsets("aaaa", tokenizer.EncodeOptions{}); !errors.As(err, &limit) {
			t.Errorf("%s %.100s: offsets: %v", c.part, c.value, err)
		}
		if ids, err := tok.Encode("", tokenizer.EncodeOptions{}); err != nil || len(ids) > 0 { // the encoder is as new
			t.Errorf("%s %.100s: %d, %v after an error", c.part, c.value, ids, err)
		}
	}
	added := `"added_tokens": [{"id": 3, "content": "aaa", "normalized": true}], "normalizer": ` + double
	file := strings.Replace(base, `"normalizer": null`, added, 1)
	file = strings.Replace(file, fieldOf(t, "added_tokens")+",", "", 1)
	var limit *tokenizer.LimitError
	if _, err := tokenizer.FromJSON([]byte(file)); !errors.As(err, &limit) || !strings.Contains(err.Error(), `"aaa"`) {
		t.Errorf("an added token that grows: %v", err)
	}
	tok, err := tokenizer.FromTiktoken([]byte(ranks), tokenizer.Tiktoken{Pattern: greedyPattern})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Encode("hi", tokenizer.EncodeOptions{}); !errors.As(err, &limit) {
		t.Errorf("ranks: %v", err)
	}
}

// TestHostileDecoder: a pattern that backtracks without end leaves the text as it is, and takes its time once.
func TestHostileDecoder(t *testing.T) {
	t.Parallel()
	tok, err := tokenizer.FromJSON(with(t, "decoder", replaceJSON("Regex", greedyPattern, "x")))
	if err != nil {
		t.Fatal(err)
	}
	list := make([]uint32, 1000) // the test would not end if each token took its time
	if got := tok.Decode(list, false); got != strings.Repeat("a", len(list)) || streamed(tok, list, false) != got {
		t.Errorf("%q", got)
	}
}

// TestHostileCycles: merges that make a token of itself, or of each other, end, since each leaves a symbol less.
func TestHostileCycles(t *testing.T) {
	t.Parallel()
	for _, model := range []string{
		`{"type": "BPE", "vocab": {"": 0, "a": 1, "aa": 2}, "merges": [["", "a"], ["a", ""], ["", ""], ["a", "a"]]}`,
		`{"type": "BPE", "vocab": {"a": 0, "xa": 1, "x": 2}, "continuing_subword_prefix": "xa", "merges": [["a", "xa"], ["xa", "xa"]]}`,
		`{"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaa": 2, "aaaa": 3}, "merges": [["aa", "aa"], ["a", "aaa"], ["aaa", "a"], ["a", "aa"], ["aa", "a"], ["a", "a"]]}`,
		`{"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaa": 2}, "merges": [` + rows(5000, func(i int) string { return []string{`"a a"`, `"aa a"`, `"a aa"`}[i%3] }) + `]}`,
	} {
		tok, err := tokenizer.FromJSON(with(t, "model", model))
		if err != nil {
			t.Fatalf("%.100s: %v", model, err)
		}
		text := strings.Repeat("a", 100_000) + " aaa xa"
		if _, err := tok.Encode(text, tokenizer.EncodeOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// TestShadowed: many added tokens that take the ids of others do not slow down looking a text up. The test would not
// end if each was compared with each.
func TestShadowed(t *testing.T) {
	t.Parallel()
	const n = 1 << 15
	vocab := rows(n, func(i int) string { return fmt.Sprintf(`"v%d": %d`, i, i+n) })
	added := rows(n, func(i int) string { return fmt.Sprintf(`{"content": "t%d"}`, i) })
	file := `{"added_tokens": [` + added + `], "model": {"type": "BPE", "vocab": {` + vocab + `}, "merges": []}}`
	tok, err := tokenizer.FromJSON([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if id, ok := tok.ID(fmt.Sprintf("v%d", i)); !ok || id != uint32(i+n) {
			t.Fatalf("v%d is %d, %t", i, id, ok)
		}
		if _, ok := tok.ID(fmt.Sprintf("w%d", i)); ok {
			t.Fatalf("w%d is there", i)
		}
	}
}

// TestHostileSources: the other kinds of files.
func TestHostileSources(t *testing.T) {
	t.Parallel()
	big := uint32(1) << 31
	tokens := []string{"<unk>", "a", "b", "ab"}
	line := func(token string, rank uint64) string {
		return fmt.Sprintf("%s %d\n", base64.StdEncoding.EncodeToString([]byte(token)), rank)
	}
	var factors strings.Builder // every way to cut them gives two tokens
	for n, rank := 1, uint64(0); n <= 256; n++ {
		for start := range 140 {
			if text := fibonacci(2000)[start : start+n]; !strings.Contains(fibonacci(2000)[:start+n-1], text) {
				factors.WriteString(line(text, rank))
				rank++
			}
		}
	}
	vocabulary := func(change func(*tokenizer.Vocabulary)) func() error {
		return func() error {
			v := tokenizer.Vocabulary{Pre: "gpt-2", Tokens: tokens, Merges: []string{"a b"}}
			change(&v)
			_, err := tokenizer.FromVocabulary(v)
			return err
		}
	}
	tiktoken := func(data string, special map[string]uint32) func() error {
		return func() error {
			_, err := tokenizer.FromTiktoken([]byte(data), tokenizer.Tiktoken{Pattern: `\S+|\s+`, Special: special})
			return err
		}
	}
	tekken := func(old, with string) func() error {
		return func() error {
			_, err := tokenizer.FromTekken([]byte(strings.Replace(tekkenJSON(), old, with, 1)))
			return err
		}
	}
	pair := func(vocab, merges string) func() error {
		return func() error {
			_, err := tokenizer.FromVocabMerges([]byte(vocab), []byte(merges))
			return err
		}
	}
	for name, c := range map[string]struct {
		load func() error
		want string
	}{
		"too few types":        {vocabulary(func(v *tokenizer.Vocabulary) { v.Types = []tokenizer.TokenType{1} }), "token types"},
		"unknown type":         {vocabulary(func(v *tokenizer.Vocabulary) { v.Types = []tokenizer.TokenType{1, 1, 1, -5} }), "unknown type -5"},
		"too few scores":       {vocabulary(func(v *tokenizer.Vocabulary) { v.Model = "llama"; v.Scores = []float32{1} }), "scores"},
		"BOS 1<<31":            {vocabulary(func(v *tokenizer.Vocabulary) { v.BOS, v.AddBOS = &big, true }), "BOS"},
		"no EOS":               {vocabulary(func(v *tokenizer.Vocabulary) { v.AddEOS = true }), "EOS"},
		"a token twice":        {vocabulary(func(v *tokenizer.Vocabulary) { v.Tokens = []string{"a", "a", "b", "ab"} }), "has the ids 0 and 1"},
		"empty tokens":         {vocabulary(func(v *tokenizer.Vocabulary) { v.Tokens = []string{"a", "", "", "ab"} }), "has the ids 1 and 2"},
		"invalid UTF-8":        {vocabulary(func(v *tokenizer.Vocabulary) { v.Tokens = []string{"a", "b", "ab", "\x96\x81"} }), "token 3"},
		"invalid special":      {tiktoken(line("a", 0), map[string]uint32{"\xff": 1}), "valid UTF-8"},
		"merge of nothing":     {vocabulary(func(v *tokenizer.Vocabulary) { v.Merges = []string{" "} }), "merge 0"},
		"merge of one":         {vocabulary(func(v *tokenizer.Vocabulary) { v.Merges = []string{strings.Repeat("a", 1<<20)} }), "merge 0"},
		"merge of three":       {vocabulary(func(v *tokenizer.Vocabulary) { v.Merges = []string{"a b c"} }), "merge 0"},
		"a long piece":         {vocabulary(longPiece), "token of 2000 bytes"},
		"rank 1<<31":           {tiktoken(line("a", 1<<31), nil), "line 1"},
		"rank 1<<31 - 1":       {tiktoken(line("a", 1<<31-1), nil), "id 2147483647"},
		"rank 1<<64":           {tiktoken("YQ== 18446744073709551616\n", nil), "line 1"},
		"rank twice":           {tiktoken(line("a", 0)+line("b", 0), nil), "id 0 is that of two"},
		"token twice":          {tiktoken(line("a", 0)+line("a", 1), nil), "ranks 0 and 1"},
		"special id 1<<32 - 1": {tiktoken(line("a", 0), map[string]uint32{"x": 1<<32 - 1}), "id 4294967295"},
		"special id taken":     {tiktoken(line("a", 0), map[string]uint32{"x": 0}), "id 0 is that of two"},
		"empty token":          {tiktoken(line("", 0), nil), "line 1"},
		"tekken sizes":         {tekken(`_size": 7`, `_size": 9223372036854775807`), "of 4 ranks"},
		"tekken specials":      {tekken(`special_tokens": 3`, `special_tokens": -9223372036854775808`), "special"},
		"tekken rank":          {tekken(`"rank": 3`, `"rank": 4294967295`), "ranks are there"},
		"tekken rank 1<<32":    {tekken(`"rank": 3`, `"rank": 4294967296`), "tekken.json"},
		"tekken empty token":   {tekken(`"token_bytes": "aA=="`, `"token_bytes": ""`), "token_bytes"},
		"tekken no tokens":     {tekken(`"vocab": [`, `"vocab": [`+strings.Repeat("{},", 1<<18)), "token_bytes"},
		"tekken nested":        {tekken(`"vocab": [`, `"vocab": [`+strings.Repeat("[", 1<<16)), "tekken.json"},
		"vocab.json nested":    {pair(`{"a": `+strings.Repeat("[", 1<<20), ""), "vocab.json"},
		"vocab.json id":        {pair(`{"a": 2147483648}`, ""), "vocab.json"},
		"merges.txt":           {pair(`{"a": 0}`, strings.Repeat("a ", 1<<16)), "merge 0"},
		"SentencePiece length": {sentencePieceData([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}), "SentencePiece"},
		"SentencePiece type":   {sentencePieceData(spField(1, append(spField(1, []byte("a")), 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))), "type"},
		"SentencePiece empty":  {sentencePieceData(spField(1, spField(1, nil))), "piece 0"},
		"SentencePiece none":   {sentencePieceData(spField(2, []byte{0x18, 0x02})), "unknown piece"},
	} {
		if err := c.load(); err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 2000 {
			t.Errorf("%s: %.300v, want an error with %q", name, err, c.want)
		}
	}
	if err := tiktoken(factors.String(), nil)(); err != nil { // many merges, but no more than there may be
		t.Error(err)
	}
}

func longPiece(v *tokenizer.Vocabulary) {
	v.Model, v.Scores = "llama", make([]float32, 4)
	v.Tokens = []string{"<unk>", "a", "b", strings.Repeat("ab", 1000)}
}

// fibonacci returns the first bytes of the word whose parts of a length are the fewest without ever coming in a period.
func fibonacci(n int) string {
	a, b := "a", "ab"
	for len(b) < n {
		a, b = b, b+a
	}
	return b[:n]
}

func sentencePieceData(data []byte) func() error {
	return func() error {
		_, err := tokenizer.FromSentencePiece(data)
		return err
	}
}

func spField(number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
}
