package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// OpenAI is a server that speaks OpenAI's HTTP protocol: POST /completions with a stream of server-sent events, as
// llama-server, vLLM and others do.
type OpenAI struct {
	// Base is the address, such as http://127.0.0.1:8000/v1.
	Base *url.URL
	// HTTP sends the requests.
	HTTP *http.Client
	// Key is sent as a bearer token unless it is empty.
	Key string
	// Model is the name of the model.
	Model string
	Sampling
}

// NewHTTPClient makes a client that keeps a connection for each request in flight, goes where it is told and nowhere
// else: it takes no proxy from the environment and follows no redirect.
func NewHTTPClient(transport *http.Transport) *http.Client {
	transport.Proxy = nil
	transport.MaxIdleConns = maxStreams
	transport.MaxIdleConnsPerHost = maxStreams
	transport.DisableCompression = true
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// completionRequest is the body of a request. OpenAI's own API has no ignore_eos: llama-server, vLLM and SGLang have.
type completionRequest struct {
	Model         string        `json:"model"`
	Prompt        any           `json:"prompt"` // text or ids
	MaxTokens     int           `json:"max_tokens"`
	Temperature   float64       `json:"temperature"`
	Stream        bool          `json:"stream"`
	StreamOptions streamOptions `json:"stream_options"`
	IgnoreEOS     bool          `json:"ignore_eos,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// completionChunk is an event of the answer.
type completionChunk struct {
	Choices []struct {
		Text         string  `json:"text"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		Details          *struct {
			CachedTokens int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

// The statuses of failures that have no HTTP status.
const (
	statusTimeout   = "TIMEOUT"
	statusTransport = "TRANSPORT"
	statusStream    = "BAD STREAM"
)

// Generate implements [Target]. A delta is an event with text; servers do not say how many tokens an event holds, but
// some send the usage so far with each, and then their count is taken.
func (o *OpenAI) Generate(ctx context.Context, request Request, delta func(tokens int)) (Usage, error) {
	body := completionRequest{
		Model: o.Model, Prompt: request.Text, MaxTokens: request.MaxTokens, Temperature: o.Temperature,
		Stream: true, StreamOptions: streamOptions{IncludeUsage: true}, IgnoreEOS: o.IgnoreEOS,
	}
	if request.IDs != nil {
		body.Prompt = request.IDs
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return Usage{}, &FailureError{Status: statusTransport, Err: err}
	}
	response, err := o.send(ctx, http.MethodPost, "completions", bytes.NewReader(encoded))
	if err != nil {
		return Usage{}, err
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	usage, err := readCompletion(response.Body, delta)
	if err != nil {
		return Usage{}, failure(ctx, statusStream, err)
	}
	return usage, nil
}

// send returns a response whose status is 200.
func (o *OpenAI) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, o.Base.JoinPath(path).String(), body)
	if err != nil {
		return nil, &FailureError{Status: statusTransport, Err: err}
	}
	request.Header.Set("Content-Type", "application/json")
	// Not sent, but lets the transport try again on a new connection if the server has closed an idle one meanwhile:
	// otherwise that race would count as a failure.
	request.Header["Idempotency-Key"] = nil
	if o.Key != "" {
		request.Header.Set("Authorization", "Bearer "+o.Key)
	}
	response, err := o.HTTP.Do(request)
	if err != nil {
		return nil, failure(ctx, statusTransport, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }() // the status is the failure
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	return nil, &FailureError{
		Status: fmt.Sprintf("HTTP %d", response.StatusCode),
		Err:    errors.New(printable(strings.TrimSpace(string(text)), maxExample)),
	}
}

// failure gives an error its status: a deadline shows in the context first.
func failure(ctx context.Context, status string, err error) *FailureError {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		status = statusTimeout
	}
	return &FailureError{Status: status, Err: err}
}

// readCompletion reads the events of an answer to their end.
func readCompletion(r io.Reader, delta func(tokens int)) (Usage, error) {
	stream := newEvents(r)
	var usage Usage
	counted, finished := 0, false
	for {
		data, err := stream.next()
		if errors.Is(err, io.EOF) && finished { // some servers leave out [DONE]
			return usage, nil
		}
		if errors.Is(err, io.EOF) {
			return usage, fmt.Errorf("the stream ended early: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return usage, err
		}
		if string(data) == "[DONE]" {
			return usage, nil
		}
		var chunk completionChunk
		if err := json.Unmarshal(data, &chunk); err != nil {
			return usage, fmt.Errorf("an event is no chunk of a completion: %w", err)
		}
		if len(chunk.Error) > 0 && string(chunk.Error) != "null" {
			return usage, fmt.Errorf("the server says: %s", printable(string(chunk.Error), maxExample))
		}
		tokens := 0
		for _, choice := range chunk.Choices {
			if choice.Text != "" {
				tokens = 1
			}
			finished = finished || choice.FinishReason != nil
		}
		if u := chunk.Usage; u != nil {
			if !plausible(u.PromptTokens) || !plausible(u.CompletionTokens) {
				return usage, errors.New("the usage is absurd")
			}
			usage = Usage{Known: true, PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens}
			if u.Details != nil && plausible(u.Details.CachedTokens) {
				usage.CachedTokens = u.Details.CachedTokens
			}
			if tokens > 0 {
				tokens = max(u.CompletionTokens-counted, 1)
			}
		}
		counted += tokens
		delta(tokens)
	}
}

func plausible(tokens int) bool { return tokens >= 0 && tokens <= maxTokens }

// FirstModel returns the name of the first model that the server lists.
func (o *OpenAI) FirstModel(ctx context.Context) (string, error) {
	response, err := o.send(ctx, http.MethodGet, "models", http.NoBody)
	if err != nil {
		return "", fmt.Errorf("list the models: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxEventBytes)).Decode(&list); err != nil {
		return "", fmt.Errorf("list the models: %w", err)
	}
	if len(list.Data) == 0 {
		return "", errors.New("list the models: the server lists none")
	}
	return list.Data[0].ID, nil
}
