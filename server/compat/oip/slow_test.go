package oip_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	oippb "github.com/sluiceml/sluice/proto/inference"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

// A client that never reads ends its stream, whatever of it waits to be sent, and not only when it goes away.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const patience = 10 * time.Second // less than a Send may take
	stream := &oippb.ModelInferRequest{
		Inputs:     []*tensor{text("text_input", "slow"), flag("stream", true)},
		Parameters: map[string]*param{"max_tokens": whole(1 << 12), "temperature": whole(0), "skip_special_tokens": truth(false)},
	}
	// The answer repeats the prompt, so that a few fill the windows of flow control.
	long := &oippb.ModelInferRequest{
		Inputs: []*tensor{text("text_input", strings.Repeat("slow ", 6000))}, Parameters: map[string]*param{"max_tokens": whole(1)},
	}
	wholes := slices.Repeat([]*oippb.ModelInferRequest{long}, 8)
	for name, c := range map[string]struct {
		requests []*oippb.ModelInferRequest
		longest  time.Duration // of a call
		open     bool          // for more requests
		within   time.Duration
		code     string
	}{
		"pieces":                    {[]*oippb.ModelInferRequest{stream}, 0, true, 2 * time.Minute, "Aborted"},
		"wholes":                    {wholes, 0, true, 2 * time.Minute, "Aborted"},
		"wholes of a closed stream": {wholes, 0, false, 2 * time.Minute, "Aborted"},
		"wholes for a limited time": {wholes, patience, true, 2 * patience, "DeadlineExceeded"},
		"pieces and wholes":         {append([]*oippb.ModelInferRequest{stream}, wholes...), 0, true, 2 * time.Minute, "Aborted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				toy := servertest.Toy{
					Session: inferencetest.ToyConfig{
						Limits:     runner.Limits{Slots: 16, MaxLength: 1 << 15, MaxChunk: 1 << 12},
						Script:     func([]uint32) (uint32, bool) { return servertest.EndOfText, true },
						BeforeStep: func(runner.Step) error { time.Sleep(20 * time.Millisecond); return nil }, //nolint:forbidigo // of the bubble's clock
					},
					Engine: engine.Config{ReaderTimeout: patience},
				}
				i := servertest.Start(t, []*inference.Model{toy.Model(t)}, func(config *server.Config) { config.MaxRequestDuration = c.longest })
				// Windows that do not grow with what comes.
				conn := i.Dial(t, grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
				slow, err := oippb.NewGRPCInferenceServiceClient(conn).ModelStreamInfer(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, in := range c.requests {
					if err := slow.Send(in); err != nil {
						t.Fatal(err)
					}
				}
				if !c.open {
					if err := slow.CloseSend(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(c.within) //nolint:forbidigo // of the bubble's clock
				synctest.Wait()
				if log := i.Log.String(); !strings.Contains(log, "grpc.method=ModelStreamInfer") || !strings.Contains(log, "grpc.code="+c.code) {
					t.Errorf("the call has not ended:\n%s", log)
				}
				began := time.Now()
				if err := i.Server.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the shutdown took %s", took)
				}
			})
		})
	}
}
