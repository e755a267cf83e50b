package sluice

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// Client calls one Sluice server. It is safe for concurrent use: calls share one HTTP/2 connection.
type Client struct {
	conn  grpc.ClientConnInterface
	close func() error

	inference sluicev1.InferenceServiceClient
	models    sluicev1.ModelServiceClient
	tokenizer sluicev1.TokenizerServiceClient
}

// New makes a client of the server at addr: "host:port", or any target that gRPC knows, such as
// "dns:///sluice.example:50051" or "unix:///run/sluice.sock". It does no I/O: the first call connects. If nothing
// answers, the call is tried again for a short time (unless [WithoutRetry] is given) and then fails with Unavailable.
// Without [WithTLS] or [WithCAFile] the connection is plain text. The caller closes the client.
func New(addr string, opts ...Option) (*Client, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	dial, err := o.dialOptions(addr)
	if err != nil {
		return nil, fmt.Errorf("sluice: client of %s: %w", addr, err)
	}
	conn, err := grpc.NewClient(addr, dial...)
	if err != nil {
		return nil, fmt.Errorf("sluice: client of %s: %w", addr, err)
	}
	c := NewFromConn(conn)
	c.close = conn.Close
	return c, nil
}

// NewFromConn makes a client that calls over a connection of the caller's own. Closing the client leaves that
// connection open.
func NewFromConn(conn grpc.ClientConnInterface) *Client {
	return &Client{
		conn:      conn,
		close:     func() error { return nil },
		inference: sluicev1.NewInferenceServiceClient(conn),
		models:    sluicev1.NewModelServiceClient(conn),
		tokenizer: sluicev1.NewTokenizerServiceClient(conn),
	}
}

// Close closes the connection. Calls that run end with Canceled.
func (c *Client) Close() error { return c.close() }

// Conn returns the connection, for services that Client has no method for, such as health and reflection.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// Generate runs a request to its end and returns the whole answer. A failure is an [*Error].
func (c *Client) Generate(
	ctx context.Context, req *sluicev1.GenerateRequest, opts ...grpc.CallOption,
) (*sluicev1.GenerateResponse, error) {
	return wrap(c.inference.Generate(ctx, req, opts...))
}

// Score computes how likely continuations of one input are. A failure is an [*Error].
func (c *Client) Score(
	ctx context.Context, req *sluicev1.ScoreRequest, opts ...grpc.CallOption,
) (*sluicev1.ScoreResponse, error) {
	return wrap(c.inference.Score(ctx, req, opts...))
}

// Explain computes how much each segment of an input moves the probability of an answer. A failure is an [*Error].
func (c *Client) Explain(
	ctx context.Context, req *sluicev1.ExplainRequest, opts ...grpc.CallOption,
) (*sluicev1.ExplainResponse, error) {
	return wrap(c.inference.Explain(ctx, req, opts...))
}

// Embed computes a vector for each of several inputs, which [Texts] makes of texts. A failure is an [*Error].
func (c *Client) Embed(
	ctx context.Context, req *sluicev1.EmbedRequest, opts ...grpc.CallOption,
) (*sluicev1.EmbedResponse, error) {
	return wrap(c.inference.Embed(ctx, req, opts...))
}

// Models lists the served models, the default one first. A failure is an [*Error].
func (c *Client) Models(ctx context.Context, opts ...grpc.CallOption) ([]*sluicev1.Model, error) {
	res, err := wrap(c.models.ListModels(ctx, &sluicev1.ListModelsRequest{}, opts...))
	return res.GetModels(), err
}

// Model describes the served model of a name or alias; "" names the default model. A failure is an [*Error].
func (c *Client) Model(ctx context.Context, name string, opts ...grpc.CallOption) (*sluicev1.Model, error) {
	res, err := wrap(c.models.GetModel(ctx, &sluicev1.GetModelRequest{Name: name}, opts...))
	return res.GetModel(), err
}

// LoadModel loads a model from the server's model store and returns once it serves. The client must be one of the
// server's admin address. A failure is an [*Error].
func (c *Client) LoadModel(
	ctx context.Context, req *sluicev1.LoadModelRequest, opts ...grpc.CallOption,
) (*sluicev1.Model, error) {
	res, err := wrap(c.models.LoadModel(ctx, req, opts...))
	return res.GetModel(), err
}

// UnloadModel takes a model out of service and returns once it has finished what it had. The client must be one of the
// server's admin address. A failure is an [*Error].
func (c *Client) UnloadModel(ctx context.Context, name string, opts ...grpc.CallOption) error {
	_, err := wrap(c.models.UnloadModel(ctx, &sluicev1.UnloadModelRequest{Name: name}, opts...))
	return err
}

// Tokenize turns text into tokens. A failure is an [*Error].
func (c *Client) Tokenize(
	ctx context.Context, req *sluicev1.TokenizeRequest, opts ...grpc.CallOption,
) ([]*sluicev1.Token, error) {
	res, err := wrap(c.tokenizer.Tokenize(ctx, req, opts...))
	return res.GetTokens(), err
}

// Detokenize turns token ids into text. A failure is an [*Error].
func (c *Client) Detokenize(
	ctx context.Context, req *sluicev1.DetokenizeRequest, opts ...grpc.CallOption,
) (string, error) {
	res, err := wrap(c.tokenizer.Detokenize(ctx, req, opts...))
	return res.GetText(), err
}

// CountTokens counts the prompt tokens that an input would have, without running it. A failure is an [*Error].
func (c *Client) CountTokens(
	ctx context.Context, req *sluicev1.CountTokensRequest, opts ...grpc.CallOption,
) (*sluicev1.CountTokensResponse, error) {
	return wrap(c.tokenizer.CountTokens(ctx, req, opts...))
}

// wrap gives a call's error its type and drops the response of a failed call.
func wrap[T any](res *T, err error) (*T, error) {
	if err != nil {
		return nil, newError(err)
	}
	return res, nil
}
