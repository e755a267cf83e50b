package server_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dataorca "github.com/cncf/xds/go/xds/data/orca/v3"
	serviceorca "github.com/cncf/xds/go/xds/service/orca/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/server/servertest"
)

// trailerReport is the load report of a call's trailer, which must hold exactly one.
func trailerReport(t *testing.T, trailer metadata.MD) *dataorca.OrcaLoadReport {
	t.Helper()
	values := trailer.Get("endpoint-load-metrics-bin")
	if len(values) != 1 {
		t.Fatalf("%d load reports in the trailer %v", len(values), trailer)
	}
	report := new(dataorca.OrcaLoadReport)
	if err := proto.Unmarshal([]byte(values[0]), report); err != nil {
		t.Fatal(err)
	}
	return report
}

// Every call ends with a report, whatever became of it; what speaks against the server counts as an error.
func TestLoadReportOfACall(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	var trailer metadata.MD
	if _, err := generator(i).Generate(t.Context(), greedy("a", 16), grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	report := trailerReport(t, trailer)
	if report.GetRpsFractional() <= 0 || report.GetEps() != 0 || report.GetApplicationUtilization() <= 0 {
		t.Errorf("report %v", report)
	}
	for _, name := range []string{"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"} {
		if _, ok := report.GetNamedMetrics()[name]; !ok {
			t.Errorf("no metric %q in %v", name, report)
		}
	}

	stream, err := generator(i).GenerateStream(t.Context(), greedy("a", 16))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	trailerReport(t, stream.Trailer())

	bad := greedy("a", 16)
	bad.Model = "none such"
	_, err = generator(i).Generate(t.Context(), bad, grpc.Trailer(&trailer))
	wantStatus(t, err, codes.NotFound)
	if report := trailerReport(t, trailer); report.GetEps() != 0 {
		t.Errorf("a caller's mistake counts against the server: %v", report)
	}
	i.Server.SetServing(false)
	model, err := i.Registry.Model("")
	if err != nil {
		t.Fatal(err)
	}
	model.Drain()
	_, err = generator(i).Generate(t.Context(), greedy("a", 16), grpc.Trailer(&trailer))
	wantStatus(t, err, codes.Unavailable)
	if report := trailerReport(t, trailer); report.GetEps() <= 0 {
		t.Errorf("a refusal by a model that drains does not count: %v", report)
	}
}

// A stream of reports follows the load: slots that are taken, the queue, and its end.
func TestLoadReportsFollowTheLoad(t *testing.T) {
	t.Parallel()
	admitted, open := make(chan struct{}), make(chan struct{})
	release := func() { // whatever happens, or the server could not stop
		for _, gate := range []chan struct{}{admitted, open} {
			select {
			case <-gate:
			default:
				close(gate)
			}
		}
	}
	i := start(t, servertest.Toy{
		Session: inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: 2, MaxLength: 64, MaxChunk: 16},
			BeforeStep: func(step runner.Step) error {
				<-admitted
				if len(step.Decode) == 2 {
					<-open
				}
				return nil
			},
			Script: func([]uint32) (uint32, bool) { return 'x', true },
		},
		Engine: engine.Config{QueueLimit: 8},
	})
	t.Cleanup(release)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reports, err := serviceorca.NewOpenRcaServiceClient(i.Conn).StreamCoreMetrics(ctx,
		&serviceorca.OrcaLoadReportRequest{ReportInterval: durationpb.New(time.Nanosecond)}) // the minimum
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, ok func(*dataorca.OrcaLoadReport) bool) {
		t.Helper()
		var last *dataorca.OrcaLoadReport
		for range 100 {
			report, err := reports.Recv()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if last = report; ok(report) {
				return
			}
		}
		t.Fatalf("no report of 100 shows %s; the last is %v", what, last)
	}
	until("an idle server", func(r *dataorca.OrcaLoadReport) bool {
		return r.GetApplicationUtilization() == 0 && r.GetRpsFractional() == 0
	})
	done := make(chan error, 5)
	for range cap(done) {
		go func() {
			_, err := generator(i).Generate(t.Context(), greedy("a", 16))
			done <- err
		}()
	}
	until("five requests", func(r *dataorca.OrcaLoadReport) bool {
		return r.GetNamedMetrics()["num_requests_running"]+r.GetNamedMetrics()["num_requests_waiting"] == 5
	})
	close(admitted)
	until("two slots and a queue of three", func(r *dataorca.OrcaLoadReport) bool {
		return r.GetApplicationUtilization() == 2.5 && r.GetUtilization()["slots"] == 1 &&
			r.GetUtilization()["kv_cache"] == 1 && r.GetNamedMetrics()["num_requests_running"] == 2 &&
			r.GetNamedMetrics()["num_requests_waiting"] == 3
	})
	release()
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	until("an idle server that was busy", func(r *dataorca.OrcaLoadReport) bool {
		// As if one call ran, or the balancer would not take the report.
		return r.GetApplicationUtilization() == 0.5 && r.GetRpsFractional() > 0 && r.GetNamedMetrics()["num_requests_running"] == 0
	})
	cancel()
}

// The interval is the one that was asked for, a second if none was, and never less than a tenth.
func TestLoadReportInterval(t *testing.T) {
	t.Parallel()
	for asked, want := range map[time.Duration]time.Duration{
		-time.Second: time.Second, 0: time.Second, time.Millisecond: 100 * time.Millisecond,
		250 * time.Millisecond: 250 * time.Millisecond, time.Minute: time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			i := start(t, servertest.Toy{})
			ctx, cancel := context.WithCancel(t.Context())
			reports, err := serviceorca.NewOpenRcaServiceClient(i.Conn).StreamCoreMetrics(ctx,
				&serviceorca.OrcaLoadReportRequest{ReportInterval: durationpb.New(asked)})
			if err != nil {
				t.Fatal(err)
			}
			var last time.Time
			for k := range 3 {
				if _, err := reports.Recv(); err != nil {
					t.Fatal(err)
				}
				if now := time.Now(); k == 0 {
					last = now
				} else if got := now.Sub(last); got != want {
					t.Errorf("asked for %v: a report after %v, want %v", asked, got, want)
				} else {
					last = now
				}
			}
			cancel()
		})
	}
}

// A shutdown does not wait for those who watch the load.
func TestLoadReportsEndWithTheServer(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	reports, err := serviceorca.NewOpenRcaServiceClient(i.Conn).StreamCoreMetrics(t.Context(), &serviceorca.OrcaLoadReportRequest{
		ReportInterval: durationpb.New(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reports.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := i.Server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = reports.Recv()
	wantStatus(t, err, codes.Unavailable)
	if strings.Contains(i.Log.String(), "internal error") {
		t.Errorf("the end of the reports counts as a bug:\n%s", i.Log.String())
	}
}
