//go:build grammar

package grammar

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// oracle is llguidance in a process of its own.
type oracle struct {
	in  io.Writer
	out *bufio.Reader
}

type question struct {
	Kind    string          `json:"kind"`
	Text    string          `json:"text"`
	Tokens  []uint32        `json:"tokens"`
	Masks   bool            `json:"masks"`
	Walk    int             `json:"walk,omitempty"`
	Seed    int             `json:"seed"`
	Options json.RawMessage `json:"options,omitempty"`
}

type reply struct {
	Error     string
	Accepted  int
	Accepting bool
	Masks     []string
	Walked    []uint32
}

func startOracle(t *testing.T, v *Vocabulary) *oracle {
	t.Helper()
	python := os.Getenv("GRAMMAR_PYTHON")
	if python == "" {
		t.Fatal("GRAMMAR_PYTHON names no interpreter; run make test-grammar")
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/oracle.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	first := struct {
		Tokens  []string `json:"tokens"`
		Special []int    `json:"special"`
		End     uint32   `json:"end"`
	}{End: v.ends[0]}
	for id, text := range v.text {
		if text == nil {
			first.Special = append(first.Special, id)
			text = []byte{0xFF, byte(id)}
		}
		first.Tokens = append(first.Tokens, hex.EncodeToString(text))
	}
	o := &oracle{in, bufio.NewReader(out)}
	o.send(t, first)
	return o
}

func (o *oracle) send(t *testing.T, x any) {
	t.Helper()
	line, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

func (o *oracle) ask(t *testing.T, q question) reply {
	t.Helper()
	o.send(t, q)
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// walk draws tokens from our masks, and keeps the masks.
func walk(t *testing.T, g *Grammar, v *Vocabulary, random *rand.Rand, steps int) (tokens []uint32, masks [][]uint64, ends bool) {
	t.Helper()
	m := mustMatcher(t, g)
	for {
		mask := make([]uint64, v.words())
		if err := m.Mask(mask); err != nil {
			t.Fatal(err)
		}
		masks = append(masks, mask)
		var allowed []uint32
		for id := range v.Size() {
			if mask[id>>6]>>(id&63)&1 != 0 && v.text[id] != nil {
				allowed = append(allowed, uint32(id))
			}
		}
		if len(allowed) == 0 || len(tokens) == steps {
			return tokens, masks, m.MayEnd()
		}
		id := allowed[random.IntN(len(allowed))]
		if ok, err := m.Accept(id); !ok || err != nil {
			t.Fatal(id, ok, err)
		}
		tokens = append(tokens, id)
	}
}

// TestMasksOfLLGuidance compares masks, token for token, where both say what the language is.
func TestMasksOfLLGuidance(t *testing.T) {
	v := toyVocabulary()
	o := startOracle(t, v)
	for _, q := range []question{
		{Kind: "regex", Text: `a+b?|[0-9]{2,5}`},
		{Kind: "regex", Text: `(ab|a|bc)*c?`},
		{Kind: "regex", Text: `[^"\n]{3,7}`},
		{Kind: "regex", Text: `é{2}|name|\p{Greek}+€|😀[^a-z]*`},
		{Kind: "regex", Text: `(\{"name": [0-9]+(, "[ab]+": (true|false|null))*\})`},
		{Kind: "regex", Text: `(?i:name)|[a-c]é?`},
		{Kind: "regex", Text: `-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?`},
		{Kind: "regex", Text: `[0-9]{4}-[01][0-9]T1`},
		{Kind: "lark", Text: "start: sum\nsum: product | sum \"+\" product\nproduct: NUMBER | \"(\" sum \")\"\nNUMBER: /[0-9]+/\n"},
		{Kind: "lark", Text: "start: v\nv: \"{\" (pair (\",\" pair)*)? \"}\" | S | \"[\" v* \"]\"\npair: S \":\" v\nS: /\"[^\"]*\"/\n"},
		{Kind: "lark", Text: "start: e\ne: e \"+\" e | e \"a\" e | \"1\" | \"12\"\n"},
		{Kind: "lark", Text: "start: \"a\" start \"b\" | \"(\" start \")\" | \"ab\" | start \"+\"\n"},
		{Kind: "lark", Text: "start: (\"true\" | \"null\" \",\"? )+ /[é€]{2,}/ [\"@\"]\n"},
		{Kind: "lark", Text: "start: a b? a\na: \"aa\"*\nb: /\\|/ a\n"},
	} {
		kind := KindRegex
		if q.Kind == "lark" {
			kind = KindGrammar
		}
		g, err := Compile(nil, Constraint{Kind: kind, Text: q.Text}, v)
		if err != nil {
			t.Logf("refused: %s: %v", q.Text, err)
			continue
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 40 {
			tokens, masks, ends := walk(t, g, v, random, 20)
			q.Tokens, q.Masks = tokens, true
			r := o.ask(t, q)
			if r.Error != "" {
				t.Errorf("%s: %s", q.Text, r.Error)
				break
			}
			if r.Accepted != len(tokens) || r.Accepting != ends {
				t.Errorf("%s: llguidance takes %d of %d tokens of %q (ends: %v, %v)", q.Text, r.Accepted, len(tokens), text(v, tokens), r.Accepting, ends)
				continue
			}
			for i, mask := range r.Masks {
				if mask != "" {
					compareMasks(t, v, q.Text, masks[i], mask)
				}
			}
		}
	}
}

func compareMasks(t *testing.T, v *Vocabulary, text string, mine []uint64, theirs string) {
	t.Helper()
	raw, err := hex.DecodeString(theirs)
	if err != nil {
		t.Fatal(err)
	}
	for id := range v.Size() {
		a, b := mine[id>>6]>>(id&63)&1 != 0, raw[id>>3]>>(id&7)&1 != 0
		if a != b {
			t.Errorf("%s: token %d %q: %v, llguidance says %v", text, id, v.text[id], a, b)
			return
		}
	}
}

// TestSchemasOfLLGuidance: what our masks lead to conforms for llguidance too, and what its masks lead to, in its most
// compact form, conforms here.
func TestSchemasOfLLGuidance(t *testing.T) {
	v := toyVocabulary()
	o := startOracle(t, v)
	compact := json.RawMessage(`{"whitespace_flexible": false, "item_separator": ",", "key_separator": ":"}`)
	for _, schema := range []string{
		`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"],"additionalProperties":false}`,
		`{"type":"object","properties":{"name":{"enum":["ab","abc",null,1]},"x":{"const":{"a":[true,1.5]}}},"required":["x"],"additionalProperties":false}`,
		`{"type":"array","items":{"type":["null","boolean"]},"minItems":2,"maxItems":9}`,
		`{"type":"array","prefixItems":[{"type":"null"},{"const":1}],"items":{"type":"boolean"},"minItems":1}`,
		`{"type":"string","minLength":2,"maxLength":6}`,
		`{"type":"integer","minimum":-12,"maximum":1023}`,
		`{"type":"number","minimum":0.25,"exclusiveMaximum":12.5}`,
		`{"type":"integer","exclusiveMinimum":7}`,
		`{"anyOf":[{"type":"integer","maximum":5,"minimum":0},{"type":"array","items":{"$ref":"#"},"maxItems":2}]}`,
		`{"$ref":"#/$defs/t","$defs":{"t":{"type":"object","properties":{"v":{"type":"boolean"},"c":{"type":"array","items":{"$ref":"#/$defs/t"},"maxItems":2}},"required":["v"],"additionalProperties":false}}}`,
		`{"type":"object","properties":{"a":{}},"additionalProperties":{"type":"null"}}`,
		`{"type":"string","pattern":"^[a-c]{2,5}1?$"}`,
		`{"type":"string","format":"date"}`, `{"type":"string","format":"uuid"}`, `{"type":"string","format":"ipv4"}`,
		`{}`,
	} {
		g := mustCompile(t, Constraint{Kind: KindJSONSchema, Text: schema}, v)
		random := rand.New(rand.NewPCG(1, 2))
		for range 40 {
			tokens, _, ends := walk(t, g, v, random, 30)
			if s := text(v, tokens); strings.Contains(s, "\x7F") || strings.Contains(s, `\u`) {
				continue // which JSON allows in strings and llguidance does not
			}
			r := o.ask(t, question{Kind: "json", Text: schema, Tokens: tokens})
			if r.Error != "" {
				t.Errorf("%s: %s", schema, r.Error)
				break
			}
			if r.Accepted != len(tokens) || ends && !r.Accepting {
				t.Errorf("%s: llguidance takes %d tokens of %q", schema, r.Accepted, text(v, tokens))
			}
		}
		taken := 0
		for i := range 40 {
			r := o.ask(t, question{Kind: "json", Text: schema, Walk: 25, Seed: i, Options: compact})
			m := mustMatcher(t, g)
			ok := r.Error == ""
			for _, id := range r.Walked {
				if ok {
					ok, _ = m.Accept(id)
				}
			}
			if ok {
				taken++
			} else {
				t.Logf("%s: refused: %q %s", schema, text(v, r.Walked), r.Error)
			}
		}
		t.Logf("%s: %d of 40 of llguidance's texts are taken", schema, taken)
	}
}

func text(v *Vocabulary, tokens []uint32) string {
	var out []byte
	for _, id := range tokens {
		out = append(out, v.text[id]...)
	}
	return string(out)
}
