package answer

import (
	"strings"
	"unicode"
)

// The marks of Harmony: an answer is messages, each a header that names a channel, perhaps who it is for, and what is said.
// What is said on the channel analysis is reasoning, elsewhere text, and to functions.name the arguments of a call:
//
//	<|channel|>analysis<|message|>…<|end|>
//	<|start|>assistant<|channel|>commentary to=functions.name <|constrain|>json<|message|>{…}<|call|>
//	<|start|>assistant<|channel|>final<|message|>…<|return|>
//
// The prompt ends with <|start|>assistant.
const (
	harmonyStart     = "<|start|>"
	harmonyChannel   = "<|channel|>"
	harmonyConstrain = "<|constrain|>"
	harmonyMessage   = "<|message|>"
	harmonyEnd       = "<|end|>"
	harmonyCall      = "<|call|>"
	harmonyReturn    = "<|return|>"

	harmonyRole      = "assistant"
	harmonyAnalysis  = "analysis"
	harmonyThought   = harmonyChannel + harmonyAnalysis + harmonyMessage
	harmonyTo        = "to="
	harmonyFunctions = "functions."
	harmonyJSON      = " " + harmonyConstrain + "json" + harmonyMessage // what stands between a call's name and arguments
)

// harmonyName is that of Harmony's form of reasoning.
const harmonyName = "harmony"

// harmonyMarks are all of them.
func harmonyMarks() []string {
	return []string{harmonyStart, harmonyChannel, harmonyConstrain, harmonyMessage, harmonyEnd, harmonyCall, harmonyReturn}
}

// harmonyEnds are those that end a message.
func harmonyEnds() []string { return []string{harmonyEnd, harmonyCall, harmonyReturn, harmonyStart} }

// maxHeader bounds the header of a message, in bytes.
const maxHeader = 2*maxName + 100

// harmony is what a Parser knows of an answer of messages.
type harmony struct {
	said    bool // something of this message was given
	thought bool // of earlier ones, on the channel analysis
	spoke   bool // and on others
}

// harmonize takes more of an answer of messages, between which atStart is the state.
func (p *Parser) harmonize(piece string) string {
	switch p.state {
	case atStart:
		return p.header(piece)
	case inCall:
		return p.calls(piece)
	case inReasoning, inTextState:
	}
	return p.message(piece)
}

// header takes what stands before a message. White space before it is left out. Text that has no header, as where the
// prompt has begun the message, is one all the same, and so is a header that does not end within maxHeader bytes.
func (p *Parser) header(piece string) string {
	all := strings.TrimLeftFunc(p.held+piece, unicode.IsSpace)
	p.held = ""
	for {
		at, mark := firstOf(all, harmonyEnds()[:3]) // of the message before
		if mark == "" || at > 0 {
			break
		}
		all = strings.TrimLeftFunc(all[len(mark):], unicode.IsSpace)
	}
	head, _, ok := strings.Cut(all[:min(len(all), maxHeader)], harmonyMessage)
	switch {
	case !beginsHeader(all):
		p.enterText()
		return all
	case ok:
		p.enterMessage(head)
		return all[len(head)+len(harmonyMessage):]
	case len(all) >= maxHeader:
		p.enterText()
		return strings.TrimPrefix(all, harmonyStart) // at which the text would end before it begins
	}
	p.held = all
	return ""
}

// enterText begins a message that is text.
func (p *Parser) enterText() { p.state, p.channels.said = inTextState, false }

// beginsHeader says whether a text is the beginning of a header, or may become one.
func beginsHeader(text string) bool {
	for _, mark := range append(harmonyMarks(), harmonyTo) {
		if strings.HasPrefix(text, mark) || strings.HasPrefix(mark, text) {
			return true
		}
	}
	return false
}

// enterMessage begins a message behind its header.
func (p *Parser) enterMessage(header string) {
	p.channels.said = false
	channel, to := readHeader(header)
	switch {
	case to == "" && channel == harmonyAnalysis && p.config.Reasoning.Open != "":
		p.state = inReasoning
	case to == "":
		p.state = inTextState
	case p.config.Calls == Harmony && p.open(strings.TrimPrefix(to, harmonyFunctions), ""):
		p.state, p.raw, p.call = inCall, append(p.raw[:0], header+harmonyMessage...), &harmonyArguments{}
	default: // a call of nothing that is declared
		p.state = inTextState
		p.tell(header + harmonyMessage)
	}
}

// readHeader takes a header apart: <|start|>assistant to=recipient<|channel|>channel <|constrain|>type, where the recipient
// may stand behind the channel.
func readHeader(header string) (channel, to string) {
	header = strings.ReplaceAll(header, harmonyConstrain, " ")
	before, behind, _ := strings.Cut(header, harmonyChannel)
	if words := strings.Fields(behind); len(words) > 0 {
		channel = words[0]
	}
	for word := range strings.FieldsSeq(before + " " + behind) {
		if name, ok := strings.CutPrefix(word, harmonyTo); ok {
			to = name
		}
	}
	return channel, to
}

// message takes what is said, up to a mark. White space around it is left out.
func (p *Parser) message(piece string) string {
	all := p.held + piece
	p.held = ""
	if !p.channels.said {
		all = strings.TrimLeftFunc(all, unicode.IsSpace)
	}
	if at, mark := firstOf(all, harmonyEnds()); mark != "" {
		p.tell(strings.TrimRightFunc(all[:at], unicode.IsSpace))
		p.state = atStart
		if mark == harmonyStart {
			return all[at:]
		}
		return all[at+len(mark):]
	}
	sure := len(all) - openEnd(all, harmonyEnds())
	sure = len(strings.TrimRightFunc(all[:sure], unicode.IsSpace))
	p.tell(all[:sure])
	p.held = all[sure:]
	return ""
}

// tell gives what is said. An empty line parts it from earlier messages.
func (p *Parser) tell(s string) {
	if s == "" {
		return
	}
	to, before := &p.out.Text, &p.channels.spoke
	if p.state == inReasoning {
		to, before = &p.out.Reasoning, &p.channels.thought
	}
	if !p.channels.said && *before {
		*to += "\n\n"
	}
	p.channels.said, *before = true, true
	*to += s
}

// flushMessage ends an answer of messages. Neither a header without a message nor white space between messages is text.
func (p *Parser) flushMessage() {
	switch p.state {
	case inReasoning:
		p.held = strings.TrimRightFunc(p.held, unicode.IsSpace)
		p.tell(p.held)
	case inTextState:
		p.tell(p.held)
	case atStart:
		if !strings.HasPrefix(p.held, "<|") {
			p.enterText()
			p.tell(p.held)
		}
	case inCall:
	}
	p.held = ""
}

// harmonyArguments reads the arguments of a call that the header has opened.
type harmonyArguments struct {
	args scanner
}

func (a *harmonyArguments) add(p *Parser, c byte) verdict {
	if a.args.depth() == 0 && isJSONSpace(c) {
		return more
	}
	if a.args.depth() == 0 && c != '{' || !a.args.add(c) {
		a.drop(p)
		return broken
	}
	p.argue(c)
	if a.args.state == scanned {
		p.settle()
		return finished
	}
	return more
}

// drop takes the call back. What it was is text of the message.
func (a *harmonyArguments) drop(p *Parser) {
	p.retract()
	if p.channels.spoke {
		p.out.Text += "\n\n"
	}
	p.channels.said, p.channels.spoke = true, true
}

func (a *harmonyArguments) end(p *Parser) {
	a.drop(p)
	p.fall("")
}
