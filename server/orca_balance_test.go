package server_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/weightedroundrobin" // is named by the service config
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/server/servertest"
)

// grpc-go's own weighted_round_robin, fed by the reports, sends a server of eight slots more calls than one of two,
// where round_robin sends both the same.
func TestWeightedRoundRobin(t *testing.T) {
	t.Parallel()
	for _, outOfBand := range []bool{false, true} {
		t.Run(fmt.Sprintf("out of band %v", outOfBand), func(t *testing.T) {
			t.Parallel()
			large, small := listening(t, 8), listening(t, 2)
			addresses := manual.NewBuilderWithScheme("servers")
			addresses.InitialState(resolver.State{Endpoints: []resolver.Endpoint{
				{Addresses: []resolver.Address{{Addr: large}}}, {Addresses: []resolver.Address{{Addr: small}}},
			}})
			conn, err := grpc.NewClient("servers:///", grpc.WithResolvers(addresses),
				grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithDefaultServiceConfig(fmt.Sprintf(`{"loadBalancingConfig": [{"weighted_round_robin": {
					"enableOobLoadReport": %v, "oobReportingPeriod": "0.1s", "blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"
				}}]}`, outOfBand)))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // of a test
			if share := shareOf(t, conn, large); share < 0.65 {
				t.Errorf("the larger server gets %.2f of the calls", share)
			}
		})
	}
}

// listening is the address of a server whose steps take a while and whose model has so many slots.
func listening(t *testing.T, slots int) string {
	t.Helper()
	i := start(t, servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: slots, MaxLength: 64, MaxChunk: 16},
		BeforeStep: func(runner.Step) error {
			<-time.After(time.Millisecond)
			return nil
		},
		Script: func([]uint32) (uint32, bool) { return 'x', true },
	}})
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = i.Server.Serve(listener) }() // ends with the instance
	return listener.Addr().String()
}

// shareOf is the server's share of 200 calls, of eight at a time, once it is at least two thirds, or else of the last.
func shareOf(t *testing.T, conn *grpc.ClientConn, server string) (share float64) {
	t.Helper()
	for range 15 {
		var calls, its int
		var mu sync.Mutex
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range 25 {
					var at peer.Peer
					if _, err := generator(&servertest.Instance{Conn: conn}).Generate(t.Context(), greedy("a", 8), grpc.Peer(&at)); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					calls++
					if at.Addr.String() == server {
						its++
					}
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		if share = float64(its) / float64(max(1, calls)); share >= 2./3 {
			return share
		}
	}
	return share
}
