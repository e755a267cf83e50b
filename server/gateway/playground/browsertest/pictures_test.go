package browsertest

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// The pictures of docs/playground.md, taken with -shots. They are of the default model, whose answers are no wiser than it
// is.
func TestPictures(t *testing.T) {
	p := open(t, address, size{width: 1200, height: 800, scale: 1})
	p.ready()
	p.click("#sampling summary")
	p.fill("#sampling-seed", "7")
	p.click("#sampling summary")
	p.fill("#sampling-maxTokens", "90")
	p.fill("#chat-input", "Why is the sky blue?")
	p.enter()
	p.ended()
	p.await(`document.querySelector('#gauge-speed polyline')`)
	p.do(chromedp.Focus(chromedp.CSS(".answer .token:nth-child(7)")))
	value[int](p, `document.querySelector('#side').scrollTop = 0`)
	p.await(`!document.querySelector('#card').hidden`)
	p.shot("playground-chat")

	p.colours("dark")
	p.click("#tab-completion")
	p.enter(chromedp.ModifierCtrl)
	p.ended()
	// Tokens come in as few or many arrivals as guesses and a busy machine make of them.
	arrivals := value[int](p, `document.querySelectorAll('#completion-output .steps i').length`)
	p.point(fmt.Sprintf("#completion-output .steps i:nth-child(%d)", (arrivals+1)/2))
	p.await(`document.querySelector('.token.lit')`)
	p.shot("playground-completion")

	p.click("#tab-tokenizer")
	p.fill("#tokenizer-input", "A sluice is a gate that controls the flow of water.\nШлюз, écluse, 1 + 1 = 2; <|im_end|>")
	p.await(`document.querySelectorAll('#tokenizer-output li').length > 20 && document.querySelector('#tokenizer-output .special')`)
	p.shot("playground-tokenizer")

	q := open(t, address, size{width: 390, height: 780, scale: 1.5, touch: true})
	q.ready()
	q.fill("#chat-input", "Why is the sky blue?")
	q.click("#chat-form button.main")
	q.ended()
	value[int](q, `document.querySelector('#chat-log').scrollTop = 0`)
	q.do(chromedp.Tap(chromedp.CSS(".answer .token:nth-child(7)")))
	q.await(`!document.querySelector('#card').hidden`)
	q.shot("playground-phone")
}
