//go:build faults && linux

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// fate is what a client of the fault run does.
type fate string

const (
	plain   fate = "plain"   // reads its whole answer
	slow    fate = "slow"    // reads it with pauses
	idle    fate = "idle"    // reads nothing until the server has given up
	cancels fate = "cancels" // goes away, and says so
	expires fate = "expires" // gives less time than the answer takes
	drops   fate = "drops"   // its connection breaks
	bad     fate = "bad"     // sends what it must not
)

// fates are as many as their weights say, of two hundred.
func fates() (all []fate) {
	for _, f := range []struct {
		fate   fate
		weight int
	}{{plain, 67}, {slow, 16}, {idle, 1}, {cancels, 44}, {expires, 24}, {drops, 20}, {bad, 28}} {
		all = append(all, slices.Repeat([]fate{f.fate}, f.weight)...)
	}
	return all
}

// known is whether the client learns from the server how its request ended, always.
func (f fate) known() bool { return f == plain || f == slow || f == idle || f == bad }

// faultContext is the context of the server's model.
const faultContext = 2560

// endless is an answer that no fate waits for.
const endless = 2000

// plan is one request of the fault run. The same seed and number make the same plan.
type plan struct {
	fate   fate
	random *rand.Rand
	trace  string // id, by which the server's log names the request
	stream bool
	text   int    // index of the prompt
	tokens uint32 // of a plain or slow answer
	events int    // after how many events a stream is left
	after  time.Duration
	bad    int // index of the bad request
}

// newPlan draws the plan of a request.
func newPlan(seed uint64, number int) plan {
	random := rand.New(rand.NewPCG(seed, uint64(number)))
	all := fates()
	return plan{
		fate: all[random.IntN(len(all))], random: random,
		trace:  fmt.Sprintf("%016x%016x", seed+1, number+1),
		stream: random.IntN(2) == 0, text: random.IntN(len(faultPrompts())), tokens: 1 + random.Uint32N(referenceTokens),
		events: random.IntN(5), after: time.Duration(random.Int64N(int64(60 * time.Millisecond))),
		bad: random.IntN(len(badRequests())),
	}
}

// referenceTokens is the length of the answers that the others are compared with.
const referenceTokens = 12

func faultPrompts() []string {
	return []string{
		"Once upon a time", "The capital of France is", "A river flows from", "In the beginning there was", "Three things are needed:",
		"My favourite colour is", "The sluice was opened, and", "1, 2, 3, 4,",
	}
}

// badRequest is one that must be refused.
type badRequest struct {
	request *sluicev1.GenerateRequest
	code    codes.Code
}

func badRequests() []badRequest {
	changed := func(change func(*sluicev1.GenerateRequest)) *sluicev1.GenerateRequest {
		r := prompt("Hello", greedy(4))
		change(r)
		return r
	}
	return []badRequest{
		{changed(func(r *sluicev1.GenerateRequest) { r.Model = "nobody" }), codes.NotFound},
		{changed(func(r *sluicev1.GenerateRequest) { r.Input = nil }), codes.InvalidArgument},
		{changed(func(r *sluicev1.GenerateRequest) { r.Sampling.TopP = new(float32(1.5)) }), codes.InvalidArgument},
		{changed(func(r *sluicev1.GenerateRequest) { r.Stop = &sluicev1.Stop{Strings: []string{""}} }), codes.InvalidArgument},
		{changed(func(r *sluicev1.GenerateRequest) { r.Sampling.MaxTokens = new(uint32(faultContext)) }), codes.InvalidArgument},
	}
}

// request is what a plan sends.
func (p *plan) request() *sluicev1.GenerateRequest {
	switch p.fate {
	case bad:
		return badRequests()[p.bad].request
	case plain, slow:
		return prompt(faultPrompts()[p.text], greedy(p.tokens))
	case idle: // enough to fill the window of its stream: the log-probabilities of a token are half a kilobyte
		ids := make([]uint32, 520)
		for i := range ids {
			ids[i] = 1000 + p.random.Uint32N(40_000)
		}
		r := prompt("", greedy(40))
		r.Input = &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}}
		r.Sampling.IgnoreEos, r.Output.PromptLogprobs, r.Output.Logprobs = new(true), new(uint32(20)), new(uint32(20))
		return r
	case cancels, expires, drops:
		r := prompt(faultPrompts()[p.text], greedy(endless))
		r.Sampling.IgnoreEos = new(true)
		return r
	}
	panic("no such fate: " + p.fate)
}

// ending is how a request ended for its client.
type ending struct {
	code codes.Code
	ids  []uint32
}

// clients are the connections that requests share, and how each makes its own if it is to break.
type clients struct {
	address string
	shared  []*grpc.ClientConn
}

func dialFaults(address string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient(address, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())...)
}

func newClients(address string, n int) (*clients, error) {
	c := &clients{address: address}
	for range n {
		conn, err := dialFaults(address)
		if err != nil {
			return nil, err
		}
		c.shared = append(c.shared, conn)
	}
	return c, nil
}

func (c *clients) close() {
	for _, conn := range c.shared {
		_ = conn.Close()
	}
}

// run makes a planned request.
func (c *clients) run(ctx context.Context, p *plan) ending {
	ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+p.trace+"-"+parentID+"-00")
	switch p.fate {
	case idle:
		return c.runIdle(ctx, p)
	case drops:
		return c.runDropped(ctx, p)
	case expires:
		limited, cancel := context.WithTimeout(ctx, time.Millisecond+2*p.after)
		defer cancel()
		ctx = limited
	case plain, slow, cancels, bad:
	}
	return c.ask(ctx, c.shared[p.random.IntN(len(c.shared))], p, func() {})
}

// ask sends a request and reads what comes. A request that is cancelled or dropped is left by leave, or by its context.
func (c *clients) ask(ctx context.Context, conn *grpc.ClientConn, p *plan, leave func()) ending {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := sluicev1.NewInferenceServiceClient(conn)
	leaves := p.fate == cancels || p.fate == drops
	if leaves && (!p.stream || p.events == 0) { // by the clock
		timer := time.AfterFunc(p.after, func() { leave(); cancelIf(p.fate == cancels, cancel) })
		defer timer.Stop()
	}
	if !p.stream && p.fate != slow {
		response, err := client.Generate(ctx, p.request())
		if err != nil {
			return ending{code: status.Code(err)}
		}
		return ending{ids: response.GetOutputs()[0].GetTokenIds()}
	}
	stream, err := client.GenerateStream(ctx, p.request())
	if err != nil {
		return ending{code: status.Code(err)}
	}
	var ids []uint32
	for n := 1; ; n++ {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return ending{ids: ids}
		}
		if err != nil {
			return ending{code: status.Code(err), ids: ids}
		}
		ids = append(ids, event.GetDelta().GetTokenIds()...)
		if p.fate == slow {
			<-time.After(time.Duration(p.random.Int64N(int64(40 * time.Millisecond))))
		}
		if leaves && n == p.events {
			leave()
			cancelIf(p.fate == cancels, cancel)
		}
	}
}

func cancelIf(is bool, cancel context.CancelFunc) {
	if is {
		cancel()
	}
}

// runDropped makes a request by a connection of its own, which breaks: with a FIN, or without.
func (c *clients) runDropped(ctx context.Context, p *plan) ending {
	var broken atomic.Bool // it has been made once
	dialled := make(chan *net.TCPConn, 1)
	conn, err := dialFaults(c.address, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		if broken.Swap(true) {
			return nil, errors.New("it is broken")
		}
		made, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		dialled <- made.(*net.TCPConn) //nolint:forcetypeassert // of a TCP address
		return made, nil
	}))
	if err != nil {
		return ending{code: status.Code(err)}
	}
	defer conn.Close() //nolint:errcheck // it is broken
	reset := p.random.IntN(2) == 0
	return c.ask(ctx, conn, p, func() {
		select {
		case connection := <-dialled:
			if reset {
				_ = connection.SetLinger(0)
			}
			_ = connection.Close()
		case <-ctx.Done():
		}
	})
}

// runIdle opens a stream and leaves it unread until its request must have lost its slot.
func (c *clients) runIdle(ctx context.Context, p *plan) ending {
	const window = 64 << 10 // the least that grpc-go takes, and then it does not grow
	conn, err := dialFaults(c.address, grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window))
	if err != nil {
		return ending{code: status.Code(err)}
	}
	defer conn.Close() //nolint:errcheck // nothing is in flight
	stream, err := sluicev1.NewInferenceServiceClient(conn).GenerateStream(ctx, p.request())
	if err != nil {
		return ending{code: status.Code(err)}
	}
	if _, err := stream.Recv(); err != nil { // admitted
		return ending{code: status.Code(err)}
	}
	<-time.After(idleFor)
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) { // the server was slow to fill the windows
		return ending{}
	}
	return ending{code: status.Code(err)}
}
