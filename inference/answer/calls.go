package answer

import "strings"

// call reads a JSON object that is a call and reports it while it is read.
type call struct {
	object
	opened bool
}

// add takes a byte and says whether it can still be a call.
func (c *call) add(p *Parser, b byte) bool {
	if !c.object.add(b) {
		c.drop(p)
		return false
	}
	if !c.opened && c.named {
		if !p.open(c.name, c.id) {
			return false
		}
		c.opened = true
	}
	if c.opened {
		p.argue(c.fragment()...)
	}
	return c.opened || !c.done()
}

// drop retracts what was given of the call.
func (c *call) drop(p *Parser) {
	if c.opened {
		p.retract()
	}
	c.opened = false
}

// list reads objects one after the other, up to a closing mark if the form has one, and perhaps in brackets.
type list struct {
	close      string // "": none
	optional   bool   // it may be missing
	semicolons bool   // objects are separated by ';'
	brackets   bool   // they may be in a JSON list

	call    *call
	closing int // bytes of the closing mark that were read
	listed  bool
	ended   bool // the list's ']' was read
	between bool // an object has ended
}

func (l *list) add(p *Parser, c byte) verdict {
	switch {
	case l.call != nil:
		if !l.call.add(p, c) {
			return broken
		}
		if l.call.done() {
			p.settle()
			l.call, l.between = nil, true
			return settled
		}
		return more
	case l.closing > 0:
		return l.addClosing(c)
	case isJSONSpace(c):
		return more
	case c == '{' && (!l.between || l.comma()):
		l.call = &call{}
		l.call.add(p, c)
		return more
	case c == '[' && l.brackets && !l.between && !l.listed:
		l.listed = true
		return more
	case c == ']' && l.listed && l.between && !l.ended:
		l.ended = true
		if l.close == "" {
			return finished
		}
		return settled
	case l.between && !l.ended && (c == ',' && l.listed || c == ';' && l.semicolons):
		l.between = false
		return more
	case l.close != "" && c == l.close[0] && l.between && l.listed == l.ended:
		return l.addClosing(c)
	case l.between && (!l.listed || l.optional && l.ended):
		return before
	}
	return broken
}

// comma says whether a further object may follow without a separator.
func (l *list) comma() bool { return l.semicolons || l.close == fence && !l.listed }

// addClosing takes a byte of the closing mark, which may be missing.
func (l *list) addClosing(c byte) verdict {
	if c != l.close[l.closing] {
		return before
	}
	if l.closing++; l.closing == len(l.close) {
		return finished
	}
	return more
}

func (l *list) end(p *Parser) {
	if l.call != nil {
		l.call.drop(p)
	}
	if l.call != nil || !l.between {
		p.fall("")
	}
}

// named reads Mistral's calls: a list of objects, or a name, perhaps an id, and the arguments.
type named struct {
	list *list
	head []byte // the name and the marks, until the arguments begin
	args scanner
	open bool // the arguments have begun
}

// maxHead bounds the name, the id and the marks before the arguments.
const maxHead = 2*maxName + len(mistralCallID) + len(mistralArgs)

func (n *named) add(p *Parser, c byte) verdict {
	switch {
	case n.list != nil:
		return n.list.add(p, c)
	case n.open:
		if !n.args.add(c) {
			p.retract()
			return broken
		}
		p.argue(c)
		if n.args.state == scanned {
			p.settle()
			return finished
		}
		return more
	case len(n.head) == 0 && isJSONSpace(c):
		return more
	case len(n.head) == 0 && c == '[':
		n.list = &list{brackets: true}
		return n.list.add(p, c)
	case c == '{':
		name, id := n.split()
		if !p.open(name, id) {
			return broken
		}
		n.open = true
		n.args.add(c)
		p.argue(c)
		return more
	}
	n.head = append(n.head, c)
	if len(n.head) > maxHead || c < ' ' && !isJSONSpace(c) {
		return broken
	}
	return more
}

// split takes the head apart.
func (n *named) split() (name, id string) {
	head := strings.TrimSuffix(strings.TrimSpace(string(n.head)), mistralArgs)
	name, id, _ = strings.Cut(head, mistralCallID)
	return strings.TrimSpace(name), strings.TrimSpace(id)
}

func (n *named) end(p *Parser) {
	switch {
	case n.list != nil:
		n.list.end(p)
	default:
		if n.open {
			p.retract()
		}
		p.fall("")
	}
}

func isJSONSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
