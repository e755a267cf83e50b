// Command benchmark measures package tokenizer for compare.py, which measures Hugging Face tokenizers and tiktoken beside
// it. It prints a line of JSON for the load and for each text.
//
//	go run ./tokenizer/internal/benchmark TOKENIZER ROUNDS TEXT…
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/sluiceml/sluice/tokenizer"
)

type result struct {
	Text    string    `json:"text"`
	Bytes   int       `json:"bytes"`
	Tokens  int       `json:"tokens"`
	Seconds []float64 `json:"seconds"` // by round
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run encodes each text line by line, as chats come, on one processor.
func run(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: benchmark TOKENIZER ROUNDS TEXT…")
	}
	rounds, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	start := time.Now()
	tok, err := tokenizer.Load(args[0])
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(result{Text: "load", Seconds: []float64{time.Since(start).Seconds()}}); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	for _, path := range args[2:] {
		r, err := measure(tok, path, rounds)
		if err != nil {
			return err
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// measure encodes one text so many times.
func measure(tok *tokenizer.Tokenizer, path string, rounds int) (result, error) {
	data, err := os.ReadFile(path) //nolint:gosec // who runs it names the files
	if err != nil {
		return result{}, err
	}
	r := result{Text: strings.TrimSuffix(filepath.Base(path), ".txt"), Bytes: len(data)}
	lines := strings.SplitAfter(string(data), "\n")
	var ids []uint32
	for range rounds {
		r.Tokens = 0
		start := time.Now()
		for _, line := range lines {
			if ids, err = tok.AppendEncode(ids[:0], line, tokenizer.EncodeOptions{}); err != nil {
				return r, err
			}
			r.Tokens += len(ids)
		}
		r.Seconds = append(r.Seconds, time.Since(start).Seconds())
	}
	return r, nil
}
