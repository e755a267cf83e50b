package answer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// pairs is how Gemma writes a call: call:name{key:value,key:value}. The values are like JSON, with keys as they are and
// texts between marks, in which nothing is escaped.
type pairs struct {
	open, close string // the call
	quote       string // a text, on both sides
}

// pairsCall is what stands before a call's name.
const pairsCall = "call:"

// pairsOf are the marks of a form; nil of others.
func pairsOf(format CallFormat) *pairs {
	switch format {
	case Gemma:
		return &pairs{"<|tool_call>", "<tool_call|>", `<|"|>`}
	case FunctionGemma:
		return &pairs{"<start_function_call>", "<end_function_call>", "<escape>"}
	default:
		return nil
	}
}

// paired reads a call of pairs and reports its arguments as JSON while they are read.
type paired struct {
	pairs
	at    pairedState
	held  []byte // of the name, a key, a word or a mark that is being read
	stack []byte // of open '{' and '['
	fresh bool   // nothing came since the last of them
	isKey bool   // the text that is being read is a key
	open  bool   // a call was given and is not whole

	string scanner // of one as JSON has it
}

type pairedState byte

const (
	pairedName  pairedState = iota // up to the brace behind it
	pairedKey                      // or the brace that ends an empty object
	pairedColon                    // behind a key that was quoted
	pairedValue                    // or the bracket that ends an empty list
	pairedText                     // between marks
	pairedJSON                     // a string as JSON has it
	pairedWord                     // a number or a word
	pairedAfter                    // a value: a comma, or the end of what is open
	pairedClose                    // the mark behind the call
)

func (r *paired) add(p *Parser, c byte) verdict {
	v := r.next(p, c)
	if v == broken && r.open {
		p.retract()
		r.open = false
	}
	return v
}

func (r *paired) next(p *Parser, c byte) verdict {
	switch r.at {
	case pairedName:
		return r.name(p, c)
	case pairedKey:
		return r.key(p, c)
	case pairedColon:
		return r.colon(p, c)
	case pairedValue:
		return r.value(p, c)
	case pairedText:
		return r.text(p, c)
	case pairedJSON:
		return r.json(p, c)
	case pairedWord:
		return r.word(p, c)
	case pairedAfter:
		return r.after(p, c)
	case pairedClose:
	}
	return r.mark(c)
}

// name takes a byte of the call's name.
func (r *paired) name(p *Parser, c byte) verdict {
	if c != '{' {
		r.held = append(r.held, c)
		if c == '<' || len(r.held) > maxName+len(pairsCall) { // it may begin a mark
			return broken
		}
		return more
	}
	name, ok := strings.CutPrefix(strings.TrimSpace(string(r.held)), pairsCall)
	if !ok || !p.open(name, "") {
		return broken
	}
	r.open = true
	return r.enter(p, c)
}

// enter opens an object or a list.
func (r *paired) enter(p *Parser, c byte) verdict {
	if r.stack = append(r.stack, c); len(r.stack) > maxScanDepth {
		return broken
	}
	p.argue(c)
	r.held, r.fresh, r.at = r.held[:0], true, pairedValue
	if c == '{' {
		r.at = pairedKey
	}
	return more
}

// key takes a byte of a key. It is a text, between marks or as JSON has it, or stands as it is and then holds neither a
// bracket nor a comma nor what may begin a mark: what is broken does not run on into the next call.
func (r *paired) key(p *Parser, c byte) verdict {
	first := len(r.held) == 0
	r.held = append(r.held, c)
	switch held := string(r.held); {
	case held == r.quote:
		p.argue('"')
		r.held, r.isKey, r.at = r.held[:0], true, pairedText
	case strings.HasPrefix(r.quote, held):
	case first && isJSONSpace(c):
		r.held = r.held[:0]
	case first && c == '"':
		r.held, r.isKey, r.at = r.held[:0], true, pairedJSON
		return r.json(p, c)
	case first && c == '}' && r.fresh:
		return r.leave(p, c)
	case held[0] == '<' || strings.IndexByte("{}[],<", c) >= 0 || len(held) > maxHead:
		return broken
	case c == ':':
		name := strings.TrimRight(held[:len(held)-1], " \t\r\n")
		if name == "" {
			return broken
		}
		p.argue('"')
		p.argue(escaped([]byte(name))...)
		p.argue('"', ':')
		r.held, r.at = r.held[:0], pairedValue
	}
	return more
}

// colon takes a byte behind a key that was quoted.
func (r *paired) colon(p *Parser, c byte) verdict {
	switch {
	case isJSONSpace(c):
	case c == ':':
		p.argue(c)
		r.at = pairedValue
	default:
		return broken
	}
	return more
}

// value takes a byte at the beginning of a value.
func (r *paired) value(p *Parser, c byte) verdict {
	r.held = append(r.held, c)
	switch held := string(r.held); {
	case held == r.quote:
		p.argue('"')
		r.held, r.at = r.held[:0], pairedText
	case strings.HasPrefix(r.quote, held):
	case len(held) > 1:
		return broken
	case isJSONSpace(c):
		r.held = r.held[:0]
	case c == '"':
		r.held, r.at = r.held[:0], pairedJSON
		return r.json(p, c)
	case c == '{' || c == '[':
		return r.enter(p, c)
	case c == ']' && r.fresh && r.stack[len(r.stack)-1] == '[':
		return r.leave(p, c)
	case strings.IndexByte(",:]}", c) >= 0:
		return broken
	default:
		r.at = pairedWord
	}
	return more
}

// text takes a byte between marks.
func (r *paired) text(p *Parser, c byte) verdict {
	r.held = append(r.held, c)
	for len(r.held) > 0 && !strings.HasPrefix(r.quote, string(r.held)) {
		p.argue(escaped(r.held[:1])...)
		r.held = append(r.held[:0], r.held[1:]...)
	}
	if string(r.held) == r.quote {
		p.argue('"')
		r.held = r.held[:0]
		r.ended()
	}
	return more
}

// json takes a byte of a string as JSON has it.
func (r *paired) json(p *Parser, c byte) verdict {
	p.argue(c)
	if !r.string.add(c) {
		return broken
	}
	if r.string.state == scanned {
		r.string = scanner{}
		r.ended()
	}
	return more
}

// ended goes behind a text.
func (r *paired) ended() {
	r.at = pairedAfter
	if r.isKey {
		r.isKey, r.at = false, pairedColon
	}
}

// word takes a byte of a number or a word, as JSON or Python writes it.
func (r *paired) word(p *Parser, c byte) verdict {
	if strings.IndexByte(",]}", c) < 0 && !isJSONSpace(c) {
		if r.held = append(r.held, c); c == '<' || len(r.held) > maxHead { // it may begin a mark
			return broken
		}
		return more
	}
	held := r.held
	switch string(held) {
	case "None", "True", "False":
		held = bytes.ToLower(bytes.Replace(held, []byte("None"), []byte("null"), 1))
	}
	if !json.Valid(held) {
		return broken
	}
	p.argue(held...)
	r.held = r.held[:0]
	return r.after(p, c)
}

// after takes a byte behind a value.
func (r *paired) after(p *Parser, c byte) verdict {
	r.at, r.fresh = pairedAfter, false
	in := r.stack[len(r.stack)-1]
	switch {
	case isJSONSpace(c):
		return more
	case c == in+2: // ']' and '}' lie two behind '[' and '{'
		return r.leave(p, c)
	case c != ',':
		return broken
	}
	p.argue(c)
	r.at = pairedValue
	if in == '{' {
		r.at = pairedKey
	}
	return more
}

// leave closes what was opened last.
func (r *paired) leave(p *Parser, c byte) verdict {
	p.argue(c)
	r.held, r.stack = r.held[:0], r.stack[:len(r.stack)-1]
	if r.at = pairedAfter; len(r.stack) > 0 {
		return more
	}
	p.settle()
	r.at, r.open = pairedClose, false
	return settled
}

// mark takes a byte of the mark that ends the call, which may be missing.
func (r *paired) mark(c byte) verdict {
	if len(r.held) == 0 && isJSONSpace(c) {
		return more
	}
	r.held = append(r.held, c)
	switch held := string(r.held); {
	case held == r.close:
		return finished
	case strings.HasPrefix(r.close, held):
		return more
	}
	return before
}

func (r *paired) end(p *Parser) {
	if r.at == pairedClose {
		return
	}
	if r.open {
		p.retract()
		r.open = false
	}
	p.fall("")
}

// grammar is Grammar of the form: arguments in the order of the schema, those that are not texts as JSON.
func (s *pairs) grammar(tools []Tool) string {
	var head, body strings.Builder
	calls := make([]string, len(tools))
	for i, tool := range tools {
		fmt.Fprintf(&head, "%%json tool%d %s\n", i, oneLine(tool.Schema))
		calls[i] = fmt.Sprintf("call%d", i)
		fmt.Fprintf(&body, "call%d: %s first%d_0\n", i, quoted(pairsCall+tool.Name+"{"), i)
		for k, a := range tool.Arguments { // first: of the arguments that come; next: behind another
			first := fmt.Sprintf("%s next%d_%d", s.argument(a, i, ""), i, k+1)
			next := fmt.Sprintf("%s next%d_%d", s.argument(a, i, ","), i, k+1)
			if !a.Required {
				first += fmt.Sprintf(" | first%d_%d", i, k+1)
				next += fmt.Sprintf(" | next%d_%d", i, k+1)
			}
			fmt.Fprintf(&body, "first%d_%d: %s\nnext%d_%d: %s\n", i, k, first, i, k, next)
		}
		n := len(tool.Arguments)
		fmt.Fprintf(&body, "first%d_%d: %s\nnext%d_%d: %s\n", i, n, quoted("}"+s.close), i, n, quoted("}"+s.close))
	}
	text := fmt.Sprintf("TEXT: /([^<]|<[^%c<])*/\n", s.quote[1])
	return head.String() + "start: " + strings.Join(calls, " | ") + "\n" + body.String() + text
}

// written is how an argument's name is written so that it is read as it was: as it is if its end can be told, or else between
// marks, or as JSON has it if it holds such a mark.
func (s *pairs) written(name string) string {
	switch {
	case strings.Contains(name, s.quote):
		return string(marshal(name))
	case name == "" || len(name) > maxName || strings.ContainsAny(name, `:{}[],"<`) || strings.TrimSpace(name) != name:
		return s.quote + name + s.quote
	}
	return name
}

// argument is the expression of an argument behind a text.
func (s *pairs) argument(a Argument, tool int, before string) string {
	key := before + s.written(a.Name) + ":"
	switch {
	case len(a.Choices) > 0:
		choices := make([]string, len(a.Choices))
		for i, c := range a.Choices {
			choices[i] = quoted(c)
		}
		return fmt.Sprintf("%s (%s) %s", quoted(key+s.quote), strings.Join(choices, " | "), quoted(s.quote))
	case a.Text:
		return fmt.Sprintf("%s TEXT %s", quoted(key+s.quote), quoted(s.quote))
	}
	return fmt.Sprintf("%s %%json tool%d#%s", quoted(key), tool, quoted("/properties/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(a.Name)))
}
