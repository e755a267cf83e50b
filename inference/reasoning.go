package inference

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/tokenizer"
)

// reasoning makes what follows a request's outputs through the model's reasoning; nil where there is none. reasons says
// that the prompt has opened it.
func (m *Model) reasoning(request *Request, reasons bool) (func() engine.Reasoning, error) {
	if request.Constraint != nil {
		return nil, nil //nolint:nilnil // the constraint holds from the first token on, so that there is no room for it
	}
	form := m.config.Reasoning
	lead, err := callLead(m.config.Calls, request.Input)
	if err != nil {
		return nil, err
	}
	if _, ok := request.Input.(Chat); !ok || form == (answer.Reasoning{}) && lead == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	first := reasoning{tok: m.config.Tokenizer, form: form, budget: -1, inside: reasons}
	if lead != nil {
		ids, err := m.config.Tokenizer.Encode(*lead, tokenizer.EncodeOptions{})
		if err != nil {
			return nil, fmt.Errorf("encode what announces a call: %w", err)
		}
		first.lead, first.calls = ids, true
		first.outside = !reasons // the model does not begin to reason of itself: it must call
	}
	if request.Sampling.MaxThinking != nil {
		first.budget = *request.Sampling.MaxThinking
		ids, err := m.config.Tokenizer.Encode(form.Close, tokenizer.EncodeOptions{})
		if err != nil {
			return nil, fmt.Errorf("encode the end of the reasoning: %w", err)
		}
		if len(ids) == 0 {
			return nil, fmt.Errorf("the end of the reasoning, %q, has no tokens", form.Close)
		}
		first.closing = ids
	}
	return func() engine.Reasoning {
		r := first
		return &r
	}, nil
}

// reasoning implements engine.Reasoning by the bytes of the tokens. It is in step with answer.Parser, which reads the
// text of the same output elsewhere.
type reasoning struct {
	tok     *tokenizer.Tokenizer
	form    answer.Reasoning
	budget  int      // tokens; below 0: any number
	closing []uint32 // the tokens of the closing tag

	inside  bool
	between bool   // behind the beginning of the answer, where it may open again
	outside bool   // behind it, or in an answer without
	tail    []byte // of the bytes so far, as much as a tag may begin in
	count   int    // tokens inside, of all times together
	forced  int    // of closing

	calls bool     // behind the reasoning there must be a call, to which the grammar holds the output
	lead  []uint32 // the tokens that announce it
	led   int      // of which have come
}

// Next implements engine.Reasoning. A character of which some bytes have come is let end.
func (r *reasoning) Next() (id uint32, forced bool) {
	if r.outside && r.led < len(r.lead) {
		r.led++
		return r.lead[r.led-1], true
	}
	spent := r.inside && r.budget >= 0 && r.count >= r.budget
	if r.forced == 0 && (!spent || !utf8.Valid(r.tail)) || r.forced == len(r.closing) {
		return 0, false
	}
	r.forced++
	return r.closing[r.forced-1], true
}

// Add implements engine.Reasoning.
func (r *reasoning) Add(id uint32) bool {
	if r.outside {
		return false
	}
	r.tail = append(r.tail, r.tok.Bytes(id)...)
	if !r.inside {
		r.begin()
		return false
	}
	if _, behind, closed := bytes.Cut(r.tail, []byte(r.form.Close)); closed {
		r.tail = append(r.tail[:0], behind...)
		r.leave()
		return false
	}
	r.shorten(len(r.form.Close))
	if r.forced == 0 {
		r.count++
	}
	return r.forced == 0
}

// begin looks for the opening tag, before which there is only white space, or for what opens the reasoning again.
func (r *reasoning) begin() {
	if r.between {
		if _, behind, opened := bytes.Cut(r.tail, []byte(r.form.Again)); opened {
			r.inside, r.tail = true, append(r.tail[:0], behind...)
		}
		r.shorten(len(r.form.Again))
		return
	}
	body := bytes.TrimLeftFunc(r.tail, unicode.IsSpace)
	switch open := []byte(r.form.Open); {
	case bytes.HasPrefix(body, open):
		r.inside, r.tail = true, append(r.tail[:0], body[len(open):]...)
	case !bytes.HasPrefix(open, body):
		r.leave()
	}
}

// leave goes behind reasoning, or into an answer that does not begin with it. A call that must come ends it for good.
func (r *reasoning) leave() {
	r.inside, r.forced = false, 0
	if r.form.Again == "" || r.calls {
		r.outside, r.tail = true, nil
		return
	}
	r.between = true
	r.begin()
}

// shorten keeps of the tail what a tag of so many bytes may begin in, from the beginning of a character on.
func (r *reasoning) shorten(tag int) {
	from := max(0, len(r.tail)-tag)
	for from > 0 && from < len(r.tail) && !utf8.RuneStart(r.tail[from]) {
		from--
	}
	r.tail = append(r.tail[:0], r.tail[from:]...)
}

// Constrained implements engine.Reasoning.
func (r *reasoning) Constrained() bool { return !r.calls || r.outside && r.led == len(r.lead) }
