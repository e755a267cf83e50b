package answer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Config says how a model writes and what it was told.
type Config struct {
	Reasoning Reasoning // the zero value: it does not reason
	// Reasons says that the prompt has opened the reasoning, so that the answer begins in the middle of it.
	Reasons bool
	Calls   CallFormat
	Tools   []string // names of the declared tools; nothing else can be called
	// IsText says whether an argument of a tool is declared as a string, so that its text is not JSON in the forms that write
	// values as they are. nil: of none it is known, and what is JSON is read as JSON.
	IsText func(tool, argument string) bool
	NewID  func() string // makes the id of a call that has none. Required if there are calls.
}

// Delta is what has become certain of an answer.
type Delta struct {
	Reasoning string // before Text
	Text      string
	Calls     []Call
}

// Call is more of a call: the fragments of an index concatenate.
type Call struct {
	Index     int
	ID, Name  string // in the first fragment of a call
	Arguments string // more of the JSON text
	// Retracted says that the index is no call after all: what was given of it is void, and its text follows as Text.
	Retracted bool
}

// Join puts fragments behind the calls that they belong to, and takes out what is retracted. What it returns are calls as
// far as they have come.
func Join(calls, fragments []Call) []Call {
	for _, f := range fragments {
		switch {
		case f.Retracted:
			calls = calls[:f.Index]
		case f.Index == len(calls):
			calls = append(calls, f)
		default:
			calls[f.Index].Arguments += f.Arguments
		}
	}
	return calls
}

// Parser reads one answer. It is not safe for concurrent use.
type Parser struct {
	config Config
	state  state
	held   string // text that may be part of a mark, or white space that may lie around one
	begun  bool   // there was text that is not white space
	called bool   // the last thing was a call: white space after it is none of the text

	call     caller
	raw      []byte   // of what was written since the last whole call: text, if it is no call
	fragment []byte   // of the arguments of the last call that was opened
	count    int      // calls so far
	channels *harmony // nil: the answer is not messages on channels
	whole    int      // those that are whole

	out Delta
}

type state byte

const (
	atStart     state = iota // of the answer: white space, until reasoning begins or something else does
	inReasoning              // between the tags
	inTextState              // outside of calls
	inCall                   // within one
)

// caller reads calls in one of the forms, byte by byte, from behind the mark that announced them on.
type caller interface {
	// add takes a byte. It reports through the parser what it has found and says how to go on.
	add(p *Parser, c byte) verdict
	// end says that the answer has ended.
	end(p *Parser)
}

type verdict byte

const (
	more     verdict = iota // the byte was taken
	settled                 // a call is whole up to the byte, and more may follow: nothing of it is text
	finished                // the byte was the last of the calls
	before                  // the calls have ended before what there is since the last one, the byte included
	broken                  // what there is since the last call, the byte included, is text
)

// New makes a parser.
func New(config Config) *Parser {
	p := &Parser{config: config}
	if config.Calls == Harmony || config.Reasoning.Name == harmonyName {
		p.channels = &harmony{}
	}
	if config.Reasons && config.Reasoning.Open != "" {
		p.state = inReasoning
	}
	return p
}

// Calls is the number of whole calls so far.
func (p *Parser) Calls() int { return p.whole }

// Add takes the next piece of the answer: whole UTF-8 characters.
func (p *Parser) Add(piece string) Delta {
	p.run(piece)
	return p.take()
}

// Flush ends the answer.
func (p *Parser) Flush() Delta {
	if p.state == inCall {
		p.call.end(p)
		p.leaveCall()
	}
	if p.channels != nil {
		p.flushMessage()
		return p.take()
	}
	switch p.state {
	case inReasoning:
		p.out.Reasoning += strings.TrimRightFunc(p.held, unicode.IsSpace)
	case atStart, inTextState:
		if !p.called || strings.TrimSpace(p.held) != "" {
			p.out.Text += p.held
		}
	case inCall:
	}
	p.held = ""
	return p.take()
}

func (p *Parser) take() Delta {
	p.give()
	out := p.out
	p.out = Delta{}
	return out
}

// run reads a piece. Each state takes what it can and hands on the rest.
func (p *Parser) run(rest string) {
	for rest != "" {
		if p.channels != nil {
			rest = p.harmonize(rest)
			continue
		}
		switch p.state {
		case atStart:
			rest = p.start(rest)
		case inReasoning:
			rest = p.reason(rest)
		case inTextState:
			rest = p.text(rest)
		case inCall:
			rest = p.calls(rest)
		}
	}
}

// start decides whether the answer begins with reasoning.
func (p *Parser) start(piece string) string {
	open := p.config.Reasoning.Open
	all := p.held + piece
	body := strings.TrimLeftFunc(all, unicode.IsSpace)
	if open != "" && len(body) < len(open) && strings.HasPrefix(open, body) {
		p.held = all
		return ""
	}
	p.held = ""
	if open != "" && strings.HasPrefix(body, open) {
		p.state = inReasoning
		return body[len(open):]
	}
	p.state = inTextState
	return all
}

// reason takes reasoning. White space at its ends is left out.
func (p *Parser) reason(piece string) string {
	tag := p.config.Reasoning.Close
	all := p.held + piece
	if p.out.Reasoning == "" && !p.begun {
		all = strings.TrimLeftFunc(all, unicode.IsSpace)
	}
	if at := strings.Index(all, tag); at >= 0 {
		p.out.Reasoning += strings.TrimRightFunc(all[:at], unicode.IsSpace)
		p.held, p.state, p.begun, p.called = "", inTextState, false, true
		return all[at+len(tag):]
	}
	sure := len(all) - openEnd(all, []string{tag})
	sure = len(strings.TrimRightFunc(all[:sure], unicode.IsSpace))
	p.out.Reasoning += all[:sure]
	p.begun = p.begun || sure > 0
	p.held = all[sure:]
	return ""
}

// text takes text up to a mark that announces calls.
func (p *Parser) text(piece string) string {
	all := p.held + piece
	p.held = ""
	if p.called { // white space after reasoning or a call
		if all = strings.TrimLeftFunc(all, unicode.IsSpace); all == "" {
			return ""
		}
	}
	if p.config.Calls == NoCalls {
		p.called = false
		p.out.Text += all
		return ""
	}
	if !p.begun {
		rest, opened, undecided := p.opensAnswer(all)
		switch {
		case undecided:
			p.held = all
			return ""
		case opened:
			return rest
		}
	}
	marks := p.marks()
	if at, mark := firstOf(all, marks); mark != "" {
		text := strings.TrimRightFunc(all[:at], unicode.IsSpace)
		p.say(text)
		p.enterCall(mark, all[len(text):at+len(mark)])
		return all[at+len(mark):]
	}
	sure := len(all) - openEnd(all, marks)
	sure = len(strings.TrimRightFunc(all[:sure], unicode.IsSpace))
	p.say(all[:sure])
	p.held = all[sure:]
	return ""
}

// say gives text.
func (p *Parser) say(s string) {
	if s != "" {
		p.begun, p.called = true, false
		p.out.Text += s
	}
}

// marks are those that announce calls anywhere in a text.
func (p *Parser) marks() []string {
	switch p.config.Calls {
	case Hermes:
		return []string{toolCallOpen}
	case Llama3:
		return []string{pythonTag}
	case Mistral:
		return []string{mistralCalls}
	default:
		if f := formOf(p.config.Calls); f != nil {
			return f.open
		}
	}
	return nil
}

// opensAnswer says whether an answer that has no text yet begins with calls that need no mark, and what follows the part
// that announced them.
func (p *Parser) opensAnswer(all string) (rest string, opened, undecided bool) {
	body := strings.TrimLeftFunc(all, unicode.IsSpace)
	if body == "" {
		return "", false, true
	}
	skipped := all[:len(all)-len(body)]
	switch p.config.Calls {
	case Llama3:
		if body[0] == '{' {
			p.enterCall("", skipped)
			return body, true, false
		}
	case JSON:
		if body[0] == '{' || body[0] == '[' {
			p.enterCall("", skipped)
			return body, true, false
		}
		return p.opensBlock(body, skipped)
	default:
	}
	return "", false, false
}

// opensBlock is opensAnswer for a block of Markdown: a fence, perhaps the name of a language, and the beginning of JSON.
func (p *Parser) opensBlock(body, skipped string) (rest string, opened, undecided bool) {
	if len(body) < len(fence) {
		return "", false, strings.HasPrefix(fence, body)
	}
	inside, ok := strings.CutPrefix(body, fence)
	if !ok {
		return "", false, false
	}
	if len(inside) < len(language) && strings.HasPrefix(language, inside) {
		return "", false, true
	}
	inside = strings.TrimLeft(strings.TrimPrefix(inside, language), " \t\r\n")
	switch {
	case inside == "":
		return "", false, true
	case inside[0] == '{' || inside[0] == '[':
		p.enterCall(fence, skipped+body[:len(body)-len(inside)])
		return inside, true, false
	}
	return "", false, false
}

// firstOf finds the first of the marks in s; "" if there is none.
func firstOf(s string, marks []string) (at int, mark string) {
	at = len(s)
	for _, m := range marks {
		if i := strings.Index(s, m); i >= 0 && i < at {
			at, mark = i, m
		}
	}
	return at, mark
}

// openEnd is the length of the longest end of s with which one of the marks may begin.
func openEnd(s string, marks []string) int {
	longest := 0
	for _, m := range marks {
		for n := min(len(m)-1, len(s)); n > longest; n-- {
			if strings.HasSuffix(s, m[:n]) {
				longest = n
				break
			}
		}
	}
	for longest > 0 && !utf8.RuneStart(s[len(s)-longest]) {
		longest++
	}
	return longest
}
