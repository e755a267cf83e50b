package inference

import (
	"errors"
	"testing"

	"github.com/sluiceml/sluice/inference/answer"
)

// TestRequiredCallOfNoTool: a call that no tool can answer is refused, and no other tool is called instead.
func TestRequiredCallOfNoTool(t *testing.T) {
	m := &Model{config: Config{Calls: answer.JSON}}
	tools := []Tool{{Name: "f"}, {Name: "g"}}
	for name, c := range map[string]struct {
		tools  []Tool
		choice ToolChoice
		field  string // of the violation; "": none
	}{
		"the second one":       {tools, ToolChoice{Mode: ToolChoiceNamed, Name: "g"}, ""},
		"any":                  {tools, ToolChoice{Mode: ToolChoiceRequired}, ""},
		"an unknown one":       {tools, ToolChoice{Mode: ToolChoiceNamed, Name: "h"}, "chat.tool_choice.name"},
		"a name without tools": {nil, ToolChoice{Mode: ToolChoiceNamed, Name: "f"}, "chat.tool_choice.name"},
		"any without tools":    {nil, ToolChoice{Mode: ToolChoiceRequired}, "chat.tool_choice.mode"},
	} {
		input := Chat{Tools: c.tools, ToolChoice: c.choice}
		_, err := m.callConstraint(&Request{Input: input})
		lead, errOfLead := callLead(answer.JSON, input)
		for _, err := range []error{err, errOfLead} {
			invalid, ok := errors.AsType[*InvalidError](err)
			if ok != (c.field != "") || ok && invalid.Violations[0].Field != c.field || !ok && err != nil {
				t.Errorf("%s: %v, want a violation of %q", name, err, c.field)
			}
		}
		if (lead == nil) != (errOfLead != nil) {
			t.Errorf("%s: the lead is %v", name, lead)
		}
	}
}
