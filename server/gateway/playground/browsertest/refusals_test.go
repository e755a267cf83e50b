package browsertest

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

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
