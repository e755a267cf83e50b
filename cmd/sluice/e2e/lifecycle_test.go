package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/weightedroundrobin" // is named by the service config
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // the client side of health checking
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// defaultFolder is the folder that `make setup` converts.
func defaultFolder() string { return filepath.Join(home(), "models", "smollm2-135m-instruct") }

// store makes a model store with the default model in two forms, auto and row8, a folder that is cut off, and a link that
// leads out.
func store(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run := func(arguments ...string) {
		if output, err := exec.Command(arguments[0], arguments[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", arguments, err, output)
		}
	}
	run(binary, "convert", source(), "--out", filepath.Join(dir, "v1"))
	run(binary, "convert", source(), "--out", filepath.Join(dir, "v2"), "--quantize", "row8")
	run("cp", "-r", filepath.Join(dir, "v1"), filepath.Join(dir, "broken"))
	for _, err := range []error{
		os.Truncate(filepath.Join(dir, "broken", "model.onnx.data"), 1<<20),
		os.Mkdir(filepath.Join(dir, "empty"), 0o755),
		os.Symlink(defaultFolder(), filepath.Join(dir, "outside")),
		os.Symlink("v2", filepath.Join(dir, "newest")),
		os.Mkdir(filepath.Join(dir, "half"), 0o755),
		os.Symlink(filepath.Join(defaultFolder(), "sluice.json"), filepath.Join(dir, "half", "sluice.json")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// admin is the ModelService of a server's admin address.
func (s *server) admin() sluicev1.ModelServiceClient {
	s.t.Helper()
	conn, err := grpc.NewClient(s.adminAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return sluicev1.NewModelServiceClient(conn)
}

// adminAddr is where a server serves its operators, as its log says.
func (s *server) adminAddr() string {
	s.t.Helper()
	for line := range strings.Lines(s.logged()) {
		var record struct {
			Message string `json:"msg"`
			Addr    string `json:"admin_addr"`
		}
		if json.Unmarshal([]byte(line), &record) == nil && record.Message == "admin address" {
			return record.Addr
		}
	}
	s.t.Fatalf("no admin address in the log\n%s", s.logged())
	return ""
}

// answer is the greedy continuation of a fixed prompt by a model.
func (s *server) answer(ctx context.Context, model string) (string, error) {
	in := prompt("Once upon a time, in a small village by the sea,", greedy(32))
	in.Model = model
	out, err := s.Generate(ctx, in)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(out.GetOutputs()[0].GetTokenIds()), nil
}

// TestSwapUnderLoad replaces a model by another form of it and back while requests run. None fails, and each has the
// answer of one form or of the other, as that form gives it alone.
func TestSwapUnderLoad(t *testing.T) {
	dir := store(t)
	s := serve(t, nil, "--model", "main="+filepath.Join(dir, "v1"), "--model-store", dir, "--admin-addr", "127.0.0.1:0",
		"--slots", "4", "--max-context", "512")
	admin, ctx := s.admin(), deadline(t)
	known := map[string]string{}
	for _, version := range []string{"v1", "v2"} {
		if _, err := admin.LoadModel(ctx, &sluicev1.LoadModelRequest{Name: "alone", Folder: version, Replace: true}); err != nil {
			t.Fatal(err)
		}
		answer, err := s.answer(ctx, "alone")
		if err != nil {
			t.Fatal(err)
		}
		known[answer] = version
	}
	if len(known) != 2 {
		t.Fatalf("both forms answer the same: the test could not tell them apart: %v", known)
	}
	if _, err := admin.UnloadModel(ctx, &sluicev1.UnloadModelRequest{Name: "alone"}); err != nil {
		t.Fatal(err)
	}

	loading, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	var served atomic.Int32
	for range 4 {
		clients.Go(func() {
			for loading.Err() == nil {
				answer, err := s.answer(ctx, "main")
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				if known[answer] == "" {
					t.Errorf("an answer of no version: %s", answer)
				}
				served.Add(1)
			}
		})
	}
	before := resident(t, s.command.Process.Pid)
	for _, version := range []string{"v2", "v1", "newest", "v1"} {
		got, err := admin.LoadModel(ctx, &sluicev1.LoadModelRequest{Name: "main", Folder: version, Replace: true})
		if err != nil {
			t.Error(err)
			break
		}
		if m := got.GetModel(); m.GetFolder() != version || m.GetState() != sluicev1.ModelState_MODEL_STATE_READY || !slices.Equal(m.GetAliases(), []string{"default"}) {
			t.Errorf("loaded %v", m)
		}
		answer, err := s.answer(ctx, "main")
		if want := strings.Replace(version, "newest", "v2", 1); err != nil || known[answer] != want {
			t.Errorf("after the swap %q answers (%v), want %s", known[answer], err, want)
		}
	}
	stop()
	clients.Wait()
	const ended = 6 // two of "alone", and four of "main"
	for strings.Count(s.logged(), "its memory was given back") < ended {
		select {
		case <-ctx.Done():
			t.Fatalf("not all that was replaced has ended\n%s", s.logged())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Logf("%d requests served during 4 swaps, none failed; %.0f MB resident before, %.0f MB after",
		served.Load(), before, resident(t, s.command.Process.Pid))
}

// TestLoadRefusals: each load that cannot be has its status, changes nothing, and tells clients nothing.
func TestLoadRefusals(t *testing.T) {
	dir := store(t)
	s := serve(t, nil, "--model", "main="+filepath.Join(dir, "v1"), "--alias", "live=main", "--model-store", dir,
		"--admin-addr", "127.0.0.1:0", "--slots", "2", "--max-context", "512")
	admin, ctx := s.admin(), deadline(t)
	want, err := s.answer(ctx, "live")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		in   *sluicev1.LoadModelRequest
		code codes.Code
	}{
		{&sluicev1.LoadModelRequest{}, codes.InvalidArgument},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: "../" + filepath.Base(dir) + "/v1"}, codes.InvalidArgument},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: filepath.Join(dir, "v1")}, codes.InvalidArgument},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: ".."}, codes.InvalidArgument},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: "v1\x00"}, codes.InvalidArgument},
		{&sluicev1.LoadModelRequest{Name: "a/b", Folder: "v1"}, codes.InvalidArgument},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: "v1", Aliases: []string{"-x"}}, codes.InvalidArgument},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: "outside"}, codes.FailedPrecondition},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: "half"}, codes.FailedPrecondition},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: "empty"}, codes.FailedPrecondition},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: "broken"}, codes.FailedPrecondition},
		{&sluicev1.LoadModelRequest{Name: "main", Folder: "broken", Replace: true}, codes.FailedPrecondition},
		{&sluicev1.LoadModelRequest{Name: "x"}, codes.NotFound},
		{&sluicev1.LoadModelRequest{Name: "main", Folder: "v2"}, codes.AlreadyExists},
		{&sluicev1.LoadModelRequest{Name: "live", Folder: "v2"}, codes.AlreadyExists},
		{&sluicev1.LoadModelRequest{Name: "x", Folder: "v2", Aliases: []string{"main"}}, codes.AlreadyExists},
	} {
		if _, err := admin.LoadModel(ctx, test.in); status.Code(err) != test.code {
			t.Errorf("%v: %v, want %v", test.in, err, test.code)
		}
		if _, err := s.models.LoadModel(ctx, test.in); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "--admin-addr") {
			t.Errorf("%v on the public address: %v", test.in, err)
		}
	}
	for name, code := range map[string]codes.Code{
		"": codes.InvalidArgument, "x": codes.NotFound, "live": codes.InvalidArgument, "main": codes.FailedPrecondition,
	} {
		if _, err := admin.UnloadModel(ctx, &sluicev1.UnloadModelRequest{Name: name}); status.Code(err) != code {
			t.Errorf("unloading %q: %v, want %v", name, err, code)
		}
	}
	list, err := s.models.ListModels(ctx, &sluicev1.ListModelsRequest{})
	if err != nil || len(list.GetModels()) != 1 || !slices.Equal(list.GetModels()[0].GetAliases(), []string{"default", "live"}) {
		t.Errorf("%v, %v", list, err)
	}
	if got, err := s.answer(ctx, ""); err != nil || got != want {
		t.Errorf("afterwards: %s, %v; want %s", got, err, want)
	}
}

// TestUnloadWhileStreaming: a stream runs to its end while its model is unloaded, and new requests are refused.
func TestUnloadWhileStreaming(t *testing.T) {
	dir := store(t)
	s := serve(t, nil, "--model", "main="+filepath.Join(dir, "v1"), "--model-store", dir, "--admin-addr", "127.0.0.1:0",
		"--slots", "4", "--max-context", "512")
	admin, ctx := s.admin(), deadline(t)
	if _, err := admin.LoadModel(ctx, &sluicev1.LoadModelRequest{Name: "v2", Aliases: []string{"second"}}); err != nil {
		t.Fatal(err)
	}
	check := func(want codes.Code, serving healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		got, err := healthpb.NewHealthClient(s.conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "model/v2"})
		if status.Code(err) != want || got.GetStatus() != serving {
			t.Errorf("model/v2: %v, %v", got.GetStatus(), err)
		}
		if got, err := healthpb.NewHealthClient(s.conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("the server: %v, %v", got.GetStatus(), err)
		}
	}
	check(codes.OK, healthpb.HealthCheckResponse_SERVING)
	in := prompt("Once upon a time", greedy(200))
	in.Model, in.Sampling.IgnoreEos = "second", new(true)
	stream, err := s.GenerateStream(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	unloaded := make(chan error, 1)
	go func() {
		_, err := admin.UnloadModel(ctx, &sluicev1.UnloadModelRequest{Name: "v2"})
		unloaded <- err
	}()
	for refused := codes.OK; refused != codes.NotFound; { // the alias goes first
		_, err := s.answer(ctx, "second")
		refused = status.Code(err)
	}
	var last *sluicev1.GenerateStreamResponse
	for {
		event, err := stream.Recv()
		if err != nil {
			break
		}
		last = event
	}
	if got := last.GetSummary().GetUsage().GetCompletionTokens(); got != 200 {
		t.Errorf("the stream ended after %d tokens", got)
	}
	if err := <-unloaded; err != nil {
		t.Error(err)
	}
	check(codes.NotFound, healthpb.HealthCheckResponse_UNKNOWN)
	if _, err := s.answer(ctx, "v2"); status.Code(err) != codes.NotFound {
		t.Errorf("afterwards: %v", err)
	}
}

// TestRollingRestart restarts two servers one after the other under clients that balance over both and follow their
// health: by turns, and by weights that the servers report. No request fails.
func TestRollingRestart(t *testing.T) {
	start := func() *server {
		return serve(t, nil, "--model", "main="+defaultFolder(), "--slots", "4", "--max-context", "512", "--drain-delay", "1s")
	}
	servers := []*server{start(), start()}
	policies := []string{
		`"round_robin": {}`,
		`"weighted_round_robin": {"enableOobLoadReport": true, "oobReportingPeriod": "0.1s", "weightUpdatePeriod": "0.1s", "blackoutPeriod": "0s"}`,
	}
	addresses := make([]*manual.Resolver, len(policies))
	list := func() (state resolver.State) {
		for _, s := range servers {
			state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: s.grpc}}})
		}
		return state
	}
	know := func(state resolver.State) {
		for _, a := range addresses {
			a.UpdateState(state)
		}
	}
	ctx := deadline(t)
	loading, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	served := make([]atomic.Int32, len(policies))
	for i, policy := range policies {
		addresses[i] = manual.NewBuilderWithScheme("rolling")
		addresses[i].InitialState(list())
		conn, err := grpc.NewClient("rolling:///servers", grpc.WithResolvers(addresses[i]),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{`+policy+`}],
				"healthCheckConfig": {"serviceName": "sluice.v1.InferenceService"}}`))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // of a test
		client := sluicev1.NewInferenceServiceClient(conn)
		for range 2 {
			clients.Go(func() {
				for loading.Err() == nil {
					if _, err := client.Generate(ctx, prompt("Once upon a time", greedy(8)), grpc.WaitForReady(true)); err != nil {
						t.Errorf("a request failed, by %s: %v", policy, err)
					}
					served[i].Add(1)
				}
			})
		}
	}
	for i, old := range servers {
		fresh := start() // beside the old one, as a surge pod
		servers[i] = fresh
		both := list()
		both.Endpoints = append(both.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: old.grpc}}})
		know(both)
		old.signal(syscall.SIGTERM) // while the client still knows it
		if code := old.wait(); code != 0 {
			t.Errorf("server %d ended with %d", i, code)
		}
		know(list())
	}
	time.Sleep(100 * time.Millisecond) //nolint:forbidigo // some more requests by the new ones
	stop()
	clients.Wait()
	for i, policy := range policies {
		if served[i].Load() == 0 {
			t.Errorf("none was served by %s", policy)
		}
	}
	t.Logf("%d requests by turns and %d by weight served during the restart of both servers", served[0].Load(), served[1].Load())
}
