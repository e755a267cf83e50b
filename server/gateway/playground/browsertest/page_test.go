package browsertest

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The tokenizer shows what the API says, while one types.
func TestTokenizer(t *testing.T) {
	p := open(t, address, desktop)
	p.ready()
	p.click("#tab-tokenizer")
	p.await(`document.querySelectorAll('#tokenizer-output li').length > 5`) // of the text that is there at first
	const text = "naïve 漢字 <|im_end|>"
	shown := func() []int {
		return value[[]int](p, `[...document.querySelectorAll('#tokenizer-output small')].map((e) => Number(e.textContent))`)
	}
	ids := func(options string) []int {
		var out []int
		for _, token := range ask[struct{ Tokens []struct{ ID int } }](t, "TokenizerService/Tokenize",
			`{"text": `+quoted(text)+`, "addSpecialTokens": false, `+options+`}`).Tokens {
			out = append(out, token.ID)
		}
		return out
	}
	p.fill("#tokenizer-input", text)
	parsed, plain := ids(`"parseSpecial": true`), ids(`"parseSpecial": false`)
	p.await(`document.querySelector('#tokenizer-counts').textContent.startsWith('` + quoted(len(parsed)) + ` tokens · 19 characters · 24 bytes')`)
	if got := shown(); !slices.Equal(got, parsed) {
		t.Errorf("%v instead of %v", got, parsed)
	}
	if got := value[int](p, `document.querySelectorAll('#tokenizer-output .special').length`); got != 1 {
		t.Errorf("%d special tokens", got)
	}
	p.click("#tokenizer-parse")
	p.await(`document.querySelectorAll('#tokenizer-output li').length === ` + quoted(len(plain)))
	if got := shown(); !slices.Equal(got, plain) {
		t.Errorf("%v instead of %v", got, plain)
	}
}

// Text that is markup stays text, whoever wrote it.
func TestHostileText(t *testing.T) {
	const evil = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	p := open(t, address, desktop)
	p.ready()
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('#sampling details').forEach((d) => { d.open = true; })`))
	p.do(chromedp.SetValue(chromedp.CSS("#constraint"), "choice"))
	value[bool](p, `document.querySelector('#constraint').dispatchEvent(new Event('change'))`)
	p.fill("#constraint-text", evil) // so that this is what the model writes
	p.fill("#chat-input", evil)
	p.enter()
	p.ended()
	if got := value[string](p, `document.querySelector('.answer .tokens').textContent`); got != evil {
		t.Fatalf("the model wrote %q", got)
	}
	if got := value[string](p, `document.querySelector('.said').textContent`); got != evil {
		t.Errorf("the message is shown as %q", got)
	}
	p.click("#tab-tokenizer")
	p.fill("#tokenizer-input", evil)
	p.await(`document.querySelectorAll('#tokenizer-output li').length > 5`)
	if !value[bool](p, `document.title === 'Sluice playground' && document.querySelectorAll('main img, main script').length === 0`) {
		t.Error("a text became a part of the page")
	}
}

// The browser holds the page to its policy: scripts and styles in the page, markup from text and calls elsewhere fail.
func TestPolicy(t *testing.T) {
	p := open(t, address, desktop)
	p.ready()
	p.expect("policy: ")
	p.expect("Content Security Policy")
	p.expect("Trusted")
	p.expect("request to https://example.org")
	for what, attempt := range map[string]string{
		"markup from text":    `(() => { try { document.body.innerHTML = '<b>'; return false; } catch { return true; } })()`,
		"a compiled text":     `(() => { const s = document.createElement('script'); try { s.text = 'window.owned = 1'; document.body.append(s); } catch { } return !window.owned; })()`,
		"a style in the page": `(() => { const e = document.createElement('p'); e.setAttribute('style', 'color: red'); document.body.append(e); const got = getComputedStyle(e).color; e.remove(); return got !== 'rgb(255, 0, 0)'; })()`,
		"a call elsewhere":    `window.fetch('https://example.org/', {}).then(() => false, () => true)`,
	} {
		if !value[bool](p, attempt) {
			t.Errorf("the policy lets through: %s", what)
		}
	}
}

// The gauges follow what the server does.
func TestGauges(t *testing.T) {
	p := open(t, address, desktop)
	p.endless()
	p.click("#tab-completion")
	p.enter(chromedp.ModifierCtrl)
	p.await(`document.querySelector('#gauge-slots strong').textContent === '1 / 32' && Number(document.querySelector('#gauge-speed strong').textContent) > 0
		&& parseFloat(document.querySelector('#gauge-cache strong').textContent) > 0 && document.querySelector('#gauge-speed polyline')`)
	p.key(kb.Escape)
	p.await(`document.querySelector('#gauge-slots strong').textContent === '0 / 32' && document.querySelector('#gauge-speed strong').textContent === '0'`)
	p.await(`delays.some((delay) => delay > 9000)`) // where nothing runs it looks less often
	if got := p.text("#models"); !strings.Contains(got, "smollm2-135m-instruct") || !strings.Contains(got, "ready") || !strings.Contains(got, "8,192") {
		t.Errorf("the models are %q", got)
	}
}

// The colours are the system's, until the switch says otherwise, which is remembered.
func TestColours(t *testing.T) {
	p := open(t, address, desktop)
	p.ready()
	back := func() string { return value[string](p, `getComputedStyle(document.body).backgroundColor`) }
	light := back()
	p.colours("dark")
	dark := back()
	if light == dark {
		t.Fatalf("both are %s", light)
	}
	p.click("#theme")
	if got := back(); got != light {
		t.Errorf("switched to light: %s", got)
	}
	p.do(chromedp.Reload())
	p.ready()
	if got := back(); got != light {
		t.Errorf("remembered: %s", got)
	}
	p.click("#theme")
	if got := back(); got != dark {
		t.Errorf("switched to dark: %s", got)
	}
}

// faint finds texts whose contrast is too small. Colours are read off a canvas, which knows all notations.
const faint = `(() => {
	const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	const rgba = (colour) => {
		context.clearRect(0, 0, 1, 1);
		context.fillStyle = colour;
		context.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
		return [r, g, b, a / 255];
	};
	const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
	const behind = (element) => element ? over(rgba(getComputedStyle(element).backgroundColor), behind(element.parentElement)) : [255, 255, 255];
	const luminance = (colour) => colour.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const found = new Set();
	for (const element of document.querySelectorAll('body *')) {
		if (!element.checkVisibility() || element.closest('.unseen, .skip, option') || ![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
		const back = behind(element);
		const [a, b] = [luminance(over(rgba(getComputedStyle(element).color), back)), luminance(back)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) found.add(ratio.toFixed(2) + ' ' + element.tagName + '.' + element.className + ' ' + element.textContent.slice(0, 30));
	}
	return [...found];
})()`

// The parts of a text are given to the tokens that they are of.
func TestAligner(t *testing.T) {
	p := open(t, address, desktop)
	p.ready()
	for name, c := range map[string]struct{ deltas, want string }{
		"one by one":               {`[['Hello', ['Hello']], [' you', [' you']]]`, "Hello=Hello| you= you"},
		"several at once":          {`[['Hello you', ['Hello', ' you']]]`, "Hello=Hello| you= you"},
		"an end token":             {`[['Hi', ['Hi']], ['', ['<|end|>']]]`, "Hi=Hi|<|end|>="},
		"an end token before text": {`[['', ['<a>']], ['x', ['x']]]`, "<a>=|x=x"},
		"a character of two":       {`[['', [[0xe2, 0x82]]], ['€', [[0xac]]]]`, "e282=|ac=€"},
		"a space at the beginning": {`[['Hi', [' Hi']]]`, " Hi=Hi"},
		"text that is held back":   {`[['a', ['a']], ['', [' st']], ['', ['op']], [' stir', ['ir']]]`, "a=a| st= st|op=|ir=ir"},
		"text that is cut":         {`[['a b', ['a', ' bcd']]]`, "a=a| bcd= b"},
		"text that comes in parts": {`[['a', ['abc']], ['b', []], ['c', ['d']], ['d', []]]`, "abc=a|abc=b|abc=c|d=d"},
		"text without tokens":      {`[['plain', []]]`, "=plain"},
	} {
		got := value[string](p, `import('./playground/align.js').then(({ Aligner }) => {
			const aligner = new Aligner();
			const pieces = [];
			for (const [text, tokens] of `+c.deltas+`) {
				pieces.push(...aligner.push(text, tokens.map((t) => typeof t === 'string' ? { name: t, bytes: new TextEncoder().encode(t) }
					: { name: t.map((b) => b.toString(16)).join(''), bytes: Uint8Array.from(t) })));
			}
			pieces.push(...aligner.end());
			return pieces.map(({ token, text }) => (token?.name ?? '') + '=' + text).join('|');
		})`)
		if got != c.want {
			t.Errorf("%s: %s instead of %s", name, got, c.want)
		}
	}
}
