package browsertest

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
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

// What is wrong with a request is said by field, and at the field.
func TestErrors(t *testing.T) {
	p := open(t, address, desktop)
	p.expect("400") // the browser's own line of a failed request
	p.ready()
	p.fill("#sampling-temperature", "3")
	p.fill("#chat-input", "x")
	p.enter()
	p.await(`document.querySelector('.answer .error')`)
	if got := p.text(".answer .error"); !strings.Contains(got, "sampling.temperature") || !strings.Contains(got, "between 0 and 2") || !strings.Contains(got, "invalid_argument") {
		t.Errorf("the error is %q", got)
	}
	if !value[bool](p, `(() => { const input = document.querySelector('#sampling-temperature');
		return input.getAttribute('aria-invalid') === 'true' && document.getElementById(input.getAttribute('aria-describedby')).textContent.includes('between'); })()`) {
		t.Error("the field is not marked")
	}
	p.fill("#sampling-temperature", "0.5")
	p.await(`!document.querySelector('[aria-invalid]')`)
	p.fill("#sampling-maxTokens", "5")
	p.click(".actions button:nth-child(2)")
	p.await(`document.querySelectorAll('.answer .token').length > 0`)
	p.ended()
	if value[bool](p, `Boolean(document.querySelector('.error'))`) {
		t.Error("the error stays")
	}
}

// With keys, the page comes without one and its calls need one, which goes into their headers and stays in memory.
func TestKeys(t *testing.T) {
	file, client, operator := keys(t)
	guarded, stop, err := start("--api-keys", file)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p := open(t, guarded, desktop)
	p.expect("401")
	p.expect("403")
	p.await(`!document.querySelector('#banner').hidden`)
	if got := p.text("#banner"); !strings.Contains(got, "asks for an API key") {
		t.Errorf("the banner says %q", got)
	}
	use := p.useKey
	use("sk-wrong")
	p.await(`document.querySelector('#banner').textContent.includes('does not take this API key')`)
	p.fill("#chat-input", "x")
	p.enter()
	p.await(`document.querySelector('.answer .error')`)
	if got := p.text(".answer .error"); !strings.Contains(got, "unauthenticated") || !strings.Contains(got, "CREDENTIALS_INVALID") {
		t.Errorf("the error is %q", got)
	}
	use(client)
	p.ready()
	p.await(`document.querySelector('#banner').hidden && document.querySelector('#gauge-cache').textContent.includes('needs the right')`)
	p.fill("#sampling-maxTokens", "5")
	p.fill("#chat-input", "Hello")
	p.enter()
	p.await(`document.querySelectorAll('.answer .token').length > 0`)
	p.ended()
	use(operator)
	p.await(`document.querySelector('#gauge-cache').textContent.includes('%')`)
	if !value[bool](p, `!location.href.includes('?') && !location.hash && localStorage.length === 0 && sessionStorage.length === 0
		&& fetched.every(({ path, body }) => !JSON.stringify([path, body]).includes(`+quoted(operator)+`)) && !document.documentElement.outerHTML.includes(`+quoted(operator)+`)`) {
		t.Error("the key is elsewhere than in headers")
	}
	p.do(chromedp.Reload())
	p.await(`!document.querySelector('#banner').hidden`) // it was in memory only
	p.click("#key-button")
	p.fill("#key", operator)
	p.click("#key-keep")
	p.click("#key-form button.main")
	p.ready()
	p.do(chromedp.Reload())
	p.ready() // it was kept for this tab
	p.click("#key-button")
	p.click("#key-forget")
	p.await(`!document.querySelector('#banner').hidden && sessionStorage.length === 0`)
}

// useKey gives the page a key.
func (p *page) useKey(key string) {
	p.t.Helper()
	p.click("#key-button")
	p.fill("#key", key)
	p.enter()
}

// The quota of a key is for its user: once it is spent the page waits until there is room.
func TestQuota(t *testing.T) {
	key, entry := newKey(t, "scarce", "--requests", "0.01:1")
	guarded, stop, err := start("--api-keys", keyFile(t, entry))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p := open(t, guarded, desktop)
	for _, status := range []string{"401", "403", "429"} { // without the key; /metrics; the second look
		p.expect(status)
	}
	p.await(`!document.querySelector('#banner').hidden`)
	p.useKey(key)
	p.ready()
	p.await(`delays.some((delay) => delay > 60_000)`) // a call takes 100 s to come back
	if got := value[[]float64](p, `(delays.length = 0, document.dispatchEvent(new Event('visibilitychange')), delays)`); len(got) != 1 || got[0] < 60_000 {
		t.Errorf("a page that is shown again looks after %v ms", got)
	}
	if value[bool](p, `!document.querySelector('#banner').hidden`) || p.text("#gauge-slots strong") != "0 / 32" {
		t.Errorf("the page says %q and shows %q slots", p.text("#banner"), p.text("#gauge-slots strong"))
	}
	p.fill("#chat-input", "x")
	p.enter()
	p.await(`document.querySelector('.answer .error')`)
	if got := p.text(".answer .error"); !strings.Contains(got, "REQUEST_QUOTA_SPENT") {
		t.Errorf("the error is %q", got)
	}
}

// A server that goes away is said to be away; what had come of an answer stays.
func TestServerGone(t *testing.T) {
	ending, stop, err := start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p := open(t, ending, desktop)
	p.expect("ERR_")
	p.expect("503") // while it stops
	p.endless()
	p.fill("#chat-input", "Tell me a long story.")
	p.enter()
	p.await(`document.querySelectorAll('.answer .token').length >= 5`)
	stop()
	p.await(`document.querySelector('.answer .error') && !document.querySelector('.answer.running') && !document.querySelector('#banner').hidden`)
	if got := value[int](p, `document.querySelectorAll('.answer .token').length`); got < 5 {
		t.Errorf("%d tokens are left", got)
	}
	p.fill("#chat-input", "x")
	p.enter()
	p.await(`document.querySelector('.turn:last-child .error')`)
	if got := p.text(".turn:last-child .error"); !strings.Contains(got, "cannot be reached") {
		t.Errorf("the error is %q", got)
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

// On a phone nothing is wider than the screen, the side is a sheet, and a tap shows a token's alternatives.
func TestPhone(t *testing.T) {
	p := open(t, address, phone)
	p.ready()
	p.fill("#chat-input", "Tell me about rivers and lakes.")
	p.click("#side-button")
	p.await(`document.querySelector('#side').classList.contains('open') && document.activeElement.id === 'side-close'`)
	p.fill("#sampling-maxTokens", "60")
	p.key(kb.Escape)
	p.await(`document.activeElement.id === 'side-button' && getComputedStyle(document.querySelector('#side')).visibility === 'hidden'`)
	p.click("#chat-form button.main")
	p.ended()
	fits := `[...document.querySelectorAll('body *')].filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.scroll, .unseen, .skip'))
		.filter((e) => { const box = e.getBoundingClientRect(); return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1); }).map((e) => e.outerHTML.slice(0, 80))`
	for _, view := range []string{"tokenizer", "completion", "chat"} {
		p.click("#tab-" + view)
		if wide := value[[]string](p, fits); len(wide) > 0 {
			t.Errorf("%s: wider than the screen: %v", view, wide)
		}
	}
	p.do(chromedp.ScrollIntoView(chromedp.CSS(".answer .token:nth-child(6)")), chromedp.Tap(chromedp.CSS(".answer .token:nth-child(6)")))
	p.await(`!document.querySelector('#card').hidden`)
	if !value[bool](p, `(() => { const box = document.querySelector('#card').getBoundingClientRect(); return box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight; })()`) {
		t.Error("the card is partly outside the screen")
	}
}

// Everything that can be operated has a name, and the Tab key goes to it in the order of the page.
func TestNamesAndOrder(t *testing.T) {
	p := open(t, address, desktop)
	p.greedy("8")
	p.fill("#chat-input", "Name a river.")
	p.enter()
	p.ended()
	tree, err := chromedp.Call(p.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatal(err)
	}
	operable := []string{`"button"`, `"textbox"`, `"combobox"`, `"checkbox"`, `"tab"`, `"slider"`, `"spinbutton"`, `"dialog"`, `"link"`}
	named := 0
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil || !slices.Contains(operable, string(node.Role.Value)) {
			continue
		}
		named++
		if node.Name == nil || string(node.Name.Value) == `""` {
			t.Errorf("a %s without a name", node.Role.Value)
		}
	}
	if named < 20 {
		t.Errorf("only %d things can be operated", named)
	}
	p.do(chromedp.Focus(chromedp.CSS(".skip")))
	var order []string
	for range 14 {
		p.key("\t")
		order = append(order, value[string](p, `document.activeElement.id || document.activeElement.className.split(' ')[0] || document.activeElement.tagName`))
	}
	want := []string{"tab-chat", "model", "key-button", "theme", "help-button", "chat-log", "token", "quiet", "quiet", "quiet", "figures", "SUMMARY", "SUMMARY", "chat-input"}
	if !slices.Equal(order, want) {
		t.Errorf("the Tab key goes to %v", order)
	}
}

// Text stands out from what is behind it by 4.5 to 1, in dark and in light.
func TestContrast(t *testing.T) {
	p := open(t, address, desktop)
	p.greedy("30")
	p.fill("#chat-input", "Name a river.")
	p.enter()
	p.ended()
	for _, scheme := range []string{"light", "dark"} {
		p.colours(scheme)
		for _, view := range []string{"chat", "completion", "tokenizer"} {
			p.click("#tab-" + view)
			for _, found := range value[[]string](p, faint) {
				t.Errorf("%s, %s: %s", scheme, view, found)
			}
		}
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

// The help opens by its keys and closes by Esc, and the tabs by the arrow keys.
func TestKeyboard(t *testing.T) {
	p := open(t, address, desktop)
	p.ready()
	p.key("/", chromedp.ModifierCtrl)
	p.await(`document.querySelector('#help').open`)
	p.key(kb.Escape)
	p.await(`!document.querySelector('#help').open`)
	p.do(chromedp.Focus(chromedp.CSS("#tab-chat")))
	for _, view := range []string{"completion", "tokenizer", "chat"} {
		p.key(kb.ArrowRight)
		p.await(`document.activeElement.id === 'tab-` + view + `' && document.activeElement.ariaSelected === 'true' && !document.querySelector('#view-` + view + `').hidden`)
	}
}

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
