package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/gateway"
)

// The headers of gRPC's retries (gRFC A6): which try a call is, and when the server wants the next one.
const (
	attemptsHeader  = "grpc-previous-rpc-attempts"
	pushbackTrailer = "grpc-retry-pushback-ms"
)

// Words that the prompt need not have.
const (
	unavailable = "UNAVAILABLE"
	malformed   = "INVALID_ARGUMENT"
	tooEarly    = "FAILED_PRECONDITION" // for a try before the pushback's time
)

const (
	floodText  = 64 << 10        // bytes of text in each delta of a flood
	floodMost  = 4096            // deltas of one, after which a client has let come whatever did: it has no flow control
	floodStall = 2 * time.Second // how long a delta of one may take before the reader is held to be slow
)

// scripted is a server of sluice.v1 that does what the prompt says, for what the real one does not do on demand or not in
// bearable time. Each word of the prompt is one try of the call, and the last one all further tries:
//
//	OK              an answer, whose text says which try it is: "attempt 3"
//	CODE            the try is refused with this status, and ErrorInfo says by its reason which one it is: ATTEMPT_3
//	CODE+MS         the same, and RetryInfo says to come back in so many milliseconds
//	CODE/MS         the same, said by gRPC's pushback; below 0: never. A try before that time is FAILED_PRECONDITION
//	BREAK           a stream begins, and breaks off with UNAVAILABLE
//	FLOOD           a stream has more than its reader takes, and ends as the real server's do: ABORTED, SLOW_READER
//
// ListModels counts the calls that run.
type scripted struct {
	sluicev1.UnimplementedInferenceServiceServer
	sluicev1.UnimplementedModelServiceServer

	running atomic.Uint32

	mu  sync.Mutex
	due map[scriptedCall]time.Time // guarded by mu: before when the next try of a call is too early
}

// scriptedCall tells calls apart that may be tried again at one time. There is at most one of a kind whose prompt has a pushback.
type scriptedCall struct {
	streams bool
	prompt  string
}

// ListModels implements sluicev1.ModelServiceServer.
func (s *scripted) ListModels(context.Context, *sluicev1.ListModelsRequest) (*sluicev1.ListModelsResponse, error) {
	replicas := []*sluicev1.Replica{{Running: s.running.Load()}}
	return &sluicev1.ListModelsResponse{Models: []*sluicev1.Model{{Name: "scripted", Replicas: replicas}}}, nil
}

// Generate implements sluicev1.InferenceServiceServer.
func (s *scripted) Generate(ctx context.Context, req *sluicev1.GenerateRequest) (*sluicev1.GenerateResponse, error) {
	attempt, word := s.turn(ctx, req, false)
	if word != "OK" {
		return nil, refusal(word, attempt, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
	}
	return &sluicev1.GenerateResponse{
		Id: "scripted", Model: "scripted", Usage: &sluicev1.Usage{CompletionTokens: 1},
		Outputs: []*sluicev1.Output{{Text: answerTo(attempt), FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP}},
	}, nil
}

// GenerateStream implements sluicev1.InferenceServiceServer.
func (s *scripted) GenerateStream(
	req *sluicev1.GenerateRequest, stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse],
) error {
	s.running.Add(1)
	defer s.running.Add(^uint32(0))
	attempt, word := s.turn(stream.Context(), req, true)
	started := &sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Started{
		Started: &sluicev1.Started{Id: "scripted", Model: "scripted"},
	}}
	switch word {
	case "OK":
		finished := &sluicev1.Finished{FinishReason: sluicev1.FinishReason_FINISH_REASON_STOP}
		return send(stream, started, delta(answerTo(attempt)),
			&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Finished{Finished: finished}},
			&sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Summary{
				Summary: &sluicev1.Summary{Usage: &sluicev1.Usage{CompletionTokens: 1}},
			}})
	case "BREAK":
		if err := send(stream, started); err != nil {
			return err
		}
		return refusal(unavailable, attempt, stream.SetTrailer)
	case "FLOOD":
		return flood(stream, started)
	}
	return refusal(word, attempt, stream.SetTrailer)
}

// turn is try, and holds a client to the pushback of the try before: nine tenths of it, for clocks are not all as fine.
func (s *scripted) turn(ctx context.Context, req *sluicev1.GenerateRequest, streams bool) (attempt int, word string) {
	attempt, word = try(ctx, req)
	call, now := scriptedCall{streams, req.GetPrompt()}, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if attempt > 1 && now.Before(s.due[call]) {
		return attempt, tooEarly
	}
	delete(s.due, call)
	if _, pushback, pushes := strings.Cut(word, "/"); pushes {
		if ms, err := strconv.Atoi(pushback); err == nil && ms > 0 {
			s.due[call] = now.Add(time.Duration(ms) * time.Millisecond * 9 / 10)
		}
	}
	return attempt, word
}

// try says which try of its call a request is, from 1, and the word for it.
func try(ctx context.Context, req *sluicev1.GenerateRequest) (attempt int, word string) {
	md, _ := metadata.FromIncomingContext(ctx)
	attempt = 1
	if before := md.Get(attemptsHeader); len(before) > 0 {
		n, err := strconv.Atoi(before[0])
		if err != nil {
			return attempt, malformed
		}
		attempt += n
	}
	words := strings.Fields(req.GetPrompt())
	if len(words) == 0 {
		return attempt, malformed
	}
	return attempt, words[min(attempt, len(words))-1]
}

func answerTo(attempt int) string { return fmt.Sprintf("attempt %d", attempt) }

// refusal is the status that a word stands for, with the trailer that goes with it.
func refusal(word string, attempt int, setTrailer func(metadata.MD)) error {
	name, pushback, pushes := strings.Cut(word, "/")
	name, wait, waits := strings.Cut(name, "+")
	ms, err := strconv.Atoi(cmp.Or(wait, "0"))
	var code codes.Code
	if err = errors.Join(err, code.UnmarshalJSON([]byte(strconv.Quote(name)))); err != nil {
		return status.Errorf(codes.InvalidArgument, "the word %q: %v", word, err)
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: fmt.Sprintf("ATTEMPT_%d", attempt), Domain: "sluiceml.io"}}
	if waits {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(ms) * time.Millisecond)})
	}
	if pushes {
		setTrailer(metadata.Pairs(pushbackTrailer, pushback))
	}
	st, err := status.Newf(code, "attempt %d", attempt).WithDetails(details...)
	if err != nil {
		return err
	}
	return st.Err()
}

func delta(text string) *sluicev1.GenerateStreamResponse {
	return &sluicev1.GenerateStreamResponse{Event: &sluicev1.GenerateStreamResponse_Delta{Delta: &sluicev1.Delta{Text: text}}}
}

func send(stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse], events ...*sluicev1.GenerateStreamResponse) error {
	for _, event := range events {
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	return nil
}

// flood sends until its reader is slow. The handler's return ends a Send that flow control holds up.
func flood(stream grpc.ServerStreamingServer[sluicev1.GenerateStreamResponse], started *sluicev1.GenerateStreamResponse) error {
	sent := make(chan error) // of each Send
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		text := delta(strings.Repeat("x", floodText))
		for event := started; ; event = text {
			err := stream.Send(event)
			select {
			case sent <- err:
			case <-gone:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	late := time.NewTimer(floodStall)
	defer late.Stop()
	for range floodMost {
		select {
		case err := <-sent:
			if err != nil {
				return err
			}
			late.Reset(floodStall)
		case <-late.C:
			slow, err := status.New(codes.Aborted, "the client took nothing for too long").
				WithDetails(&errdetails.ErrorInfo{Reason: "SLOW_READER", Domain: "sluiceml.io"})
			if err != nil {
				return err
			}
			return slow.Err()
		}
	}
	return status.Error(codes.OutOfRange, "the client lets come whatever does")
}

// scriptedServer serves scripted by gRPC and, through the gateway, by HTTP.
type scriptedServer struct {
	grpc    *grpc.Server
	gateway *gateway.Gateway
	web     *http.Server
	place   *server
	ended   chan error // of each of the three that serve
}

func startScripted(ctx context.Context) (_ *scriptedServer, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	webListener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	memory := bufconn.Listen(1 << 20)
	api, err := gateway.New(gateway.Config{Dial: memory.DialContext})
	if err != nil {
		return nil, errors.Join(err, listener.Close(), webListener.Close())
	}
	s := &scriptedServer{
		grpc: grpc.NewServer(), gateway: api, ended: make(chan error, 3),
		web:   &http.Server{Handler: api, ReadHeaderTimeout: time.Minute},
		place: &server{Addr: listener.Addr().String(), HTTP: webListener.Addr().String()},
	}
	service := &scripted{due: map[scriptedCall]time.Time{}}
	sluicev1.RegisterInferenceServiceServer(s.grpc, service)
	sluicev1.RegisterModelServiceServer(s.grpc, service)
	go func() { s.ended <- s.grpc.Serve(listener) }()
	go func() { s.ended <- s.grpc.Serve(memory) }()
	go func() { s.ended <- s.web.Serve(webListener) }()
	return s, nil
}

// stop cuts off what runs.
func (s *scriptedServer) stop() error {
	err := errors.Join(s.web.Close(), s.gateway.Close())
	s.grpc.Stop()
	for range cap(s.ended) {
		if ended := <-s.ended; ended != nil && !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
	}
	return err
}
