package chat

import (
	"errors"
	"strings"

	"github.com/ardanlabs/jinja"
)

// How a last message is continued, as transformers does it: its content goes to the template with a tag behind it, and
// the text is cut where the tag comes out. The tag is a private-use character of which nothing else is made in this
// render, and a space, which tells whether the template keeps the white space at the content's end.

// ErrNoFinalMessage says that a conversation has no last message that could be continued: there is none, it has no
// content, or the template leaves it out.
var ErrNoFinalMessage = errors.New("the template does not write the content of a last message that could be continued")

// tag is what stands behind the content of the last message.
type tag struct {
	mark    string
	content string // without white space at its ends
}

// tagFinalMessage puts a tag behind the content of the last message in vars, which is copied.
func tagFinalMessage(vars map[string]jinja.Value, a *aliases, source string) (t tag, err error) {
	messages := vars["messages"]
	if !messages.IsList() || messages.AsList().Len() == 0 {
		return tag{}, ErrNoFinalMessage
	}
	items := append([]jinja.Value(nil), messages.AsList().Items...)
	last := items[len(items)-1]
	if !last.IsDict() {
		return tag{}, ErrNoFinalMessage
	}
	content, ok := last.AsDict().Get("content")
	if !ok || !content.IsString() {
		return tag{}, ErrNoFinalMessage
	}
	a.note(source)
	for _, v := range vars {
		walkTexts(v, a.note)
	}
	c, ok := a.reserve()
	if !ok {
		return tag{}, ErrNoFinalMessage
	}
	t = tag{mark: string(c), content: strings.TrimFunc(content.AsString(), isSpace)}
	tagged := jinja.NewDict()
	for _, key := range last.AsDict().Keys {
		tagged.AsDict().Set(key, last.AsDict().Data[key])
	}
	tagged.AsDict().Set("content", jinja.NewString(content.AsString()+t.mark+" "))
	items[len(items)-1] = tagged
	vars["messages"] = jinja.NewList(items)
	return t, nil
}

// cut is a rendered text up to the last tag.
func (t tag) cut(text string) (string, error) {
	at := strings.LastIndex(text, t.mark)
	if at < 0 || !strings.Contains(text, t.content) {
		return "", ErrNoFinalMessage
	}
	head := text[:at]
	if strings.Contains(head, t.mark) { // the content is written more than once
		head = strings.ReplaceAll(strings.ReplaceAll(head, t.mark+" ", ""), t.mark, "")
	}
	if !strings.HasPrefix(text[at+len(t.mark):], " ") { // the template trims
		head = strings.TrimRightFunc(head, isSpace)
	}
	return head, nil
}
