package grammar

import (
	"math/rand/v2"
	"testing"
)

// TestLogic: keywords that say what a value is not, or what depends on what it is.
func TestLogic(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		// not
		{`{"not":{"type":"string"}}`, []string{`1`, `null`, `{"a":"b"}`}, []string{`"a"`}},
		{`{"type":"number","not":{"type":"integer"}}`, []string{`1.5`, `-0.25`}, []string{`1`, `1.0`, `0.00`}},
		{`{"not":{"enum":["a",1,null,true]},"type":["string","integer","null","boolean"]}`, []string{`"b"`, `"aa"`, `10`, `false`, `""`}, []string{`"a"`, `1`, `null`, `true`}},
		{`{"type":"number","not":{"const":2.5}}`, []string{`2.51`, `2`, `-2.5`}, []string{`2.5`, `2.50`}},
		{`{"type":"string","not":{"const":"\u00e9"}}`, []string{`"e"`}, []string{`"é"`, `"\u00e9"`}},
		{`{"type":"array","not":{"const":[1,[2]]}}`, []string{`[]`, `[1]`, `[1,[3]]`, `[1,[2],3]`, `["1",[2]]`}, []string{`[1,[2]]`}},
		{`{"type":"object","not":{"const":{"a":1}}}`, []string{`{}`, `{"a":2}`, `{"a":1,"b":2}`, `{"b":1}`}, []string{`{"a":1}`}},
		{`{"type":"integer","not":{"minimum":5}}`, []string{`4`, `-9`}, []string{`5`, `60`}},
		{`{"type":"integer","not":{"multipleOf":3}}`, []string{`4`, `-5`}, []string{`0`, `3`, `-9`}},
		{`{"type":"number","not":{"multipleOf":0.5}}`, []string{`0.25`, `1.51`, `0.500001`}, []string{`0`, `1.5`, `2.50`}},
		{`{"type":"string","not":{"minLength":3}}`, []string{`"ab"`, `""`}, []string{`"abc"`}},
		{`{"type":"string","not":{"pattern":"^a|\\d"}}`, []string{`"ba"`, `""`}, []string{`"a"`, `"x1"`, `"x٣"`}},
		{`{"type":"object","not":{"required":["a","b"]},"properties":{"a":{},"b":{}}}`, []string{`{}`, `{"a":1}`, `{"b":1}`}, []string{`{"a":1,"b":2}`}},
		{`{"type":"object","not":{"properties":{"a":{"type":"integer"}}}}`, []string{`{"a":"x"}`}, []string{`{}`, `{"a":1}`}},
		{`{"type":"object","not":{"properties":{"a":{}},"additionalProperties":{"type":"integer"}},"properties":{"a":{},"b":{}}}`, []string{`{"b":"x"}`, `{"a":1,"c":null}`, `{"c":1,"e":2,"d":null}`}, []string{`{}`, `{"a":"x"}`, `{"b":1,"c":2}`}},
		{`{"type":"object","not":{"additionalProperties":false,"properties":{"a":{}}},"additionalProperties":false,"properties":{"a":{},"b":{},"c":{}}}`, []string{`{"a":1,"b":2}`, `{"c":1}`}, []string{`{}`, `{"a":1}`, `{"d":1}`}},
		{`{"type":"object","not":{"patternProperties":{"^x":{"type":"integer"}}}}`, []string{`{"x":"a"}`, `{"a":1,"xy":null}`}, []string{`{}`, `{"x":1}`, `{"a":null}`}},
		{`{"type":"object","not":{"propertyNames":{"maxLength":2}},"properties":{"abc":{},"d":{}}}`, []string{`{"abc":1}`, `{"d":1,"xyz":2}`}, []string{`{}`, `{"d":1}`, `{"xy":1}`}},
		{`{"type":"object","not":{"anyOf":[{"additionalProperties":{"type":"integer"}},{"patternProperties":{"^a":{"type":"string"}}}]},"properties":{"a":{}}}`, []string{`{"a":null}`, `{"a":1,"b":null}`, `{"a":"x","ab":null}`}, []string{`{"a":1}`, `{"a":"x","b":null}`, `{}`}},
		{`{"type":"object","not":{"patternProperties":{"^a":{}},"properties":{"b":{}},"additionalProperties":false}}`, []string{`{"c":1}`, `{"ab":1,"c":1}`}, []string{`{}`, `{"b":1}`, `{"ab":1}`}},
		{`{"type":"array","not":{"items":{"type":"integer"}}}`, []string{`["a"]`, `[1,"a",2]`}, []string{`[]`, `[1,2]`}},
		{`{"type":"array","not":{"contains":{"const":1}}}`, []string{`[]`, `[2,3]`}, []string{`[1]`, `[2,1]`}},
		{`{"type":"array","not":{"prefixItems":[{"const":1},{"const":2}],"items":false}}`, []string{`[2]`, `[1,3]`, `[1,2,3]`}, []string{`[]`, `[1]`, `[1,2]`}},
		{`{"not":{"anyOf":[{"type":"string"},{"type":"number"},{"type":"array"},{"type":"object"}]}}`, []string{`null`, `true`}, []string{`1`, `"a"`, `[]`}},
		{`{"type":"integer","not":{"allOf":[{"minimum":3},{"maximum":5}]}}`, []string{`2`, `6`}, []string{`3`, `5`}},
		{`{"type":"integer","not":{"oneOf":[{"minimum":3},{"maximum":5}]}}`, []string{`3`, `5`}, []string{`2`, `6`}},
		{`{"type":"integer","not":{"not":{"minimum":3}}}`, []string{`3`}, []string{`2`}},
		{`{"$defs":{"x":{"type":"array","items":{"not":{"$ref":"#/$defs/x"}}}},"type":"array","not":{"$ref":"#/$defs/x"}}`, []string{`[[]]`, `[1,[]]`}, []string{`[]`, `[1]`, `[[[]]]`}},
		{`{"type":"object","not":{"dependentRequired":{"a":["b"]}},"properties":{"a":{},"b":{}}}`, []string{`{"a":1}`}, []string{`{}`, `{"b":1}`, `{"a":1,"b":1}`}},

		// if, then, else
		{`{"type":"integer","if":{"minimum":10},"then":{"multipleOf":10},"else":{"multipleOf":2}}`, []string{`20`, `8`, `-4`}, []string{`12`, `7`}},
		{`{"type":"object","properties":{"k":{"enum":["a","b"]},"v":{}},"required":["k","v"],"if":{"properties":{"k":{"const":"a"}}},"then":{"properties":{"v":{"type":"integer"}}},"else":{"properties":{"v":{"type":"null"}}}}`, []string{`{"k":"a","v":1}`, `{"k":"b","v":null}`}, []string{`{"k":"a","v":null}`, `{"k":"b","v":1}`}},
		{`{"type":"integer","if":{"minimum":10}}`, []string{`1`, `11`}, nil},
		{`{"type":"integer","then":{"minimum":10}}`, []string{`1`, `11`}, nil},

		// oneOf of schemas that may hold together
		{`{"oneOf":[{"type":"integer"},{"type":"number","minimum":2}]}`, []string{`1`, `2.5`}, []string{`3`, `1.5`}},
		{`{"type":"object","properties":{"a":{},"b":{}},"oneOf":[{"required":["a"]},{"required":["b"]}]}`, []string{`{"a":1}`, `{"b":1}`}, []string{`{}`, `{"a":1,"b":2}`}},
		{`{"oneOf":[{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false},{"type":"object","properties":{"b":{"type":"integer"}},"additionalProperties":false}]}`, []string{`{"a":1}`, `{"b":1}`}, []string{`{}`, `{"a":1,"b":1}`}},

		{`{"oneOf":[{"type":"string","pattern":"^a"},{"type":"string","pattern":"^b"},{"type":"integer","maximum":3},{"type":"integer","exclusiveMinimum":3}]}`, []string{`"a"`, `"b1"`, `3`, `4`}, []string{`"c"`}},
		{`{"oneOf":[{"type":"object","properties":{"k":{"const":1}}},{"type":"object","properties":{"k":{"const":2},"v":{"type":"null"}}},{"type":"object","properties":{"k":{"type":"string"}}}]}`, []string{`{"k":1}`, `{"k":2,"v":null}`, `{"k":"x","v":1}`}, []string{`{}`, `{"v":1}`, `{"k":2,"v":1}`, `{"k":null}`}},

		// dependencies
		{`{"type":"object","properties":{"a":{},"b":{}},"dependentRequired":{"a":["b"]}}`, []string{`{}`, `{"b":1}`, `{"a":1,"b":1}`, `{"c":1}`}, []string{`{"a":1}`, `{"a":1,"c":1}`}},
		{`{"type":"object","properties":{"a":{},"b":{}},"dependencies":{"a":{"properties":{"b":{"type":"integer"}}},"b":["a"]}}`, []string{`{}`, `{"a":1,"b":1}`, `{"a":1}`}, []string{`{"b":1}`, `{"a":1,"b":"x"}`}},
		{`{"dependentSchemas":{"a":{"required":["b"]}},"properties":{"a":{},"b":{}}}`, []string{`1`, `{"b":1}`, `{"a":1,"b":1}`}, []string{`{"a":1}`}},

		// enum beside keywords that restrict arrays and objects
		{`{"enum":[[1],[1,2],{"a":1,"b":2},{"b":2}],"minItems":2,"required":["a"]}`, []string{`[1,2]`, `{"a":1,"b":2}`}, []string{`[1]`, `{"b":2}`, `[2,1]`}},
	} {
		checkSchema(t, v, c.schema, c.yes, c.no)
	}
}

// TestArraysAndObjects: keywords of arrays and objects that count, compare or look at what others evaluate.
func TestArraysAndObjects(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		{`{"type":"array","contains":{"const":1}}`, []string{`[1]`, `[2,1,3]`, `[1,1]`}, []string{`[]`, `[2,3]`}},
		{`{"type":"array","contains":{"const":1},"minContains":2,"maxContains":2,"maxItems":4}`, []string{`[1,1]`, `[1,2,1,3]`}, []string{`[1]`, `[1,1,1]`, `[1,2,3,4]`, `[1,1,2,2,2]`}},
		{`{"type":"array","contains":{"const":1},"minContains":0,"maxContains":1}`, []string{`[]`, `[2,1]`, `[3,3]`}, []string{`[1,1]`}},
		{`{"allOf":[{"contains":{"multipleOf":2}},{"contains":{"multipleOf":3}}],"type":"array","items":{"type":"integer"}}`, []string{`[6]`, `[2,3]`, `[1,3,5,4]`}, []string{`[2]`, `[3,9]`}},
		{`{"type":"array","prefixItems":[{"type":"string"}],"contains":{"type":"null"},"minItems":3}`, []string{`["a",1,null]`, `["a",null,1,2]`}, []string{`["a",null]`, `[null,1,2]`}},
		{`{"type":"array","items":{"enum":[1,"a",null]},"uniqueItems":true}`, []string{`[]`, `["a",1,null]`, `[null,1]`}, []string{`[1,1]`, `[1,"a",1]`, `[2]`}},
		{`{"type":"array","items":{"type":["boolean","null"]},"uniqueItems":true,"minItems":3}`, []string{`[null,false,true]`}, []string{`[true,true,null]`, `[true,null]`}},
		{`{"type":"array","items":{"anyOf":[{"enum":[1,2]},{"const":3}]},"uniqueItems":true,"maxItems":2}`, []string{`[3,1]`}, []string{`[1,2,3]`, `[3,3]`}},
		{`{"type":"array","items":{"enum":["a","b","c","d","e","f","g","h","i"]},"uniqueItems":true,"minItems":2,"maxItems":3}`, []string{`["a","b"]`, `["b","e","i"]`}, []string{`["a"]`, `["a","a"]`, `["a","b","c","d"]`}},
		{`{"type":"array","prefixItems":[{"const":1},{"enum":[1,2]}],"items":false,"uniqueItems":true}`, []string{`[1,2]`, `[1]`}, []string{`[1,1]`}},
		{`{"type":"array","items":{"type":"string"},"uniqueItems":true,"maxItems":1}`, []string{`["x"]`}, []string{`["x","y"]`}},

		{`{"type":"object","propertyNames":{"pattern":"^[a-c]+$","maxLength":2},"properties":{"zz":{}},"additionalProperties":{"type":"integer"}}`, []string{`{}`, `{"ab":1}`}, []string{`{"zz":1}`, `{"abc":1}`, `{"d":1}`}},
		{`{"type":"object","propertyNames":{"anyOf":[{"enum":["x","y"]},{"not":{"minLength":3}}]},"maxProperties":1}`, []string{`{"x":1}`, `{"ab":1}`}, []string{`{"xyz":1}`}},
		{`{"type":"object","patternProperties":{"^a":{"type":"integer"},"b$":{"minimum":5},"^c":{},"^d":{},"^e":{},"^f":false},"additionalProperties":false}`, []string{`{"a":1,"ab":6,"b":"x","d":[],"eb":5}`}, []string{`{"ab":4}`, `{"x":1}`, `{"f":1}`, `{"fb":9}`, `{"a":"x"}`}},

		{`{"type":"object","properties":{"a":{}},"allOf":[{"properties":{"b":{}}}],"unevaluatedProperties":false}`, []string{`{"a":1,"b":2}`, `{}`}, []string{`{"c":1}`}},
		{`{"type":"object","unevaluatedProperties":{"type":"integer"},"anyOf":[{"properties":{"k":{"const":1},"a":{"type":"string"}},"required":["k"]},{"properties":{"k":{"const":2}},"required":["k"]}]}`, []string{`{"k":1,"a":"x","b":3}`, `{"k":2,"a":4}`}, []string{`{"k":2,"a":"x"}`, `{"k":1,"b":"x"}`}},
		{`{"allOf":[{"properties":{"a":{}}},{"type":"object","properties":{"b":{}},"unevaluatedProperties":false}]}`, []string{`{"b":1}`}, []string{`{"a":1}`}},
		{`{"type":"object","not":{"properties":{"a":{"const":1}},"required":["a"]},"unevaluatedProperties":false}`, []string{`{}`}, []string{`{"a":2}`}},
		{`{"type":"object","patternProperties":{"^x":{}},"if":{"properties":{"a":{"const":1}},"required":["a"]},"then":{"properties":{"b":{}}},"unevaluatedProperties":false}`, []string{`{"a":1,"b":2}`, `{"x1":1}`}, []string{`{"b":1}`, `{"a":2}`}},
		{`{"type":"array","prefixItems":[{"const":1}],"allOf":[{"prefixItems":[{},{"const":2}]}],"unevaluatedItems":false}`, []string{`[1]`, `[1,2]`}, []string{`[1,2,3]`, `[1,3]`}},
		{`{"type":"array","unevaluatedItems":{"type":"null"},"anyOf":[{"prefixItems":[{"const":1}]},{"items":{"const":2}}]}`, []string{`[1,null]`, `[2,2]`}, []string{`[1,1]`, `[3]`}},

		{`{"type":"number","multipleOf":0.01,"minimum":0}`, []string{`1.25`, `3`, `0.5`}, []string{`1.255`, `0.001`}},
		{`{"type":"integer","multipleOf":1.5}`, []string{`3`, `0`, `-6`}, []string{`1`, `1.5`}},
		{`{"allOf":[{"multipleOf":0.4},{"multipleOf":0.6}],"type":"number"}`, []string{`1.2`, `12`}, []string{`0.4`, `0.6`, `2`}},

		{`{"$id":"http://a/b/c.json","properties":{"x":{"$ref":"d.json"},"y":{"$ref":"d.json#/$defs/n"},"z":{"$ref":"/b/d.json#n"}},"required":["x","y","z"],"$defs":{"d":{"$id":"d.json","type":"object","maxProperties":0,"$defs":{"n":{"$anchor":"n","$ref":"#/$defs/m"},"m":{"type":"null"}}}}}`, []string{`{"x":{},"y":null,"z":null}`}, []string{`{"x":1,"y":null,"z":null}`, `{"x":{},"y":1,"z":null}`}},
		{`{"$dynamicAnchor":"node","type":"object","properties":{"c":{"type":"array","items":{"$dynamicRef":"#node"}}},"additionalProperties":false}`, []string{`{}`, `{"c":[{"c":[]}]}`}, []string{`{"c":[1]}`}},
	} {
		checkSchema(t, v, c.schema, c.yes, c.no)
	}
}

// checkSchema compiles a schema, which must take some texts and refuse others, and lets random walks find their way.
func checkSchema(t *testing.T, v *Vocabulary, schema string, yes, no []string) {
	t.Helper()
	g, err := Compile(nil, Constraint{Kind: KindJSONSchema, Text: schema}, v)
	if err != nil {
		t.Errorf("%s: %v", schema, err)
		return
	}
	for _, text := range yes {
		if !matches(t, g, text) {
			t.Errorf("%s refuses %s", schema, text)
		}
	}
	for _, text := range no {
		if matches(t, g, text) {
			t.Errorf("%s takes %s", schema, text)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		wander(t, g, v, random, 25)
	}
}
