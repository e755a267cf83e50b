package answer

import (
	"fmt"
	"slices"
	"strings"
)

// Tool is what a call's grammar knows of a tool.
type Tool struct {
	Name      string
	Schema    string     // of all arguments together: a JSON Schema
	Arguments []Argument // properties of it, in the forms that write them one by one
}

// Argument is one argument of a tool: a property of its schema.
type Argument struct {
	Name     string
	Required bool
	Text     bool     // it is written as it is, not as JSON
	Choices  []string // of a text; none: any
}

// OneByOne says whether a form writes the arguments of a call one by one, between tags.
func OneByOne(format CallFormat) bool {
	f := formOf(format)
	return f != nil && (f.tags != nil || f.pairs != nil)
}

// Grammar is the grammar, in Lark's notation with %json, of one call of one of the tools behind Lead; "" of the forms that write
// it as JSON, of which ObjectOf says how. The text of an argument has no "</" in it.
func Grammar(format CallFormat, tools []Tool) string {
	if format == Harmony {
		return harmonyGrammar(tools)
	}
	f := formOf(format)
	if f != nil && f.pairs != nil {
		return f.pairs.grammar(tools)
	}
	if f == nil || f.tags == nil && f.marks == nil {
		return ""
	}
	var b strings.Builder
	for i, tool := range tools {
		if f.tags != nil && slices.ContainsFunc(tool.Arguments, func(a Argument) bool { return !a.Text }) {
			fmt.Fprintf(&b, "%%json tool%d %s\n", i, oneLine(tool.Schema))
		}
	}
	b.WriteString("start: ")
	for i := range tools {
		if i > 0 {
			b.WriteString(" | ")
		}
		fmt.Fprintf(&b, "call%d", i)
	}
	b.WriteString("\n")
	for i, tool := range tools {
		fmt.Fprintf(&b, "call%d: ", i)
		if f.marks != nil {
			fmt.Fprintf(&b, "%s %%json %s\n", quoted(f.marks.before+tool.Name+f.marks.behind+f.marks.separator), oneLine(tool.Schema))
			continue
		}
		b.WriteString(f.tags.call(tool, fmt.Sprintf("tool%d", i)))
	}
	if f.tags != nil {
		b.WriteString("TEXT: /([^<]|<[^\\/<])*/\n")
	}
	return b.String()
}

// harmonyGrammar is Grammar of Harmony. Of one tool Lead has written the name.
func harmonyGrammar(tools []Tool) string {
	if len(tools) == 1 {
		return "start: %json " + oneLine(tools[0].Schema) + "\n"
	}
	calls := make([]string, len(tools))
	for i, tool := range tools {
		calls[i] = fmt.Sprintf("%s %%json %s", quoted(tool.Name+harmonyJSON), oneLine(tool.Schema))
	}
	return "start: " + strings.Join(calls, " | ") + "\n"
}

// call is a rule's body of a call between tags. schema is the name of the tool's schema in the grammar.
func (s *syntax) call(tool Tool, schema string) string {
	var b strings.Builder
	line := ""
	if s.nameOpen != "" {
		line = "\n"
	}
	b.WriteString(quoted(s.nameOpen + tool.Name + s.nameClose + line))
	for _, a := range tool.Arguments {
		key, edge := a.Name, ""
		if s.typed {
			key = fmt.Sprintf(`%s" string="%t`, a.Name, a.Text)
		}
		if s.lines {
			edge = "\n"
		}
		var value string
		switch {
		case len(a.Choices) > 0:
			choices := make([]string, len(a.Choices))
			for i, c := range a.Choices {
				choices[i] = quoted(c)
			}
			value = "(" + strings.Join(choices, " | ") + ")"
		case a.Text:
			value = "TEXT"
		default:
			value = "%json " + schema + "#" + quoted("/properties/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(a.Name))
		}
		argument := fmt.Sprintf("%s %s %s", quoted(s.keyOpen+key+s.keyClose+s.valueOpen+edge), value, quoted(edge+s.valueClose+line))
		if !a.Required {
			argument = "(" + argument + ")?"
		}
		b.WriteString(" " + argument)
	}
	end := s.close
	if s.callClose != "" {
		end = s.callClose + line + s.close
	}
	b.WriteString(" " + quoted(end) + "\n")
	return b.String()
}

// quoted is a text in Lark's notation.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < ' ':
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// oneLine is JSON without the ends of lines between its values: a rule of a grammar ends with its line.
func oneLine(schema string) string {
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(schema)
}
