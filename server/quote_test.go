package server_test

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// TestErrorsQuoteNothingInTheLog: what is refused in a schema, an expression or a grammar is named to the caller, and
// neither the status message nor the log repeats the caller's text.
func TestErrorsQuoteNothingInTheLog(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{talker(t, "")})
	client := generator(i)
	required := &sluicev1.ToolChoice{Choice: &sluicev1.ToolChoice_Mode{Mode: sluicev1.ToolChoiceMode_TOOL_CHOICE_MODE_REQUIRED}}
	tool := func(parameters string) *sluicev1.GenerateRequest {
		in := chatOf("hi")
		in.GetChat().Tools, in.GetChat().ToolChoice = []*sluicev1.Tool{{Name: "f", Parameters: parameters}}, required
		return in
	}
	held := func(c *sluicev1.Constraint) *sluicev1.GenerateRequest {
		in := greedy("hi", 4)
		in.Constraint = c
		return in
	}
	regex := func(text string) *sluicev1.GenerateRequest {
		return held(&sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: text}})
	}
	rules := func(text string) *sluicev1.GenerateRequest {
		return held(&sluicev1.Constraint{Kind: &sluicev1.Constraint_Grammar{Grammar: text}})
	}
	requests := map[string]struct {
		in    *sluicev1.GenerateRequest
		named bool // the caller is told the text, where it is the place of the error
	}{
		"a tool's member twice":  {tool(`{"properties": {"sesame": {}, "sesame": {}}}`), true},
		"a tool's keyword":       {tool(`{"properties": {"sesame": {"uniqueItems": true}}}`), true},
		"a tool's reference":     {tool(`{"properties": {"sesame": {"$ref": "#/$defs/sesame"}}}`), true},
		"a member twice":         {held(schema(`{"properties": {"x": {"sesame": 1, "sesame": 2}}}`)), false},
		"a keyword":              {held(schema(`{"properties": {"sesame": {"uniqueItems": true}}}`)), true},
		"a reference":            {held(schema(`{"properties": {"sesame": {"$ref": "sesame"}}}`)), true},
		"a type":                 {held(schema(`{"type": "sesame"}`)), false},
		"a format":               {held(schema(`{"properties": {"sesame": {"format": "sesame", "type": "string"}}}`)), false},
		"a pattern":              {held(schema(`{"type": "string", "pattern": "(sesame"}`)), false},
		"a pattern of names":     {held(schema(`{"type": "object", "patternProperties": {"(sesame": {}}}`)), false},
		"not JSON":               {held(schema(`{"sesame`)), false},
		"an expression":          {regex(`(sesame`), true},
		"a look at what follows": {regex(`a(?=sesame)`), false},
		"a boundary":             {regex(`sesame\b`), false},
		"GBNF, no such rule":     {rules(`root ::= sesame`), true},
		"GBNF, a text's end":     {rules(`root ::= "sesame`), false},
		"Lark, no such rule":     {rules(`start: sesame`), true},
		"Lark, an expression":    {rules("start: SESAME\nSESAME: /(sesame/"), false},
		"Lark, a boundary":       {rules("start: SESAME\nSESAME: /sesame\\b/"), true},
		"Lark, an import":        {rules("start: \"a\"\n%import sesame.X"), false},
		"Lark, what is ignored":  {rules("start: \"a\"\n%ignore SESAME"), true},
	}
	for name, test := range requests {
		_, err := client.Generate(t.Context(), test.in)
		if err == nil {
			t.Errorf("%s is not refused", name)
			continue
		}
		st := wantStatus(t, err, codes.InvalidArgument)
		if strings.Contains(strings.ToLower(st.Message()), "sesame") {
			t.Errorf("%s: the message repeats the text: %s", name, st.Message())
		}
		told := detail[*errdetails.BadRequest](t, st).GetFieldViolations()[0].GetDescription()
		if test.named && !strings.Contains(strings.ToLower(told), "sesame") {
			t.Errorf("%s: the caller is told %q", name, told)
		}
		if strings.Contains(told, "grammar: ") {
			t.Errorf("%s: the caller is told of a package: %q", name, told)
		}
	}
	log := i.Log.String()
	if !strings.Contains(log, "InvalidArgument") {
		t.Errorf("the calls are not in the log:\n%s", log)
	}
	if strings.Contains(strings.ToLower(log), "sesame") {
		t.Errorf("the log repeats the text:\n%s", log)
	}
}
