package answer

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// python reads what follows Llama's <|python_tag|>: calls as JSON objects; a call tool.call(name="value", …), as the
// model's built-in tools are called; or a program, which is a call of the tool code_interpreter, ipython or python, if
// one is declared. What is not JSON is a call only once the answer has ended.
type python struct {
	list *list
	body []byte
}

func (c *python) add(p *Parser, b byte) verdict {
	switch {
	case c.list != nil:
		return c.list.add(p, b)
	case len(c.body) == 0 && isJSONSpace(b):
		return more
	case len(c.body) == 0 && b == '{':
		c.list = &list{semicolons: true}
		return c.list.add(p, b)
	}
	c.body = append(c.body, b)
	return more
}

func (c *python) end(p *Parser) {
	if c.list != nil {
		c.list.end(p)
		return
	}
	body := strings.TrimSpace(string(c.body))
	name, arguments, ok := builtin(body)
	if !ok {
		i := slices.IndexFunc(p.config.Tools, func(tool string) bool {
			return slices.Contains([]string{"code_interpreter", "ipython", "python"}, tool)
		})
		if i < 0 || body == "" {
			p.fall("")
			return
		}
		name, arguments = p.config.Tools[i], marshal(map[string]string{"code": body})
	}
	if !p.open(name, "") {
		p.fall("")
		return
	}
	p.argue(arguments...)
	p.settle()
}

// builtinCall and argument are the parts of tool.call(name="value", …).
var (
	builtinCall = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.-]*)\.call\((.*)\)$`)
	argument    = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null)\s*(?:,|$)`)
)

// builtin takes a call apart. The values must be JSON.
func builtin(body string) (name string, arguments []byte, ok bool) {
	parts := builtinCall.FindStringSubmatch(body)
	if parts == nil {
		return "", nil, false
	}
	arguments = []byte{'{'}
	for rest := parts[2]; strings.TrimSpace(rest) != ""; {
		a := argument.FindStringSubmatch(rest)
		if a == nil || !json.Valid([]byte(a[2])) {
			return "", nil, false
		}
		if len(arguments) > 1 {
			arguments = append(arguments, ", "...)
		}
		arguments = append(append(append(arguments, marshal(a[1])...), ": "...), a[2]...)
		rest = rest[len(a[0]):]
	}
	return parts[1], append(arguments, '}'), true
}

// marshal is the JSON text of strings, which cannot fail.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
