// Package parity holds the test that compares the scanners of package pretoken, word by word, with the Split
// pre-tokenizer of Hugging Face tokenizers. It needs the project's Python environment ("make setup") and is left out by
// "go test -short".
package parity
