package browsertest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// greedy has the page take the likeliest tokens, and so many of them.
func (p *page) greedy(tokens string) {
	p.t.Helper()
	p.ready()
	p.click(".presets button:first-child")
	p.fill("#sampling-maxTokens", tokens)
}

// endless has the page ask for answers that take longer than any test.
func (p *page) endless() {
	p.t.Helper()
	p.ready()
	p.fill("#sampling-maxTokens", "4000")
	p.click("#sampling summary")
	p.click("#ignore-eos")
}

// ready waits until the page knows the models.
func (p *page) ready() {
	p.t.Helper()
	p.await(`document.querySelector('#model').value !== ''`)
}

// A completion comes token by token, and in the end it is what the API answers.
func TestCompletion(t *testing.T) {
	p := open(t, address, desktop)
	p.greedy("24")
	p.click("#tab-completion")
	value[int](p, `(window.live = new Set(), window.label = '', new MutationObserver(() => {
		if (!document.querySelector('.answer.running')) return;
		live.add(document.querySelectorAll('#completion-output .token').length);
		label = document.querySelector('#view-completion button.main').textContent;
	}).observe(document.querySelector('#completion-output'), { childList: true, subtree: true }), 0)`)
	p.click("#view-completion button.main")
	p.ended()
	if got := value[[]int](p, `[...live]`); len(got) < 8 { // a step may give several
		t.Errorf("while it ran, %v tokens were shown", got)
	}
	if got := value[string](p, `label`); got != "Stop" {
		t.Errorf("while it ran, the button said %q", got)
	}
	want := ask[generated](t, "InferenceService/Generate",
		`{"prompt": "The capital of France is", "sampling": {"temperature": 0, "maxTokens": 24}}`).Outputs[0].Text
	if got := value[string](p, `document.querySelector('#completion-output .tokens').textContent`); got != want || !strings.Contains(got, "Paris") {
		t.Errorf("%q instead of %q", got, want)
	}
	if got := value[int](p, `document.querySelectorAll('#completion-output .token').length`); got != 24 {
		t.Errorf("%d tokens are shown", got)
	}
	figures := p.text("#completion-output .figures")
	for _, part := range []string{"24 output tokens", "tokens/s", "first after", "cut at the most tokens"} {
		if !strings.Contains(figures, part) {
			t.Errorf("no %q in %q", part, figures)
		}
	}
	if got := value[string](p, `document.querySelector('#status').textContent`); !strings.Contains(got, "Finished") {
		t.Errorf("those who listen are told %q", got)
	}
}

// A conversation goes on with all that was said; "Again" answers anew.
func TestChat(t *testing.T) {
	p := open(t, address, desktop)
	p.ready()
	p.fill("#sampling-maxTokens", "40")
	p.click(".system summary")
	p.fill("#chat-system", "You answer in short sentences.")
	p.fill("#chat-input", "Name a river.")
	p.enter(chromedp.ModifierShift)
	p.do(chromedp.SendKeys(chromedp.CSS("#chat-input"), "Only one."))
	p.enter()
	p.ended()
	first := value[string](p, `document.querySelector('.answer .tokens').textContent`)
	if first == "" || value[string](p, `document.querySelector('#chat-input').value`) != "" {
		t.Errorf("the answer is %q", first)
	}
	p.fill("#chat-input", "And a lake?")
	p.click("#chat-form button.main")
	p.await(`document.querySelectorAll('.answer').length === 2`)
	p.ended()
	type message struct{ Role, Content string }
	want := []message{
		{"system", "You answer in short sentences."},
		{"user", "Name a river.\nOnly one."},
		{"assistant", first},
		{"user", "And a lake?"},
	}
	if got := value[[]message](p, `generated.body.chat.messages`); !slices.Equal(got, want) {
		t.Errorf("the request has %v", got)
	}
	value[int](p, `(window.before = document.querySelector('.turn:last-child'), 0)`)
	p.click(".turn:last-child .actions button:nth-child(2)")
	p.await(`document.querySelector('.turn:last-child') !== before`)
	p.ended()
	if got := value[[]message](p, `generated.body.chat.messages`); !slices.Equal(got, want) {
		t.Errorf("the request for another answer has %v", got)
	}
	if got := value[int](p, `document.querySelectorAll('.turn').length`); got != 4 {
		t.Errorf("%d turns are shown", got)
	}
	p.click("#chat-clear")
	p.await(`document.querySelector('#chat-empty') && !document.querySelector('.turn')`)
}

// The alternatives of a token are shown on hover and on focus, and one of them can be gone on from.
func TestAlternatives(t *testing.T) {
	p := open(t, address, desktop)
	p.greedy("12")
	p.click("#tab-completion")
	p.enter(chromedp.ModifierCtrl)
	p.ended()
	p.point("#completion-output .token:nth-child(3)")
	p.await(`!document.querySelector('#card').hidden`)
	shares := value[[]float64](p, `[...document.querySelectorAll('#card .bar')].map((bar) => Number(bar.style.getPropertyValue('--share')))`)
	if len(shares) != 5 || !slices.IsSortedFunc(shares, func(a, b float64) int { return int((b - a) * 1e9) }) || shares[0] <= 0 || shares[0] > 1 {
		t.Errorf("the alternatives have the probabilities %v", shares)
	}
	if got := value[int](p, `document.querySelectorAll('#card .alternative.chosen').length`); got != 1 {
		t.Errorf("%d alternatives are the chosen one", got)
	}
	p.point("#card")
	p.await(`new Promise((done) => setTimeout(() => done(!document.querySelector('#card').hidden), 500))`) // it stays under the mouse
	p.key(kb.Escape)
	p.await(`document.querySelector('#card').hidden`)
	p.do(chromedp.MouseEvent("mouseMoved", 2, 2))

	p.do(chromedp.Focus(chromedp.CSS("#completion-output .token")))
	p.key(kb.ArrowRight)
	p.key(kb.ArrowRight)
	p.await(`document.activeElement.dataset.index === '2' && !document.querySelector('#card').hidden && document.activeElement.getAttribute('aria-describedby') === 'card'`)
	p.key(kb.End)
	p.await(`document.activeElement.dataset.index === '11'`)
	p.key(kb.ArrowUp)
	p.key(kb.Home)
	p.key(kb.ArrowRight)
	p.key(kb.ArrowRight)
	p.enter()
	p.await(`document.querySelector('#card').contains(document.activeElement)`)
	p.key(kb.Escape)
	p.await(`document.activeElement.dataset.index === '2' && document.querySelector('#card').hidden`)
	p.key(kb.ArrowLeft)
	p.key(kb.ArrowRight)
	p.enter()
	p.await(`document.querySelector('#card').contains(document.activeElement)`)
	before := value[string](p, `[...document.querySelectorAll('#completion-output .token')].slice(0, 2).map((e) => e.textContent).join('')`)
	other := value[string](p, `document.activeElement.querySelector('code').textContent`)
	p.enter() // go on from there
	p.await(`document.querySelector('#completion-output .token.forced')`)
	p.ended()
	want := before + strings.NewReplacer("␣", " ", "↵", "\n").Replace(other)
	if got := value[string](p, `document.querySelector('#completion-output .tokens').textContent`); !strings.HasPrefix(got, want) || len(got) <= len(want) {
		t.Errorf("%q does not go on from %q", got, want)
	}
	if got := value[string](p, `generated.body.prompt`); got != "The capital of France is"+want {
		t.Errorf("the request has the prompt %q", got)
	}
}

// An answer of a conversation goes on from another token too, as its last message.
func TestChatAlternative(t *testing.T) {
	p := open(t, address, desktop)
	p.greedy("12")
	p.fill("#chat-input", "Name a river.")
	p.enter()
	p.ended()
	p.do(chromedp.Focus(chromedp.CSS(".answer .token")))
	p.enter()
	p.enter()
	p.await(`document.querySelector('.token.forced')`)
	p.ended()
	if !value[bool](p, `generated.body.chat.continueFinalMessage && generated.body.chat.messages.at(-1).role === 'assistant'
		&& document.querySelector('.answer .tokens').textContent.startsWith(generated.body.chat.messages.at(-1).content) && !document.querySelector('.answer .error')`) {
		t.Errorf("%s\n%s", value[string](p, `JSON.stringify(generated.body)`), p.text(".answer"))
	}
}

// Esc and the button stop an answer, on the server too, and what came of it stays.
func TestStop(t *testing.T) {
	p := open(t, address, desktop)
	p.endless()
	p.click("#tab-completion")
	for _, stop := range []func(){
		func() { p.key(kb.Escape) },
		func() { p.click("#view-completion button.stop") },
	} {
		p.click("#view-completion button.main")
		p.await(`document.querySelectorAll('#completion-output .token').length >= 5`)
		stop()
		p.ended()
		if got := p.text("#completion-output .figures"); !strings.Contains(got, "stopped by you") {
			t.Errorf("%q", got)
		}
		if got := value[int](p, `document.querySelectorAll('#completion-output .token').length`); got < 5 {
			t.Errorf("%d tokens are left", got)
		}
		for ask[replicas](t, "ModelService/ListModels", "{}").running() > 0 { //nolint:revive // until the test's deadline
		}
		p.await(`document.querySelector('#gauge-slots strong').textContent === '0 / 32'`)
	}
}

// The timeline has a step for each event that came, says what the server measured, and names the trace that it asked for.
func TestTimeline(t *testing.T) {
	p := open(t, address, desktop)
	p.greedy("20")
	p.click("#tab-completion")
	p.enter(chromedp.ModifierCtrl)
	p.ended()
	steps := value[int](p, `document.querySelectorAll('.steps i').length`)
	if steps < 2 || steps > 20 {
		t.Errorf("%d steps of 20 tokens", steps)
	}
	if got := value[[]string](p, `[...document.querySelectorAll('.lane:not(.steps) i')].map((i) => i.className)`); !slices.Equal(got, []string{"before", "queue", "prefill", "decode"}) {
		t.Errorf("the server's lane has %v", got)
	}
	if !value[bool](p, `[...document.querySelectorAll('.lane i')].every((i) => { // each has its place within the lane
		const box = i.getBoundingClientRect(), lane = i.parentElement.getBoundingClientRect();
		return box.left >= lane.left - 1 && box.right <= lane.right + 2 && box.width > 0; })`) {
		t.Error("a part of a lane is outside it")
	}
	facts := p.text(".facts")
	for _, part := range []string{"Before the queue", "Queue", "Prefill", "Decode", "Network and browser", "Seed", "Trace"} {
		if !strings.Contains(facts, part) {
			t.Errorf("no %q in %q", part, facts)
		}
	}
	if !value[bool](p, `/^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/.exec(generated.headers.traceparent)[1] === [...document.querySelectorAll('.facts dd')].at(-1).textContent`) {
		t.Errorf("the trace is not the request's: %q", facts)
	}
	p.point(".steps i:nth-child(2)")
	p.await(`document.querySelector('.token.lit') && document.querySelector('.readout').textContent.startsWith('Step 1')`)
	p.click(".step-table summary")
	p.await(`document.querySelectorAll('.step-table tbody tr').length === ` + quoted(steps))
}

// The trace that the page names is the server's: it has the spans of the request.
func TestTrace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.jsonl")
	traced, stop, err := start("--trace-file", file)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p := open(t, traced, desktop)
	p.expect("ERR_")
	p.greedy("8")
	p.fill("#chat-input", "Name a river.")
	p.enter()
	p.ended()
	id := value[string](p, `[...document.querySelectorAll('.facts dd')].at(-1).textContent`)
	stop()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var data struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []struct{ TraceID, Name string }
				}
			}
		}
		if err := json.Unmarshal([]byte(line), &data); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for _, resource := range data.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					if span.TraceID == id {
						found[span.Name]++
					}
				}
			}
		}
	}
	for _, name := range []string{"tokenize", "queue", "prefill", "decode"} {
		if found[name] == 0 {
			t.Errorf("the trace %s has no span %q: %v", id, name, found)
		}
	}
}
