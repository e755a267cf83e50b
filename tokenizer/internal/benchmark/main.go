// Command benchmark measures package tokenizer for compare.py, which measures other programs beside it. It prints a line
// of JSON for each measurement, whose times are those of the processor, so that what else runs on it counts little.
//
//	go run ./tokenizer/internal/benchmark load TOKENIZER
//	go run ./tokenizer/internal/benchmark text TOKENIZER TEXT DOCUMENT PASSES
//	go run ./tokenizer/internal/benchmark runs TOKENIZER BYTES
//
// "load" loads once. "text" encodes a text so many times on one processor, with the cache of words empty at first: each
// document of whole lines with a call of its own. A document ends with the line that makes it DOCUMENT bytes long or
// longer; 0 makes each line one. "runs" encodes texts of so many bytes that are made to be slow, see runs.go.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/sluiceml/sluice/tokenizer"
)

type result struct {
	Name      string    `json:"name"`
	Bytes     int       `json:"bytes,omitempty"`
	Documents int       `json:"documents,omitempty"`
	Tokens    int       `json:"tokens,omitempty"`
	Seconds   []float64 `json:"seconds"` // by pass
	PeakKB    int       `json:"peak_kb,omitempty"`
}

var errUsage = errors.New("usage: benchmark load TOKENIZER | text TOKENIZER TEXT DOCUMENT PASSES | runs TOKENIZER BYTES")

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errUsage
	}
	numbers := make([]int, 0, 2)
	for _, arg := range args[min(len(args), 2):] {
		if n, err := strconv.Atoi(arg); err == nil {
			numbers = append(numbers, n)
		}
	}
	wall := now()
	tok, err := tokenizer.Load(args[1])
	if err != nil {
		return err
	}
	loaded := now() - wall
	out := json.NewEncoder(os.Stdout)
	switch {
	case args[0] == "load" && len(args) == 2:
		peak, err := peakKB()
		if err != nil {
			return err
		}
		return out.Encode(result{Name: "load", Seconds: []float64{loaded}, PeakKB: peak})
	case args[0] == "text" && len(args) == 5 && len(numbers) == 2:
		runtime.GOMAXPROCS(1)
		r, err := text(tok, args[2], numbers[0], numbers[1])
		if err != nil {
			return err
		}
		return out.Encode(r)
	case args[0] == "runs" && len(args) == 3 && len(numbers) == 1:
		runtime.GOMAXPROCS(1)
		for _, t := range slowTexts(numbers[0]) {
			r := result{Name: t.name, Bytes: len(t.text)}
			if err := r.measure(tok, []string{t.text}, 3); err != nil {
				return err
			}
			if err := out.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	return errUsage
}

// text measures a text.
func text(tok *tokenizer.Tokenizer, path string, size, passes int) (result, error) {
	data, err := os.ReadFile(path) //nolint:gosec // who runs it names the files
	if err != nil {
		return result{}, err
	}
	r := result{Name: path, Bytes: len(data)}
	return r, r.measure(tok, documents(string(data), size), passes)
}

// measure encodes documents so many times.
func (r *result) measure(tok *tokenizer.Tokenizer, documents []string, passes int) error {
	r.Documents = len(documents)
	var ids []uint32
	var err error
	runtime.GC()
	for range passes {
		r.Tokens = 0
		start, err2 := cpu()
		for _, d := range documents {
			if ids, err = tok.AppendEncode(ids[:0], d, tokenizer.EncodeOptions{}); err != nil {
				return err
			}
			r.Tokens += len(ids)
		}
		end, err := cpu()
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		r.Seconds = append(r.Seconds, end-start)
	}
	return nil
}

// documents cuts a text into documents of whole lines.
func documents(text string, size int) []string {
	var all []string
	start, end := 0, 0
	for line := range strings.Lines(text) {
		end += len(line)
		if end-start >= size {
			all = append(all, text[start:end])
			start = end
		}
	}
	if start < end {
		all = append(all, text[start:])
	}
	return all
}
