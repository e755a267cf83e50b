// Package answer reads what a model writes: its reasoning, its calls of tools, and the text that is for the reader. Models
// write all three into one stream of characters, each family in a form of its own; a Parser takes that stream in pieces of
// any size and gives the three apart, as soon as they are certain.
//
// What only looks like a call is text, and nothing of it is lost. A call is given while it is being written; one that
// turns out to be none is retracted, and everything that was written of it becomes text. So a call that is not retracted
// is whole: it has the name of a declared tool and its arguments are a JSON object.
//
// The package is pure: no clock, no goroutines, no I/O. What it holds back is bounded by the call that is being written.
package answer
