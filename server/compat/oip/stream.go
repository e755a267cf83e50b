package oip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
	oippb "github.com/sluiceml/sluice/proto/inference"
)

// maxRunning bounds the requests of a stream that run at once; further ones wait unread.
const maxRunning = 64

// ModelStreamInfer runs the requests of a stream side by side and sends their answers as they come, each with its id. A
// request that fails ends with an error_message, and the stream goes on, unless the caller has sent the header
// triton_grpc_error: true, which makes the first error the stream's status. A client that does not read ends the stream: all
// requests wait for the same window of flow control, and an error_message would too.
func (s *Service) ModelStreamInfer(stream grpc.BidiStreamingServer[oippb.ModelInferRequest, oippb.ModelStreamInferResponse]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	out := newResponses(stream)
	go out.write(ctx, s.config.SendTimeout, cancel) // until the handler has returned, if the client does not read
	slots := make(chan struct{}, maxRunning)
	var running work
	received := make(chan error, 1)
	go func() {
		defer close(received)
		for first := true; ; first = false {
			in, err := stream.Recv()
			if err != nil {
				received <- err
				return
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			running.begin(func() {
				defer func() { <-slots }()
				// The fields of the stream's line in the log are not for several goroutines.
				if err := s.serve(logging.InjectFields(ctx, nil), in, out, !first); err != nil {
					cancel(err)
				}
			})
		}
	}()
	var err error
	select {
	case err = <-received:
	case <-ctx.Done(): // the caller went away, the server stops, or an error is to end the stream
	}
	if errors.Is(err, io.EOF) {
		err = nil
	} else {
		cancel(err)
	}
	running.end() // nothing of that waits for the client once ctx has ended
	if err == nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, context.Canceled) && stream.Context().Err() != nil {
		if leave, refusal := s.config.Enter(); refusal != nil { // it is the server that goes away
			err = refusal
		} else {
			leave()
		}
	}
	if err != nil {
		return fmt.Errorf("model stream infer: %w", err)
	}
	return nil
}

// work counts what runs, until no more may begin.
type work struct {
	mu      sync.Mutex
	over    bool // guarded by mu
	running sync.WaitGroup
}

// begin runs f, unless end was called.
func (w *work) begin(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.running.Go(f)
	}
}

// end waits for what runs, and lets nothing more begin.
func (w *work) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.running.Wait()
}

// serve runs a request of a stream. Its error is to end the stream.
func (s *Service) serve(ctx context.Context, in *oippb.ModelInferRequest, out *responses, take bool) error {
	slow := false
	err := s.config.Run(ctx, oippb.GRPCInferenceService_ModelStreamInfer_FullMethodName, func(ctx context.Context) error {
		err := s.answer(ctx, in, out, take)
		_, slow = errors.AsType[*inference.SlowReaderError](err)
		return err
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, slow:
		return err //nolint:wrapcheck // a status
	case asStatus(ctx):
		return err //nolint:wrapcheck // a status
	}
	return out.send(ctx, &oippb.ModelStreamInferResponse{
		ErrorMessage: status.Convert(err).Message(), InferResponse: &oippb.ModelInferResponse{Id: in.GetId()},
	})
}

// answer runs a request and sends its answer. The stream has taken its first request from the caller's quota.
func (s *Service) answer(ctx context.Context, in *oippb.ModelInferRequest, out *responses, take bool) error {
	leave, err := s.config.Enter()
	if err != nil {
		return err //nolint:wrapcheck // it says what it is
	}
	defer leave()
	if take {
		if ctx, err = s.config.Admit(ctx, oippb.GRPCInferenceService_ModelStreamInfer_FullMethodName); err != nil {
			return err //nolint:wrapcheck // it says what it is
		}
	}
	r, err := parse(in)
	if err != nil {
		return err
	}
	bounded, cancel := r.bounded(ctx)
	defer cancel()
	name := r.native.GetModel()
	send := func(ctx context.Context, response *oippb.ModelInferResponse, final bool) error {
		name = response.GetModelName()
		if r.stream || r.final {
			response.Parameters = map[string]*oippb.InferParameter{finalParameter: {
				ParameterChoice: &oippb.InferParameter_BoolParam{BoolParam: final},
			}}
		}
		return out.send(ctx, &oippb.ModelStreamInferResponse{InferResponse: response})
	}
	if r.stream {
		// A piece that waits for the client when the request's time is over is not sent behind the error.
		err = s.pieces(bounded, r, func(response *oippb.ModelInferResponse) error { return send(bounded, response, false) })
	} else {
		var response *oippb.ModelInferResponse
		if response, err = s.whole(bounded, r); err == nil {
			err = send(ctx, response, !r.final)
		}
	}
	if err != nil {
		return timedOut(ctx, bounded, err)
	}
	if r.final {
		return send(ctx, &oippb.ModelInferResponse{ModelName: name, ModelVersion: version, Id: r.id}, true)
	}
	return nil
}

// finalParameter says whether a response is its request's last.
const finalParameter = "triton_final_response"

// asStatus says whether the caller wants errors as the stream's status.
func asStatus(ctx context.Context) bool {
	values := metadata.ValueFromIncomingContext(ctx, "triton_grpc_error")
	return len(values) > 0 && values[0] == "true"
}
