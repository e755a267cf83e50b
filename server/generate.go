package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/answer"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/auth"
)

// inferenceService is sluice.v1.InferenceService over the registry.
type inferenceService struct {
	sluicev1.UnimplementedInferenceServiceServer

	models Registry
	now    func() time.Time
	draw   draws
}

// Generate runs a request to its end and returns the whole answer. It reads the same stream as GenerateStream, so
// that both give the same text, and both let go of the slot as soon as the call ends.
func (s *inferenceService) Generate(ctx context.Context, in *sluicev1.GenerateRequest) (*sluicev1.GenerateResponse, error) {
	run, err := s.start(ctx, in)
	if err != nil {
		return nil, err
	}
	defer run.close()
	defer run.describe(ctx)
	var all collector
	if err := pump(ctx, run.updates, &all, run.outputs()); err != nil {
		return nil, err
	}
	summary := run.updates.Summary()
	return &sluicev1.GenerateResponse{
		Id:      run.request.ID,
		Model:   run.model,
		Outputs: all.outputs(),
		Usage:   usage(summary.Usage),
		Timings: timings(summary.Timings),

		PromptLogprobs: tokenLogprobs(all.prompted),
	}, nil
}

// running is an admitted request.
type running struct {
	model   string // its real name
	request inference.Request
	updates updates
	quota   auth.Reservation
}

// start finds the model, converts the request and has it admitted. The line of the finished call names both. A model
// that is replaced at that moment refuses the request, which then goes to the one that the name leads to by now.
func (s *inferenceService) start(ctx context.Context, in *sluicev1.GenerateRequest) (running, error) {
	arrival := s.now()
	for {
		model, err := findModel(ctx, s.models, in.GetModel())
		if err != nil {
			return running{}, err
		}
		run, err := s.startOn(ctx, model, in, arrival)
		if !leadsElsewhere(s.models, in.GetModel(), model, err) {
			return run, err
		}
	}
}

// startOn has a model admit a request.
func (s *inferenceService) startOn(
	ctx context.Context, model *inference.Model, in *sluicev1.GenerateRequest, arrival time.Time,
) (running, error) {
	name := model.Name()
	logging.AddFields(ctx, logging.Fields{"model", name})
	request, err := limitsOf(model).request(in, arrival, s.draw)
	if err != nil {
		return running{}, err
	}
	logging.AddFields(ctx, logging.Fields{"request_id", request.ID})
	quota, err := claim(ctx, &request, model.Defaults())
	if err != nil {
		return running{}, fmt.Errorf("generate: %w", err)
	}
	stream, err := model.Generate(ctx, request)
	if err != nil {
		quota.Settle(0)
		return running{}, fmt.Errorf("generate: %w", err)
	}
	return running{model: name, request: request, updates: stream, quota: quota}, nil
}

// close lets go of the request, finished or not, and charges its caller for what it was.
func (r running) close() {
	r.updates.Close()
	usage := r.updates.Summary().Usage
	r.quota.Settle(usage.PromptTokens + usage.CompletionTokens)
}

// outputs is the number of its outputs.
func (r running) outputs() int { return max(1, r.request.Sampling.N) }

// updates is what a running request gives. *inference.Stream implements it.
type updates interface {
	// Next returns what became of an output since its last update, and io.EOF after the last.
	Next(ctx context.Context) (inference.Update, error)
	// Summary is the account of the request, once Next has returned io.EOF.
	Summary() inference.Summary
	// Stalled is closed when the request has lost its slot because its updates were not taken for too long.
	Stalled() <-chan struct{}
	// Close lets go of the request, finished or not.
	Close()
}

// sink takes the updates of a request.
type sink interface {
	// prompt takes what the model thought of the next tokens of the prompt, before the first delta.
	prompt(logprobs []inference.TokenLogprobs) error
	// delta takes new text or tokens of an output.
	delta(update inference.Update) error
	// finished takes the end of an output, after its last delta.
	finished(index int, finish inference.Finish) error
}

// errUnfinished is the error of a stream that ended before its output did; it must never look like success.
var errUnfinished = errors.New("the stream of updates ended before the output had finished")

// pump moves the updates of a request with n outputs to a sink, until the last or until ctx ends.
func pump(ctx context.Context, from updates, to sink, n int) error {
	for {
		update, err := from.Next(ctx)
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return nil
		case errors.Is(err, io.EOF):
			return errUnfinished
		case err != nil:
			return fmt.Errorf("generate: %w", err)
		}
		if len(update.Prompt) > 0 {
			if err := to.prompt(update.Prompt); err != nil {
				return err
			}
		}
		if hasDelta(&update) {
			if err := to.delta(update); err != nil {
				return err
			}
		}
		if update.Finish != nil {
			n--
			if err := to.finished(update.Index, *update.Finish); err != nil {
				return err
			}
		}
	}
}

// hasDelta says whether an update is more than the end of an output.
func hasDelta(u *inference.Update) bool {
	return u.Text != "" || u.Reasoning != "" || len(u.Calls) > 0 || len(u.TokenIDs) > 0 || len(u.Logprobs) > 0 || len(u.Traces) > 0
}

// collector is a sink that joins the updates into whole outputs.
type collector struct {
	prompted []inference.TokenLogprobs
	parts    []*part
}

type part struct {
	text      strings.Builder
	reasoning strings.Builder
	calls     []answer.Call
	ids       []uint32
	logprobs  []inference.TokenLogprobs
	traces    []inference.Trace
	finish    inference.Finish
}

// at returns the part of an output; the parts are as many as the highest index seen so far says.
func (c *collector) at(index int) *part {
	for len(c.parts) <= index {
		c.parts = append(c.parts, &part{})
	}
	return c.parts[index]
}

func (c *collector) prompt(logprobs []inference.TokenLogprobs) error {
	c.prompted = append(c.prompted, logprobs...)
	return nil
}

func (c *collector) delta(update inference.Update) error {
	p := c.at(update.Index)
	p.text.WriteString(update.Text)
	p.reasoning.WriteString(update.Reasoning)
	p.calls = answer.Join(p.calls, update.Calls)
	p.ids = append(p.ids, update.TokenIDs...)
	p.logprobs = append(p.logprobs, update.Logprobs...)
	p.traces = append(p.traces, update.Traces...)
	return nil
}

func (c *collector) finished(index int, finish inference.Finish) error {
	c.at(index).finish = finish
	return nil
}

func (c *collector) outputs() []*sluicev1.Output {
	out := make([]*sluicev1.Output, len(c.parts))
	for i, p := range c.parts {
		out[i] = &sluicev1.Output{
			Index:         count(i),
			Text:          p.text.String(),
			Reasoning:     p.reasoning.String(),
			ToolCalls:     calls(p.calls),
			TokenIds:      p.ids,
			Logprobs:      tokenLogprobs(p.logprobs),
			SamplingTrace: samplingTraces(p.traces),
			FinishReason:  finishReason(p.finish.Reason),
			StopSequence:  p.finish.StopSequence,
			Seed:          p.finish.Seed,
		}
	}
	return out
}
