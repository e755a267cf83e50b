package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/sampling"
)

// A request runs on an engine, and its output is read as it comes.
func Example() {
	session := inferencetest.NewToy(inferencetest.ToyConfig{Script: saying(2, "Hello.")})
	e, err := engine.New(session, engine.Config{Model: "toy"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()

	out, err := e.Submit(ctx, engine.Request{
		Prompt: []uint32{7, 8}, MaxTokens: 20, Sampling: sampling.Greedy(), EOS: []uint32{0}, Decoder: &byteDecoder{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var text string
	for {
		u, err := out.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		text += u.Text
		if u.Finish != nil {
			fmt.Println(text, u.Finish.Reason)
		}
	}
	fmt.Printf("%+v\n", out.Summary().Usage)

	e.Drain()
	fmt.Println(<-done, session.Close())
	// Output:
	// Hello. stop
	// {PromptTokens:2 CompletionTokens:7 CachedTokens:0 ReasoningTokens:0}
	// <nil> <nil>
}
