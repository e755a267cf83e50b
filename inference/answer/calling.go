package answer

import (
	"slices"
)

// enterCall begins to read calls behind a mark. raw is what they were announced by, which is text if they are none.
func (p *Parser) enterCall(mark, raw string) {
	p.state, p.raw = inCall, append(p.raw[:0], raw...)
	if f := formOf(p.config.Calls); f != nil {
		p.call = f.read(mark)
		return
	}
	switch mark {
	case pythonTag:
		p.call = &python{}
	case mistralCalls:
		p.call = &named{}
	default:
		p.call = &list{close: closingOf(mark), semicolons: mark == "", brackets: p.config.Calls == JSON}
	}
}

// closingOf is the mark that ends what another one began.
func closingOf(mark string) string {
	switch mark {
	case toolCallOpen:
		return toolCallClose
	case fence:
		return fence
	}
	return ""
}

// calls hands bytes to the form's reader.
func (p *Parser) calls(piece string) string {
	for i := range len(piece) {
		switch p.call.add(p, piece[i]) {
		case more:
			p.raw = append(p.raw, piece[i])
		case settled:
			p.raw = p.raw[:0]
		case finished:
			p.leaveCall()
			return piece[i+1:]
		case before: // what was read as an end mark may belong to one that announces more calls
			p.leaveCall()
			return string(p.raw) + piece[i:]
		case broken:
			at := len(p.raw) - openEnd(string(p.raw), p.marks()) // a further call may have begun there
			rest := string(p.raw[at:]) + piece[i:]
			p.raw = p.raw[:at]
			return p.fall(rest)
		}
	}
	return ""
}

// fall makes text of what was no call, and reads on behind it. The byte that broke it may begin something of its own.
func (p *Parser) fall(rest string) string {
	p.state = inTextState
	p.say(string(p.raw))
	p.begun = true
	return rest
}

// leaveCall goes back to text after calls, or after what was held of none.
func (p *Parser) leaveCall() {
	if p.state == inCall {
		p.state, p.called, p.begun = inTextState, true, true
	}
}

// open gives a call's name. It says whether there is such a tool.
func (p *Parser) open(name, id string) bool {
	if !slices.Contains(p.config.Tools, name) {
		return false
	}
	if id == "" {
		id = p.config.NewID()
	}
	p.give()
	p.count++
	p.out.Calls = append(p.out.Calls, Call{Index: p.count - 1, ID: id, Name: name})
	return true
}

// argue gives more of the arguments of the call that was opened last.
func (p *Parser) argue(fragment ...byte) { p.fragment = append(p.fragment, fragment...) }

// give puts the arguments that have come into the delta.
func (p *Parser) give() {
	if len(p.fragment) == 0 {
		return
	}
	fragment := string(p.fragment)
	p.fragment = p.fragment[:0]
	if n := len(p.out.Calls); n > 0 && p.out.Calls[n-1].Index == p.count-1 {
		p.out.Calls[n-1].Arguments += fragment
		return
	}
	p.out.Calls = append(p.out.Calls, Call{Index: p.count - 1, Arguments: fragment})
}

// retract takes the last call back.
func (p *Parser) retract() {
	p.fragment = p.fragment[:0]
	p.count--
	if n := len(p.out.Calls); n > 0 && p.out.Calls[n-1].Index == p.count {
		unseen := p.out.Calls[n-1].Name != ""
		p.out.Calls = p.out.Calls[:n-1]
		if unseen {
			return
		}
	}
	p.out.Calls = append(p.out.Calls, Call{Index: p.count, Retracted: true})
}

// settle says that the last call is whole.
func (p *Parser) settle() { p.whole++ }
