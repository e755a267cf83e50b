package grammar

import (
	"errors"
	"strings"
	"testing"
)

func TestSchemas(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		{`{}`, []string{`1`, `"a"`, `{"a": [1, {}]}`, `[]`, `null`, "{\n  \"a\":1\n}"}, []string{``, `{`, `{"a"}`, `01`, `"\ud800"`, `[1,]`}},
		{`false`, nil, []string{`1`}},
		{`{"type":"integer"}`, []string{`0`, `-5`, `123`}, []string{`1.5`, `01`, `"1"`, ``}},
		{`{"type":"integer","minimum":3,"maximum":120}`, []string{`3`, `9`, `10`, `99`, `120`}, []string{`2`, `121`, `-5`, `1`, `1200`, `03`}},
		{`{"type":"integer","exclusiveMinimum":-12,"maximum":5}`, []string{`-11`, `-1`, `0`, `5`}, []string{`-12`, `6`, `-13`, `55`}},
		{`{"type":"number","minimum":0.5,"exclusiveMaximum":2}`, []string{`0.5`, `0.51`, `1`, `1.999`}, []string{`0.49`, `0.05`, `2`, `2.0`, `10`}},
		{`{"type":"integer","multipleOf":7,"minimum":1}`, []string{`7`, `14`, `70`}, []string{`0`, `8`, `-7`}},
		{`{"type":"string","minLength":2,"maxLength":3}`, []string{`"ab"`, `"éé€"`, `"a\n"`, `"\u0041b"`}, []string{`"a"`, `"abcd"`, `""`}},
		{`{"type":"string","pattern":"^a+$"}`, []string{`"a"`, `"aaa"`}, []string{`""`, `"ab"`}},
		{`{"type":"string","pattern":"b"}`, []string{`"b"`, `"abc"`, `"b\n"`}, []string{`"a"`}},
		{`{"type":"string","pattern":"^[a-z]+$","maxLength":3,"minLength":2}`, []string{`"ab"`, `"abc"`}, []string{`"a"`, `"abcd"`, `"AB"`}},
		{`{"type":"string","pattern":"^(ab|cd)+$","maxLength":100000}`, []string{`"ab"`, `"` + strings.Repeat("abcd", 300) + `"`}, []string{`"abc"`, `""`}},
		{`{"type":"string","pattern":"^\"\\d$"}`, []string{`"\"1"`}, []string{`""1"`}},
		{`{"type":"string","format":"date"}`, []string{`"2024-02-29"`, `"2023-12-31"`, `"2000-02-29"`, `"0400-01-01"`}, []string{`"0000-01-01"`, `"0000-02-29"`, `"1900-02-29"`, `"2023-02-29"`, `"2023-13-01"`, `"2023-04-31"`}},
		{`{"type":"string","format":"ipv6"}`, []string{`"::1"`, `"2001:db8::8a2e:370:7334"`, `"::"`, `"1:2:3:4:5:6:7:8"`}, []string{`":::"`, `"1:2:3"`, `"1::2::3"`}},
		{`{"type":"string","format":"regex"}`, []string{`"^[a-z0-9]+\\d?$"`, `""`}, []string{`"("`, `"*"`, `"[z-a]"`}},
		{`{"type":"string","format":"relative-json-pointer"}`, []string{`"0#"`, `"12/a~1b"`}, []string{`"01/a"`, `"/a"`}},
		{`{"type":"string","format":"uri-template"}`, []string{`"/a/{b,c}/d"`}, []string{`"/a/{b"`, `"/a/{}"`}},
		{`{"type":"string","format":"byte"}`, []string{`""`, `"QQ=="`, `"QUI="`, `"QUJD"`}, []string{`"Q"`, `"QQ="`}},
		{`{"enum":["a",1,null,{"b":[1.0]},"ab"]}`, []string{`"a"`, `1`, `null`, `{"b":[1]}`, `"ab"`}, []string{`"b"`, `{"b":[2]}`}},
		{`{"enum":["a","abc",5],"type":"string","minLength":2}`, []string{`"abc"`}, []string{`"a"`, `5`}},
		{`{"const":"x\"y"}`, []string{`"x\"y"`}, []string{`"x"`}},
		{`{"type":["string","null"]}`, []string{`"a"`, `null`}, []string{`1`}},
		{`{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}`, []string{`[1,2]`, `[1, 2,3]`}, []string{`[]`, `[1]`, `[1,2,3,4]`, `["a","b"]`}},
		{`{"type":"array","items":{"type":"null"},"minItems":20,"maxItems":30}`, []string{"[null" + strings.Repeat(",null", 19) + "]"}, []string{"[null" + strings.Repeat(",null", 18) + "]", "[null" + strings.Repeat(",null", 30) + "]"}},
		{`{"type":"array","prefixItems":[{"const":1},{"const":2}],"items":false}`, []string{`[]`, `[1]`, `[1,2]`}, []string{`[2]`, `[1,2,3]`}},
		{`{"type":"array","prefixItems":[{"const":1},{"const":2}],"items":{"const":3},"minItems":2,"maxItems":4}`, []string{`[1,2]`, `[1,2,3]`, `[1,2,3,3]`}, []string{`[1]`, `[1,2,3,3,3]`, `[1,2,4]`}},
		{`{"type":"array","maxItems":0}`, []string{`[]`}, []string{`[1]`}},
		{
			`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"],"additionalProperties":false}`,
			[]string{`{"a":1}`, `{"a": 1, "b": "x"}`, "{\n\"a\": 1\n}"},
			[]string{`{}`, `{"b":"x"}`, `{"b":"x","a":1}`, `{"a":1,"c":2}`, `{"a":1,}`},
		},
		{`{"type":"object","properties":{"a":{"type":"integer"}}}`, []string{`{}`, `{"a":1}`, `{"a":1,"c":[2]}`, `{"c":2}`, `{"ab":2}`}, []string{`{"a":"x"}`, `{"c":2,"a":"x"}`}},
		{`{"type":"object","required":["x"],"properties":{"y":{}}}`, []string{`{"x":1}`, `{"y":1,"x":2}`}, []string{`{}`, `{"y":1}`}},
		{`{"type":"object","additionalProperties":{"type":"integer"},"minProperties":1,"maxProperties":2}`, []string{`{"a":1}`, `{"a":1,"b":2}`}, []string{`{}`, `{"a":1,"b":2,"c":3}`}},
		{`{"type":"object","properties":{"a":{},"b":{},"c":{}},"additionalProperties":false,"minProperties":2}`, []string{`{"a":1,"c":1}`, `{"a":1,"b":2,"c":3}`}, []string{`{}`, `{"b":1}`}},
		{`{"type":"object","patternProperties":{"^a":{"type":"integer"},"^b":{"type":"null"}},"additionalProperties":false}`, []string{`{}`, `{"ab":1,"b":null}`}, []string{`{"c":1}`, `{"a":null}`}},
		{`{"anyOf":[{"type":"integer"},{"type":"object","properties":{"n":{"$ref":"#"}},"required":["n"],"additionalProperties":false}]}`, []string{`1`, `{"n":1}`, `{"n":{"n":1}}`}, []string{`{}`, `{"n":"a"}`}},
		{`{"allOf":[{"type":"object","properties":{"a":{"type":"number"}},"required":["a"]},{"properties":{"a":{"type":"integer"},"b":{"type":"null"}},"required":["b"]}]}`, []string{`{"a":1,"b":null}`}, []string{`{"a":1.5,"b":null}`, `{"a":1}`}},
		{`{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k","x"],"additionalProperties":false},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"],"additionalProperties":false},{"type":"null"}]}`, []string{`{"k":"a","x":1}`, `{"k":"b"}`, `null`}, []string{`{"k":"a"}`, `{"k":"b","x":1}`}},
		{`{"$ref":"#/$defs/t","$defs":{"t":{"type":"object","properties":{"v":{"type":"integer"},"c":{"type":"array","items":{"$ref":"#/$defs/t"}}},"required":["v"],"additionalProperties":false}}}`, []string{`{"v":1}`, `{"v":1,"c":[{"v":2,"c":[]}]}`}, []string{`{"c":[]}`}},
		{`{"properties":{"a":{"type":"string"}},"anyOf":[{"required":["a"]},{"required":["b"]}],"type":"object"}`, []string{`{"a":"x"}`, `{"b":1}`, `{"a":"x","b":1}`}, []string{`{}`, `{"a":1}`}},
		{`{"$ref":"#foo","$defs":{"x":{"$anchor":"foo","type":"null"}}}`, []string{`null`}, []string{`1`}},
	} {
		if len(c.yes) > 0 {
			checkSchema(t, v, c.schema, c.yes, c.no)
		} else if _, err := Compile(nil, Constraint{Kind: KindJSONSchema, Text: c.schema}, v); err == nil {
			t.Errorf("%s: compiled", c.schema)
		}
	}
}

func TestSchemasRefused(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"a":{"not":{"format":"date"}}}}`:                                 "#/properties/a/not/format",
		`{"if":{"unevaluatedProperties":{"type":"null"}},"then":{"const":null}}`:                         "#/if/unevaluatedProperties",
		`{"type":"array","uniqueItems":true}`:                                                            "#/uniqueItems",
		`{"type":"array","contains":{"const":1},"minContains":100000}`:                                   "#/contains",
		`{"type":"array","contains":{"const":1},"unevaluatedItems":false}`:                               "#/unevaluatedItems",
		`{"type":"array","contains":{},"maxContains":3,"uniqueItems":true}`:                              "#/uniqueItems",
		`{"type":"string","format":"color"}`:                                                             "#/format",
		`{"type":"string","pattern":"(?=a)"}`:                                                            "#/pattern",
		`{"type":"number","multipleOf":1.001}`:                                                           "#/multipleOf",
		`{"type":"integer","minimum":5,"exclusiveMinimum":true}`:                                         "#/exclusiveMinimum",
		`{"oneOf":[{"uniqueItems":true},{"minItems":2}]}`:                                                "#/oneOf/0/uniqueItems",
		`{"$ref":"http://example.com/x"}`:                                                                "#/$ref",
		`{"$ref":"#/$defs/none"}`:                                                                        "#/$ref",
		`{"type":"strnig"}`:                                                                              "#/type",
		`{"type":"object","not":{"unevaluatedProperties":false}}`:                                        "#/not/unevaluatedProperties",
		`{"type":"object","dependentRequired":{"a":"b"}}`:                                                "#/dependentRequired",
		`{"type":"object","propertyNames":{"pattern":"(?=a)"}}`:                                          "#/propertyNames/pattern",
		`{"$dynamicRef":"#a","$defs":{"x":{"$dynamicAnchor":"a"},"y":{"$id":"y","$dynamicAnchor":"a"}}}`: "#/$dynamicRef",
		`{"type":"string","pattern":"^(a|b)*a(a|b){30}$"}`:                                               "#/pattern",
		`{"type":"array","items":[{"not":5}]}`:                                                           "#/items/0/not",
		`{"not":{"not":{"not":{}}},"$recursiveRef":"#"}`:                                                 "#/$recursiveRef",
		`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#x"}}}`:                      "#/$defs/b/$ref",
		`{"type":"array","uniqueItems":true,"items":{"enum":[0` + manyNumbers(100_000) + `]}}`:           "#/uniqueItems",
		`{"not":{"not":{"format":"color"}}}`:                                                             "#/not/not/format",
		`{`:                                                                                              "",
		`{} {}`:                                                                                          "",
		`5`:                                                                                              "#",
		`{"type":"integer","minimum":5,"maximum":4}`:                                                     "",
	} {
		_, err := Compile(nil, Constraint{Kind: KindJSONSchema, Text: schema}, v)
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%s: %v", schema, err)
		} else if e.Where != want {
			t.Errorf("%s: at %q, want %q (%v)", schema, e.Where, want, e)
		}
	}
}

// manyNumbers is the numbers from 1 up to below n, each behind a comma.
func manyNumbers(n int) string {
	var b strings.Builder
	for i := 1; i < n; i++ {
		b.WriteString("," + itoa(i))
	}
	return b.String()
}

// TestListing: of too many values no more are kept than the limit.
func TestListing(t *testing.T) {
	t.Parallel()
	l := listing{known: map[string]bool{}}
	texts := strings.Split(manyNumbers(10_000), ",")
	if !l.add([]string{"1", "2", "1"}) || len(l.texts) != 2 {
		t.Error(l.texts)
	}
	if l.add(texts) || len(l.texts) != maxListed || len(l.known) != maxListed {
		t.Errorf("%d of %d values are kept", len(l.texts), len(texts))
	}
}

// TestWarm: after it, terminals and formats are known in all their states, and a schema of them shares what is known.
func TestWarm(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for step := range Warmups {
		if err := v.Warm(nil, step); err != nil {
			t.Fatal(err)
		}
	}
	d := v.terminals()
	known := []*dfa{d.text, d.integer, d.number, d.name}
	for _, name := range []string{"email", "uri"} {
		if d.formats[name] == nil {
			t.Fatalf("%s is not known", name)
		}
		known = append(known, d.formats[name])
	}
	for _, d := range known {
		for s := range d.locals {
			if d.locals[s].Load() == nil {
				t.Fatalf("state %d of %d is not known", s, len(d.locals))
			}
		}
	}
	gone := errors.New("gone")
	if err := v.Warm(func() error { return gone }, 0); !errors.Is(err, gone) {
		t.Error(err)
	}
}
