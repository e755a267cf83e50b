// Package parity holds the test that compares package tokenizer, id by id, with Hugging Face tokenizers. It needs the
// project's Python environment and the model cache ("make setup") and is left out by "go test -short".
package parity
