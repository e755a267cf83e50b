// Package engine runs the requests of one replica: one session, one goroutine, continuous batching. Requests join and
// leave at the boundaries of steps.
//
//	e, err := engine.New(session, engine.Config{Model: "m"})
//	go e.Run(ctx)                     // the loop; the only goroutine that touches the session
//	out, err := e.Submit(ctx, req)    // from any goroutine; refused at once if the queue is full
//	for {
//		u, err := out.Next(ctx)   // io.EOF after the update that has Finish set
//	}
//
// # Owners
//
// The scheduler, the samplers, the decoders, the buffers and the session belong to the goroutine of Run; nothing
// there takes a lock, but for the drawing of tokens, where between two runs of the session a second goroutine takes some of the
// step's rows (draw.go), and for a third one that wakes the readers of several tokens (waker.go). A request crosses twice: through the inbox (a mutex held for a few instructions), and back
// through its Output, a mailbox of one place: what the reader has not taken yet is merged with what comes next, so
// the engine never waits for a reader. A reader that takes nothing for Config.ReaderTimeout loses its slot.
//
// # Ends
//
// A request ends in exactly one of these ways, and its slot is free for the next step:
//
//   - with a Finish: end token, stop sequence, or length;
//   - its context ends, or Output.Close: with the context's cause, or ErrClosed. While it waits this takes effect at
//     once, while it runs at the next boundary. A deadline that passes in the queue is an *ExpiredError;
//   - its reader is idle too long: ErrSlowReader;
//   - its own exclusions (allowed tokens, bad words, n-grams, min_tokens) leave no token: *ExcludedError;
//   - its grammar takes too much to follow: *AmbiguousError;
//   - its row of logits can't be sampled from, or its decoder panics: *FailedError, for this request only;
//   - the session fails: *FailedError for all, and Run returns it. The engine stays closed; the session must be
//     closed and a new pair be made;
//   - Run's context ends: ErrStopped for all.
//
// # Memory
//
// Where running requests outgrow Config.KVTokens, some lose their slots and start over when there is room. Their readers
// see a pause and nothing else: what was drawn is fed again, not drawn again.
//
// # Tracing
//
// Under the span of Submit's context, if it is sampled: queue, one prefill per chunk, one decode per step,
// detokenize (from the first token's text to the last's). Each step with a sampled request in it is an engine.step
// span of its own trace, linked to the parents of these. An unsampled request costs one comparison per step.
package engine
