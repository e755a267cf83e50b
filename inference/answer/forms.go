package answer

// form is how calls are written in a format.
type form struct {
	// open are the marks that announce calls anywhere in a text; mark is the one that did.
	open []string
	// read makes the reader of what is behind a mark.
	read func(mark string) caller
	// others are further marks that a tokenizer may have special tokens for.
	others []string
	// lead is what a model writes before the first call.
	lead string
	// tags and marks are how the form writes a call, where that is not JSON.
	tags  *syntax
	marks *marks
	pairs *pairs
}

// formOf is the form of a format; nil of those that are told otherwise.
func formOf(format CallFormat) *form {
	functions := syntax{
		nameOpen: functionOpen, nameClose: ">", keyOpen: "<parameter=", keyClose: ">", valueClose: "</parameter>",
		callClose: "</function>", close: toolCallClose, lines: true,
	}
	switch format {
	case Granite:
		return listForm("<|tool_call|>", "<|/tool_call|>")
	case Nemotron:
		return listForm("<TOOLCALL>", "</TOOLCALL>")
	case ToolCalls:
		return listForm("<tool_calls>", "</tool_calls>")
	case GigaChat:
		return listForm("<|function_call|>", "<|/function_call|>")
	case Cohere:
		return listForm("<|START_ACTION|>", "<|END_ACTION|>")
	case DeepSeek:
		return markedForm("<｜tool▁calls▁begin｜>", marks{"<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "", ""})
	case Kimi:
		return markedForm("<|tool_calls_section_begin|>",
			marks{"<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>", "<|tool_calls_section_end|>", "functions.", ":0"})
	case Qwen3Coder: // which models leave the mark out of
		return taggedForm(functions, toolCallOpen, functionOpen)
	case Seed:
		functions.close = "</seed:tool_call>"
		return taggedForm(functions, "<seed:tool_call>")
	case GLM:
		return taggedForm(syntax{
			keyOpen: "<arg_key>", keyClose: "</arg_key>", valueOpen: "<arg_value>", valueClose: "</arg_value>", close: toolCallClose,
		}, toolCallOpen)
	case MiniMax:
		return taggedForm(syntax{
			nameOpen: `<invoke name="`, nameClose: `">`, keyOpen: `<parameter name="`, keyClose: `">`, valueClose: "</parameter>",
			callClose: "</invoke>", close: "</minimax:tool_call>",
		}, "<minimax:tool_call>")
	case Gemma, FunctionGemma:
		return pairedForm(pairsOf(format))
	case DeepSeek32:
		return deepSeek32()
	case NoCalls, Hermes, Llama3, Mistral, JSON, Harmony:
	}
	return nil
}

// listForm is that of a list in JSON between two marks.
func listForm(open, end string) *form {
	return &form{
		open: []string{open}, others: []string{end}, lead: open,
		read: func(string) caller { return &list{brackets: true, close: end, optional: true} },
	}
}

// taggedForm is that of calls between tags. The first of the marks that open them is the one that a model writes.
func taggedForm(s syntax, open ...string) *form {
	lead := open[0]
	if s.nameOpen != "" {
		lead += "\n"
	}
	return &form{
		open: open, others: []string{s.close, s.keyOpen, s.keyClose, s.valueOpen, s.valueClose}, lead: lead, tags: &s,
		read: func(mark string) caller {
			t := &tagged{syntax: s}
			if s.nameOpen == "" || mark == s.nameOpen {
				t.at = inName
			}
			return t
		},
	}
}

// deepSeek32 is the form of DeepSeek V3.2, and of V4, which has another name for the outer tag.
func deepSeek32() *form {
	f := taggedForm(syntax{
		nameOpen: `<｜DSML｜invoke name="`, nameClose: `">`, keyOpen: `<｜DSML｜parameter name="`, keyClose: `">`,
		valueClose: "</｜DSML｜parameter>", callClose: "</｜DSML｜invoke>", close: "</｜DSML｜function_calls>", typed: true,
	}, "<｜DSML｜function_calls>", "<｜DSML｜tool_calls>")
	functionCalls := f.read
	f.read = func(mark string) caller { // V4 says tool_calls
		t := functionCalls(mark)
		if g, ok := t.(*tagged); ok && mark == f.open[1] {
			g.close = "</｜DSML｜tool_calls>"
		}
		return t
	}
	return f
}

// markedForm is that of calls of which each part has a mark.
func markedForm(open string, m marks) *form {
	return &form{
		open: []string{open, m.call}, others: []string{m.separator, m.callEnd, m.end}, lead: open + m.call, marks: &m,
		read: func(mark string) caller {
			d := &marked{marks: m}
			if mark == m.call {
				d.at = inHead
			}
			return d
		},
	}
}

// pairedForm is that of names with values in Gemma's own notation.
func pairedForm(s *pairs) *form {
	return &form{
		open: []string{s.open}, others: []string{s.close, s.quote}, lead: s.open, pairs: s,
		read: func(string) caller { return &paired{pairs: *s} },
	}
}
