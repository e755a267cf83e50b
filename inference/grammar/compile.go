package grammar

import (
	"slices"
)

// Kind is what a constraint is written in.
type Kind int

// The kinds of constraints.
const (
	KindJSONSchema Kind = iota + 1 // a JSON Schema, draft 2020-12
	KindJSONObject                 // any JSON object
	KindRegex                      // a regular expression of RE2's syntax, for the whole text
	KindGrammar                    // a context-free grammar, GBNF or Lark
	KindChoice                     // one of several texts
)

// Constraint is what a text has to conform to.
type Constraint struct {
	Kind    Kind
	Text    string   // of a schema, an expression or a grammar
	Choices []string // of KindChoice, none empty
}

// Compile makes the grammar of a constraint for a vocabulary. Every few tens of milliseconds it calls stop, unless that is nil,
// and gives up with the error of stop if there is one. Any other error is an *Error.
func Compile(stop func() error, c Constraint, v *Vocabulary) (*Grammar, error) {
	if stop == nil {
		stop = func() error { return nil }
	}
	if len(c.Text) > MaxSource {
		return nil, errorf("it has more than %d bytes", MaxSource)
	}
	limit := &budget{stop: stop, polled: pollSteps}
	var start *rule
	var err error
	switch c.Kind {
	case KindJSONSchema:
		start, err = compileSchema(limit, c.Text, v)
	case KindJSONObject:
		start = newJSONRules(v).object
	case KindRegex:
		start, err = compileRegex(limit, c.Text)
	case KindGrammar:
		start, err = compileGrammar(limit, c.Text, v)
	case KindChoice:
		start, err = compileChoice(c.Choices)
	default:
		err = errorf("no kind of constraint")
	}
	if limit.err != nil { // whatever came of it
		err = limit.err
	}
	if err != nil {
		return nil, err
	}
	g, err := newGrammar(v, limit, start)
	if err != nil {
		return nil, err
	}
	g.source += len(c.Text)
	return g, nil
}

// Warmups is the number of steps of Vocabulary.Warm.
const Warmups = 3

// Warm prepares what constraints share, so that the first ones do not have to: step 0 the terminals of JSON, and each further
// step below Warmups one of the formats that take long. It has the limits of Compile and calls stop as Compile does, but stop
// must not be nil. Its error is that of stop.
func (v *Vocabulary) Warm(stop func() error, step int) error {
	schemas := [Warmups]string{
		`{"anyOf": [{}, {"type": "object", "additionalProperties": {"type": "integer"}}]}`,
		`{"type": "string", "format": "email"}`,
		`{"type": "string", "format": "uri"}`,
	}
	g, err := Compile(stop, Constraint{Kind: KindJSONSchema, Text: schemas[step]}, v)
	for err == nil && g.Prepare() {
		err = stop()
	}
	return err
}

// compileRegex makes the rule of the texts that an expression matches.
func compileRegex(limit *budget, source string) (*rule, error) {
	d, err := compileRegexp(limit, source)
	if err != nil {
		return nil, err
	}
	if d.empty() {
		return nil, errorf("no text conforms to it")
	}
	return &rule{name: "regex", body: token{&terminal{dfa: d}}}, nil
}

// compileChoice makes the rule of some texts.
func compileChoice(texts []string) (*rule, error) {
	if len(texts) == 0 || len(texts) > maxChoices {
		return nil, errorf("there must be 1 to %d choices", maxChoices)
	}
	total := 0
	for _, text := range texts {
		if total += len(text); text == "" {
			return nil, errorf("a choice is empty")
		}
	}
	if total > MaxSource {
		return nil, errorf("the choices have more than %d bytes together", MaxSource)
	}
	return &rule{name: "choice", body: oneOfTexts(texts)}, nil
}

// oneOfTexts is the expression of some texts, as a tree by their first bytes.
func oneOfTexts(texts []string) expr {
	sorted := slices.Compact(slices.Sorted(slices.Values(texts)))
	return prefixTree(sorted, 0)
}

// prefixTree is the expression of sorted texts without their first bytes, which they share.
func prefixTree(texts []string, from int) expr {
	common := len(texts[0])
	last := texts[len(texts)-1]
	for i := from; i < common; i++ {
		if i >= len(last) || last[i] != texts[0][i] {
			common = i
		}
	}
	head := literal(texts[0][from:common])
	if len(texts) == 1 {
		return head
	}
	var branches choice
	for i := 0; i < len(texts); {
		if len(texts[i]) == common {
			branches = append(branches, sequence{})
			i++
			continue
		}
		j := i
		for j < len(texts) && texts[j][common] == texts[i][common] {
			j++
		}
		branches = append(branches, prefixTree(texts[i:j], common))
		i = j
	}
	return sequence{head, branches}
}
