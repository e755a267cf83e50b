package answer

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
)

// syntax is how calls are written between tags: the name of a tool and its arguments, one by one.
type syntax struct {
	nameOpen, nameClose   string // nameClose "": a line's end or the next tag
	keyOpen, keyClose     string
	valueOpen, valueClose string // valueOpen "": the value follows keyClose at once
	callClose             string // "": close
	close                 string // of all calls
	lines                 bool   // a value stands on lines of its own
	typed                 bool   // the key says whether its value is text: key" string="true
}

// tagged reads calls between tags. A value is the text of an argument that the tool declares as a string; of others it is
// JSON, a Python literal, or text if it is neither.
type tagged struct {
	syntax
	at    taggedState
	held  []byte // of the tag or the text that is being read
	name  string // of the tool, once it is known
	key   string
	args  int  // arguments so far
	began bool // something of the value was given
	json  scanner
}

type taggedState byte

const (
	beforeName taggedState = iota
	inName
	beforeKey // or the end of the call
	inArgKey
	beforeValue
	inArgText     // the value is text, given as it comes
	inArgJSON     // the value may be JSON, given when it has ended
	inObject      // all arguments as a JSON object
	afterObject   // and the end of the call
	betweenTagged // calls
)

// maxValue bounds a value that may be JSON, which is kept until it has ended.
const maxValue = 1 << 20

func (g *tagged) add(p *Parser, c byte) verdict {
	switch g.at {
	case beforeName, beforeKey, beforeValue, afterObject, betweenTagged:
		return g.addTag(p, c)
	case inName:
		return g.addName(p, c)
	case inArgKey:
		if !g.until(c, g.keyClose) {
			return g.bounded(p, maxName)
		}
		g.key = string(g.held)
		g.enter(beforeValue)
		if g.valueOpen == "" {
			g.value(p)
		}
		return more
	case inArgText:
		g.addText(p, c)
		return more
	case inArgJSON:
		if !g.until(c, g.valueClose) {
			return g.bounded(p, maxValue)
		}
		p.argue(g.argument()...)
		g.enter(beforeKey)
		return more
	case inObject:
		if !g.json.add(c) {
			return g.broken(p)
		}
		p.argue(c)
		if g.json.state == scanned {
			g.enter(afterObject)
		}
		return more
	}
	return broken
}

// enter goes to a state of which nothing has been read.
func (g *tagged) enter(to taggedState) { g.at, g.held = to, g.held[:0] }

// until takes a byte of what ends with a text, which is taken away then.
func (g *tagged) until(c byte, end string) bool {
	g.held = append(g.held, c)
	if !bytes.HasSuffix(g.held, []byte(end)) {
		return false
	}
	g.held = g.held[:len(g.held)-len(end)]
	return true
}

func (g *tagged) bounded(p *Parser, most int) verdict {
	if len(g.held) > most {
		return g.broken(p)
	}
	return more
}

// broken takes the call back that was given.
func (g *tagged) broken(p *Parser) verdict {
	if g.name != "" {
		p.retract()
		g.name = ""
	}
	return broken
}

// tags are those that may come in a state, and the states behind them.
func (g *tagged) tags() map[string]taggedState {
	end := g.callClose
	if end == "" {
		end = g.close
	}
	switch g.at {
	case beforeName:
		return map[string]taggedState{g.nameOpen: inName}
	case beforeKey:
		return map[string]taggedState{g.keyOpen: inArgKey, end: betweenTagged}
	case beforeValue:
		return map[string]taggedState{g.valueOpen: inArgJSON}
	case afterObject:
		return map[string]taggedState{end: betweenTagged}
	default:
		return map[string]taggedState{g.close: betweenTagged, g.nameOpen: inName}
	}
}

// addTag takes a byte of a tag, or white space before it.
func (g *tagged) addTag(p *Parser, c byte) verdict {
	if len(g.held) == 0 && isJSONSpace(c) {
		return more
	}
	if g.at == beforeKey && g.args == 0 && len(g.held) == 0 && c == '{' && g.nameOpen != "" {
		g.at = inObject
		g.json.add(c)
		p.argue(c)
		return more
	}
	g.held = append(g.held, c)
	possible := false
	for tag, to := range g.tags() {
		switch {
		case tag == "" || !strings.HasPrefix(tag, string(g.held)):
			continue
		case tag == string(g.held):
			return g.pass(p, tag, to)
		}
		possible = true
	}
	switch {
	case possible:
		return more
	case g.at == betweenTagged:
		return before
	}
	return g.broken(p)
}

// pass goes behind a tag.
func (g *tagged) pass(p *Parser, tag string, to taggedState) verdict {
	from := g.at
	g.enter(to)
	switch {
	case from == betweenTagged && tag == g.close:
		return finished
	case to == inArgJSON:
		g.value(p)
	case to == betweenTagged:
		g.finishCall(p, from)
		if tag == g.close {
			return finished
		}
		return settled
	}
	return more
}

// finishCall ends the arguments of a call.
func (g *tagged) finishCall(p *Parser, from taggedState) {
	switch {
	case from == afterObject:
	case g.args == 0:
		p.argue('{', '}')
	default:
		p.argue('}')
	}
	p.settle()
	g.name, g.args, g.json = "", 0, scanner{}
}

// addName takes a byte of the tool's name.
func (g *tagged) addName(p *Parser, c byte) verdict {
	end, rest := g.nameClose, byte(0)
	if end == "" {
		if c != '\n' && c != '<' {
			g.held = append(g.held, c)
			return g.bounded(p, maxName)
		}
		rest = c
	} else if !g.until(c, end) {
		return g.bounded(p, maxName)
	}
	name := strings.TrimSpace(string(g.held))
	if !p.open(name, "") {
		return broken
	}
	g.name = name
	g.enter(beforeKey)
	if rest == '<' {
		return g.addTag(p, rest)
	}
	return more
}

// value begins the value of an argument.
func (g *tagged) value(p *Parser) {
	separator := ", "
	if g.args == 0 {
		separator = "{"
	}
	g.args++
	key, text := strings.TrimSpace(g.key), false
	if g.typed {
		var is string
		key, is, _ = strings.Cut(key, `" string="`)
		text = is == "true"
	} else if p.config.IsText != nil {
		text = p.config.IsText(g.name, key)
	}
	p.argue([]byte(separator)...)
	p.argue(marshal(key)...)
	p.argue(':', ' ')
	g.enter(inArgJSON)
	if text {
		g.at, g.began = inArgText, false
		p.argue('"')
	}
}

// addText takes a byte of a value that is text: it is given at once, but for what may be the end.
func (g *tagged) addText(p *Parser, c byte) {
	if g.lines && !g.began && len(g.held) == 0 && c == '\n' {
		g.began = true
		return
	}
	g.began = true
	g.held = append(g.held, c)
	if text, ok := bytes.CutSuffix(g.held, []byte(g.valueClose)); ok {
		if g.lines {
			text = bytes.TrimSuffix(text, []byte("\n"))
		}
		p.argue(escaped(text)...)
		p.argue('"')
		g.enter(beforeKey)
		return
	}
	sure := 0
	for sure < len(g.held) && !g.mayEnd(g.held[sure:]) {
		sure++
	}
	p.argue(escaped(g.held[:sure])...)
	g.held = append(g.held[:0], g.held[sure:]...)
}

// mayEnd says whether a value's end may begin with some bytes.
func (g *tagged) mayEnd(text []byte) bool {
	if g.lines {
		text = bytes.TrimPrefix(text, []byte("\n"))
	}
	return strings.HasPrefix(g.valueClose, string(text))
}

// argument is a value as JSON.
func (g *tagged) argument() []byte {
	text := g.held
	trimmed := bytes.TrimFunc(text, unicode.IsSpace)
	if json.Valid(trimmed) {
		return trimmed
	}
	if value, ok := fromPython(string(trimmed)); ok {
		return value
	}
	if g.lines {
		text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("\n")), []byte("\n"))
	}
	return append(append([]byte{'"'}, escaped(text)...), '"')
}

// escaped is a part of a JSON string, byte by byte: it may end inside of a character.
func escaped(text []byte) []byte {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(text))
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c == '\t':
			out = append(out, '\\', 't')
		case c <= lastControlByte:
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			out = append(out, c)
		}
	}
	return out
}

func (g *tagged) end(p *Parser) {
	if g.at == betweenTagged {
		return
	}
	g.broken(p)
	p.fall("")
}
