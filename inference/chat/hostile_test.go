package chat_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/chat"
)

// hostile are templates that would take all time, all memory or the whole stack without limits.
func hostile() map[string]string {
	doubling := func(step string, times int) string {
		return strings.Repeat("{% set x = "+step+" %}", times)
	}
	return map[string]string{
		"nested loops":        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
		"empty loops":         "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
		"text in a loop":      "{% for a in range(99999) %}" + strings.Repeat("x", 100000) + "{% endfor %}",
		"long range":          "{% for a in range(10 ** 15) %}{% endfor %}",
		"doubling text":       "{% set x = 'xxxxxxxx' %}" + doubling("x + x", 60) + "{{ x }}",
		"doubling by ~":       "{% set x = 'xxxxxxxx' %}" + doubling("x ~ x", 60),
		"doubling list":       "{% set x = [1, 2] %}" + doubling("x + x", 60),
		"shared parts":        "{% set x = [1] %}" + doubling("[x, x]", 60) + "{{ x }}",
		"shared, compared":    "{% set x = [1] %}" + doubling("[x, x]", 60) + "{% set y = [1] %}" + strings.ReplaceAll(doubling("[x, x]", 60), "x", "y") + "{{ x == y }}",
		"shared, as JSON":     "{% set x = {'a': 1} %}" + doubling("{'a': x, 'b': x}", 60) + "{{ x | tojson }}",
		"late shared":         "{% set n = namespace(l=[]) %}{% set r = n.l %}{% for i in range(60) %}{% set m = [] %}{% set _ = n.l.append(m) %}{% set _ = n.l.append(m) %}{% set n.l = m %}{% endfor %}{{ r }}",
		"cycle":               "{% set a = [] %}{% set _ = a.append(a) %}{% set b = [] %}{% set _ = b.append(b) %}{{ a == b }}",
		"repeat":              "{{ 'x' * 10 ** 12 }}",
		"repeat often":        "{% for i in range(9999) %}{% set x = 'x' * 60000000 %}{% endfor %}",
		"replace":             "{% set x = 'x' * 1000000 %}{{ x | replace('', x) }}",
		"replace method":      "{% set x = 'x' * 1000000 %}{{ x.replace('x', x) }}",
		"stored method":       "{% set x = 'x' * 1000000 %}{% set f = x.replace %}{{ f('x', x) }}",
		"join":                "{% set x = 'x' * 1000000 %}{{ x | join(x) }}",
		"join a list":         "{% set x = 'x' * 1000000 %}{{ ([x] * 100000) | join }}",
		"sum":                 "{{ (['x' * 100] * 100000) | sum(start='') }}",
		"indent":              "{{ ('\\n' * 1000000) | indent(10 ** 9) }}",
		"indent by text":      "{% set x = '\\n' * 1000000 %}{{ x | indent(x) }}",
		"indented JSON":       "{{ [[[1]]] | tojson(indent=10 ** 10) }}",
		"JSON separators":     "{{ range(99999) | tojson(separators=['x' * 1000000, '']) }}",
		"batch":               "{{ [1] | batch(10 ** 12, 'x') }}",
		"map replace":         "{% set x = 'x' * 1000000 %}{{ [x] | map('replace', 'x', x) | list }}",
		"format":              "{{ ('%999999d' * 100000) % 1 }}",
		"format star":         "{{ '%*d' % (10 ** 9, 1) }}",
		"str.format":          "{% set x = 'x' * 1000000 %}{{ ('{0}' * 100000).format(x) }}",
		"recursive macro":     "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"doubling macro":      "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}",
		"recursive loop":      "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
		"recursive caller":    "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
		"unique":              "{{ range(99999) | unique | list | length }}",
		"search in a loop":    "{% set x = 'x' * 1000000 %}{% for i in range(99999) %}{% if 'y' in x %}{% endif %}{% endfor %}",
		"index in a loop":     "{% set x = 'x' * 1000000 %}{% for i in range(99999) %}{% if x[i] == 'y' %}{% endif %}{% endfor %}",
		"long operator chain": "{{ " + strings.Repeat("1 + ", 20000) + "1 }}",
		"deep blocks":         strings.Repeat("{% if true %}", 4000) + strings.Repeat("{% endif %}", 4000),
		"deep brackets":       "{{ " + strings.Repeat("(", 50000) + "1" + strings.Repeat(")", 50000) + " }}",
		"deep lists":          "{{ " + strings.Repeat("[", 50000) + strings.Repeat("]", 50000) + " }}",
		"long source":         strings.Repeat("x", chat.MaxSource+1),
		"spelled guard":       "{% set x = 'x' * 1000000 %}{% macro replace(a) %}{% endmacro %}{{ x | replace('x', x) }}",
	}
}

func TestHostileTemplatesEndInALimit(t *testing.T) {
	for name, source := range hostile() {
		t.Run(name, func(t *testing.T) {
			limits := chat.DefaultLimits()
			if testing.Short() {
				limits.Work >>= 4
			}
			template, err := chat.Parse(source, chat.Options{Limits: limits})
			if err == nil {
				_, err = template.Render(chat.Input{Messages: []chat.Message{{Role: "user", Content: "hi"}}})
			}
			if _, ok := errors.AsType[*chat.LimitError](err); !ok {
				switch {
				case name == "deep brackets" && err == nil: // the parser drops them
					return
				case name == "repeat" && err != nil: // the library's own limit
					return
				}
				t.Fatalf("got %v, want a LimitError", err)
			}
		})
	}
}

func TestOrdinaryUseStaysFarFromTheLimits(t *testing.T) {
	source := `{% for m in messages %}{% if loop.index0 > 0 and messages[loop.index0 - 1].role == m.role %}{{ raise_exception('x') }}{% endif %}<|{{ m.role }}|>{{ m.content | trim }}{{ (messages | length) - loop.index }}{% endfor %}`
	template, err := chat.Parse(source, chat.Options{Special: specials()})
	if err != nil {
		t.Fatal(err)
	}
	var messages []chat.Message
	for i := range 2000 {
		messages = append(messages, chat.Message{Role: []string{"user", "assistant"}[i%2], Content: strings.Repeat("word ", 200)})
	}
	rendered, err := template.Render(chat.Input{Messages: messages})
	if err != nil {
		t.Fatal(err)
	}
	if len(rendered.Text) < 2000*999 {
		t.Errorf("rendered %d bytes", len(rendered.Text))
	}
}

func TestConversationOverTheLimitIsRefused(t *testing.T) {
	template, err := chat.Parse("{{ messages[0].content }}", chat.Options{Limits: chat.Limits{Input: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = template.Render(chat.Input{Messages: []chat.Message{{Role: "user", Content: strings.Repeat("x", 1000)}}})
	if _, ok := errors.AsType[*chat.LimitError](err); !ok {
		t.Errorf("got %v, want a LimitError", err)
	}
}

func TestRaiseException(t *testing.T) {
	template, err := chat.Parse("{% macro f() %}{{ raise_exception('no ' ~ messages[0].content) }}{% endmacro %}{{ f() }}",
		chat.Options{Special: []string{"<x>"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = template.Render(chat.Input{Messages: []chat.Message{{Role: "user", Content: "<x>"}}})
	if raised, ok := errors.AsType[*chat.RaisedError](err); !ok || raised.Message != "no <x>" {
		t.Errorf("got %v, want a RaisedError with \"no <x>\"", err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, source := range []string{"{% if %}", "{{ 1 +", "{% endfor %}", "{% unknown %}"} {
		if _, err := chat.Parse(source, chat.Options{}); err == nil {
			t.Errorf("%q parses", source)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	source, err := os.ReadFile("testdata/templates/smollm2.jinja")
	if err != nil {
		b.Fatal(err)
	}
	template, err := chat.Parse(string(source), chat.Options{Special: specials()})
	if err != nil {
		b.Fatal(err)
	}
	var messages []chat.Message
	for i := range 20 {
		messages = append(messages, chat.Message{Role: []string{"user", "assistant"}[i%2], Content: strings.Repeat("word ", 100)})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := template.Render(chat.Input{Messages: messages, AddGenerationPrompt: true}); err != nil {
			b.Fatal(err)
		}
	}
}
