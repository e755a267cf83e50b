// Package sluice is the Go client of a Sluice server.
//
//	client, err := sluice.New("127.0.0.1:50051")
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//
//	stream := client.Stream(ctx, sluice.Chat(sluice.User("Name three rivers.")))
//	for delta, err := range stream.Deltas() {
//		if err != nil {
//			return err
//		}
//		fmt.Print(delta.GetText())
//	}
//	fmt.Println(stream.Summary().GetUsage().GetCompletionTokens(), "tokens")
//
// The package is thin: requests and responses are the generated messages of
// github.com/sluiceml/sluice/proto/sluice/v1, of which every field can be set. It adds connections with TLS and API
// keys, streams as iterators, and errors with their details. What it has no method for is called through the
// generated stubs over [Client.Conn].
//
// Cancelling the context of a call, passing its deadline, or leaving the loop over a stream stops the work in the
// server at its next step.
package sluice
