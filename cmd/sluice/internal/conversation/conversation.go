// Package conversation implements `sluice chat`, a conversation with a model in a terminal: it keeps the messages, sends each
// turn, shows the answer as it arrives, and handles the commands that begin with a slash.
package conversation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	client "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// Config describes a conversation.
type Config struct {
	// Client calls the server. Required.
	Client *client.Client
	// Request is what every turn's request begins with: the model and the sampling. Required; commands change it.
	Request *sluicev1.GenerateRequest
	// System tells the model how to behave; "": nothing does.
	System string
	// ReadLine reads what the user says next, without the end of the line; io.EOF ends the conversation. Required.
	ReadLine func() (string, error)
	// Answering returns a context that ends when the user interrupts an answer. Required.
	Answering func(context.Context) (context.Context, context.CancelFunc)
	// Out takes the answers and Notes everything else. Required.
	Out, Notes io.Writer
	// Dim marks text that is not the answer itself, such as reasoning, for a terminal. Without it reasoning is not shown.
	Dim bool
	// Stats prints a line about each answer.
	Stats bool
}

// conversation is one. It is for one goroutine.
type conversation struct {
	Config

	messages []*sluicev1.Message // without the system's
}

// Run talks until the input ends or the user leaves. An error of one turn is told and the conversation goes on; the error
// is the reader's or a writer's.
func Run(ctx context.Context, config Config) error {
	c := &conversation{Config: config}
	for {
		line, err := c.readTurn()
		if errors.Is(err, io.EOF) && line == "" {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("chat: %w", err)
		}
		switch {
		case strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, "/"):
			if leave, err := c.command(ctx, line); leave || err != nil {
				return err
			}
		default:
			c.messages = append(c.messages, client.User(line))
			if err := c.answer(ctx); err != nil {
				return err
			}
		}
	}
}

// readTurn reads what the user says: a line, and further ones while each ends with a backslash.
func (c *conversation) readTurn() (string, error) {
	var lines []string
	for {
		line, err := c.ReadLine()
		more, ok := strings.CutSuffix(line, `\`)
		lines = append(lines, strings.ToValidUTF8(more, "\uFFFD"))
		if !ok || err != nil {
			return strings.Join(lines, "\n"), err
		}
	}
}

// answer has the model answer the last message. What an interruption leaves of it stays in the conversation; a turn that
// fails before any of it is taken back.
func (c *conversation) answer(ctx context.Context) error {
	request := c.request()
	answering, stop := c.Answering(ctx)
	defer stop()
	stream := c.Client.Stream(answering, request)
	shown := screen{to: c.Out}
	var text strings.Builder
	var failure error
	for delta, err := range stream.Deltas() { //nolint:contextcheck // the stream has it
		if err != nil {
			failure = err
			break
		}
		if c.Dim && delta.GetReasoning() != "" {
			shown.dim(delta.GetReasoning())
		}
		text.WriteString(delta.GetText())
		shown.plain(delta.GetText())
		if shown.err != nil {
			return fmt.Errorf("chat: %w", shown.err)
		}
	}
	shown.end()
	interrupted := answering.Err() != nil && ctx.Err() == nil
	switch {
	case failure == nil:
		c.messages = append(c.messages, client.Assistant(text.String()))
		c.statistics(stream)
	case interrupted && text.Len() > 0:
		c.messages = append(c.messages, client.Assistant(text.String()))
		c.notef("(interrupted)")
	default:
		c.messages = c.messages[:len(c.messages)-1]
		if interrupted {
			c.notef("(interrupted; what you said was taken back)")
			break
		}
		c.complain(failure)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return shown.err
}

// request is the request of the next answer.
func (c *conversation) request() *sluicev1.GenerateRequest {
	messages := c.messages
	if c.System != "" {
		messages = append([]*sluicev1.Message{client.System(c.System)}, messages...)
	}
	out := client.Chat(messages...)
	out.Model, out.Sampling, out.Stop = c.Request.GetModel(), c.Request.GetSampling(), c.Request.GetStop()
	return out
}

// complain says why a turn failed. The conversation goes on without it.
func (c *conversation) complain(err error) {
	refusal, ok := errors.AsType[*client.Error](err)
	if !ok {
		c.notef("%v", err)
		return
	}
	c.notef("%s", strings.TrimPrefix(refusal.Error(), "sluice: "))
	for _, v := range refusal.FieldViolations() {
		if v.GetField() == "chat" || v.GetField() == "chat.messages" || v.GetField() == "prompt" {
			c.notef("If the conversation has become too long: /undo takes back a turn, /reset begins anew.")
			return
		}
	}
}

func (c *conversation) notef(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Notes, format+"\n", args...) // nobody is left to tell
}

// statistics tells how an answer went, by the server's own clock.
func (c *conversation) statistics(stream *client.Stream) {
	if !c.Stats {
		return
	}
	usage, timings := stream.Summary().GetUsage(), stream.Summary().GetTimings()
	speed := "-"
	if d := timings.GetDecode().AsDuration().Seconds(); d > 0 && usage.GetCompletionTokens() > 1 {
		speed = fmt.Sprintf("%.1f", float64(usage.GetCompletionTokens()-1)/d)
	}
	c.notef("%d prompt tokens (%d cached), %d tokens at %s tokens/s, first after %.1f ms",
		usage.GetPromptTokens(), usage.GetCachedTokens(), usage.GetCompletionTokens(), speed,
		float64(timings.GetTimeToFirstToken().AsDuration().Microseconds())/1000)
}
