package answer

import "strings"

// marks are those around a call that is a name and its arguments.
type marks struct {
	call, separator, callEnd, end string
	before, behind                string // the name
}

// marked reads calls that are a name and its arguments between marks; as of DeepSeek-R1 also the word function, the name, and the
// arguments as a block of Markdown.
type marked struct {
	marks
	at   markedState
	held []byte // of the mark or the name that is being read
	args scanner
	open bool // a call was given and is not whole
}

type markedState byte

const (
	betweenMarks markedState = iota // calls
	inHead                          // up to the mark behind the name
	inBlockHead                     // the name and the fence of a block
	inArguments
	behindArguments // a fence, and the mark that ends the call
)

func (d *marked) add(p *Parser, c byte) verdict {
	switch d.at {
	case betweenMarks:
		return d.addMark(c)
	case inHead, inBlockHead:
		return d.addHead(p, c)
	case inArguments:
		if !d.args.add(c) {
			return d.broken(p)
		}
		p.argue(c)
		if d.args.state == scanned {
			p.settle()
			d.open, d.at, d.held = false, behindArguments, d.held[:0]
			return settled
		}
		return more
	case behindArguments:
		return d.addBehind(c)
	}
	return broken
}

// addBehind takes a byte of what ends a call. Of the blanks and the fence before the mark nothing is kept.
func (d *marked) addBehind(c byte) verdict {
	if len(d.held) == 0 && strings.IndexByte(" \t\r\n`", c) >= 0 {
		return settled
	}
	d.held = append(d.held, c)
	switch held := string(d.held); {
	case held == d.callEnd:
		d.at, d.held = betweenMarks, d.held[:0]
		return settled
	case !strings.HasPrefix(d.callEnd, held):
		return before
	}
	return more
}

// addMark takes a byte of the mark that begins a call or ends all.
func (d *marked) addMark(c byte) verdict {
	if len(d.held) == 0 && isJSONSpace(c) {
		return more
	}
	d.held = append(d.held, c)
	switch held := string(d.held); {
	case held == d.call:
		d.at, d.held = inHead, d.held[:0]
	case held == d.marks.end:
		return finished
	case strings.HasPrefix(d.call, held) || strings.HasPrefix(d.marks.end, held):
	case d.args.state == scanned: // there was a call
		return before
	default:
		return broken
	}
	return more
}

// addHead takes a byte of what comes before the arguments.
func (d *marked) addHead(p *Parser, c byte) verdict {
	d.held = append(d.held, c)
	if len(d.held) > 2*maxName {
		return broken
	}
	held := string(d.held)
	if d.at == inHead {
		name, ok := strings.CutSuffix(held, d.separator)
		switch {
		case !ok:
			return more
		case strings.TrimSpace(name) == "function":
			d.at, d.held = inBlockHead, d.held[:0]
			return more
		}
		return d.opened(p, name)
	}
	before, ok := strings.CutSuffix(held, "{")
	if !ok {
		return more
	}
	name, block, _ := strings.Cut(before, "\n")
	if block = strings.TrimSpace(block); block != "" && block != fence && block != fence+language {
		return broken
	}
	if v := d.opened(p, name); v != more {
		return v
	}
	return d.add(p, c)
}

// opened gives a call's name.
func (d *marked) opened(p *Parser, name string) verdict {
	name = strings.TrimSpace(name)
	if bare, ok := strings.CutPrefix(name, d.before); ok && d.before != "" { // Kimi's are functions.name:0
		name, _, _ = strings.Cut(bare, ":")
	}
	if !p.open(name, "") {
		return broken
	}
	d.open, d.at, d.held, d.args = true, inArguments, d.held[:0], scanner{}
	return more
}

func (d *marked) broken(p *Parser) verdict {
	if d.open {
		p.retract()
		d.open = false
	}
	return broken
}

func (d *marked) end(p *Parser) {
	if d.at == behindArguments || d.at == betweenMarks && p.whole > 0 && len(d.held) == 0 {
		return
	}
	d.broken(p)
	p.fall("")
}
