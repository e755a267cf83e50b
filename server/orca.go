package server

import (
	"context"
	"fmt"
	"time"

	dataorca "github.com/cncf/xds/go/xds/data/orca/v3"
	serviceorca "github.com/cncf/xds/go/xds/service/orca/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Load reports (ORCA, gRFC A51): each call ends with one in its trailer, and whoever asks gets one every so often over
// a stream. Both are written here and not with package grpc/orca, whose service lets nobody ask more often than every
// 30 seconds, which is no use for calls that last as long, and whose trailer each handler would have to ask for.

// loadTrailer is the key of a call's report.
const loadTrailer = "endpoint-load-metrics-bin"

// How often a stream reports: as asked, but not more often than the minimum, and by default if nothing is asked.
const (
	minLoadInterval     = 100 * time.Millisecond
	defaultLoadInterval = time.Second
)

// load is the server's load. It is safe for concurrent use.
type load struct {
	models Registry
	rates  *rates
}

// report describes the load now.
//
// The application utilization is that of the fullest model: requests that run or wait over slots, or the share of its
// cache that is taken if that is more. It exceeds 1 when requests wait, by as many slots as they would need. A server
// that has ended calls lately counts as running one, for weighted_round_robin takes a utilization of 0 for no report.
//
// The named metrics are sums over the models (of the cache: the fullest model's), under the names of vLLM's reports.
func (l *load) report() *dataorca.OrcaLoadReport {
	var running, waiting, slots int
	var utilization, cache float64
	calls, failures := l.rates.perSecond()
	for _, model := range l.models.Models() {
		s := model.Stats()
		running += s.Running
		waiting += s.Waiting
		slots += s.Slots
		usage := s.KVUsage()
		cache = max(cache, usage)
		busy := s.Running + s.Waiting
		if calls > 0 {
			busy = max(busy, 1)
		}
		utilization = max(utilization, usage, float64(busy)/float64(max(1, s.Slots)))
	}
	return &dataorca.OrcaLoadReport{
		ApplicationUtilization: utilization,
		RpsFractional:          calls,
		Eps:                    failures,
		Utilization: map[string]float64{
			"slots":    min(1, float64(running)/float64(max(1, slots))),
			"kv_cache": min(1, cache),
		},
		NamedMetrics: map[string]float64{
			"num_requests_running": float64(running),
			"num_requests_waiting": float64(waiting),
			"kv_cache_usage_perc":  cache,
		},
	}
}

func (l *load) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if infrastructure(info.FullMethod) {
		return next(ctx, req)
	}
	answer, err := next(ctx, req)
	if reported := l.finish(err, func(trailer metadata.MD) error { return grpc.SetTrailer(ctx, trailer) }); err == nil {
		err = reported
	}
	return answer, err
}

func (l *load) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if infrastructure(info.FullMethod) {
		return next(srv, ss)
	}
	err := next(srv, ss)
	reported := l.finish(err, func(trailer metadata.MD) error {
		ss.SetTrailer(trailer)
		return nil
	})
	if err == nil {
		err = reported
	}
	return err
}

// finish counts a call that ends with a status's error and puts a report into its trailer. Its own error is a bug.
func (l *load) finish(ended error, set func(metadata.MD) error) error {
	l.rates.add(failed(ended))
	report, err := proto.Marshal(l.report())
	if err != nil {
		return status.Errorf(codes.Internal, "load report: %v", err)
	}
	if err := set(metadata.Pairs(loadTrailer, string(report))); err != nil {
		return status.Errorf(codes.Internal, "load report: %v", err)
	}
	return nil
}

// failed says whether a call's end, a status's error, speaks against this server: another one might have done better. A
// caller's mistakes, rights and quota do not, and neither does its going away. A full queue does.
func failed(ended error) bool {
	switch status.Code(ended) {
	case codes.Unknown, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	default:
		return false
	}
}

// loadService is xds.service.orca.v3.OpenRcaService.
type loadService struct {
	serviceorca.UnimplementedOpenRcaServiceServer

	load *load
}

// StreamCoreMetrics sends a report now and one every so often, until the caller or the server goes. Reports are whole:
// each says all that there is to say.
func (s *loadService) StreamCoreMetrics(
	in *serviceorca.OrcaLoadReportRequest, out grpc.ServerStreamingServer[dataorca.OrcaLoadReport],
) error {
	interval := defaultLoadInterval
	if asked := in.GetReportInterval().AsDuration(); asked > 0 {
		interval = max(asked, minLoadInterval)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := out.Send(s.load.report()); err != nil {
			return fmt.Errorf("load report: %w", err)
		}
		select {
		case <-ticker.C:
		case <-out.Context().Done():
			return out.Context().Err()
		}
	}
}
