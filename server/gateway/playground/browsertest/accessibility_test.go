package browsertest

import (
	"slices"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

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
