// Package chat renders conversations through a model's own chat template: Jinja source that comes with the model, so
// it is foreign code and is treated as such.
//
// Two promises go beyond the template language. A render is bounded: every evaluation and every byte that it touches
// or makes is charged to a budget that grows with the input, so a hostile template ends in a LimitError after about a
// second at worst, without a clock, a second goroutine or a deadline (limits.go, instrument.go). And what callers
// wrote stays text: Rendered.Literal names the bytes of message contents, tools and documents that would otherwise
// take part in a special token, so that a tokenizer which honours the ranges cannot be made to emit a control token by
// a message that spells one (mark.go).
package chat
