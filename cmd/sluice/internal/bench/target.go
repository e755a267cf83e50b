package bench

import "context"

// Target is a server under load. It is safe for concurrent use.
type Target interface {
	// Generate runs a request to its end. It calls delta each time that tokens have come, with how many they are, from
	// the goroutine that called it. A failure is a *FailureError.
	Generate(ctx context.Context, request Request, delta func(tokens int)) (Usage, error)
}

// Usage is what the server counted.
type Usage struct {
	// Known says whether the server sent it.
	Known bool
	// PromptTokens, CachedTokens of which came from a cache, and CompletionTokens.
	PromptTokens, CachedTokens, CompletionTokens int
}

// FailureError is a request that did not end well.
type FailureError struct {
	// Status is what failures are counted by, such as RESOURCE_EXHAUSTED or HTTP 503.
	Status string
	// Err is the cause.
	Err error
}

func (f *FailureError) Error() string { return f.Status + ": " + f.Err.Error() }
func (f *FailureError) Unwrap() error { return f.Err }
