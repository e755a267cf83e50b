package server

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// modelPrefix begins the service of a model.
const modelPrefix = "model/"

// watchPeriod is how often a watch looks at the models. A check looks each time.
const watchPeriod = time.Second

// healthService is grpc.health.v1.Health over the states of the models.
//
// The server ("") and sluice.v1.InferenceService serve when the operator's switch is on and every model is ready, those
// aside that are being loaded or unloaded at run time; a model ("model/NAME") serves when it is ready, and is known from
// when it is announced until it is unloaded. Once down, everything is NOT_SERVING for good.
type healthService struct {
	*health.Server // keeps the statuses and tells the watches

	models Registry

	mu    sync.Mutex
	on    bool            // guarded by mu: the operator's switch
	known map[string]bool // guarded by mu: the services of models that have a status
}

// newHealth starts with everything NOT_SERVING.
func newHealth(models Registry) *healthService {
	h := &healthService{Server: health.NewServer(), models: models, known: map[string]bool{}}
	h.update()
	return h
}

// turn sets the operator's switch.
func (h *healthService) turn(on bool) {
	h.mu.Lock()
	h.on = on
	h.mu.Unlock()
	h.update()
}

// ready says whether the server serves, with every model.
func (h *healthService) ready() bool {
	answer, err := h.Check(context.Background(), &healthpb.HealthCheckRequest{})
	return err == nil && answer.GetStatus() == healthpb.HealthCheckResponse_SERVING
}

// update reads the states of the models. The lock makes concurrent updates take turns, so that the last one to read
// is the last one to write.
func (h *healthService) update() {
	h.mu.Lock()
	defer h.mu.Unlock()
	entries := h.models.Entries()
	all, serves := h.on, false
	gone := maps.Clone(h.known)
	for _, entry := range entries {
		ready := entry.State() == inference.StateReady
		serves = serves || ready
		all = all && (ready || entry.Model == nil || entry.Leaving)
		service := modelPrefix + entry.Name
		h.SetServingStatus(service, servingStatus(ready))
		h.known[service] = true
		delete(gone, service)
	}
	for service := range gone { // a watch goes on, and learns when the model is back
		h.SetServingStatus(service, healthpb.HealthCheckResponse_SERVICE_UNKNOWN)
		delete(h.known, service)
	}
	all = all && serves
	h.SetServingStatus("", servingStatus(all))
	h.SetServingStatus(sluicev1.InferenceService_ServiceDesc.ServiceName, servingStatus(all))
}

// down makes everything NOT_SERVING and ignores updates from then on.
func (h *healthService) down() { h.Shutdown() }

// Check answers for one service, as it is now.
func (h *healthService) Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	h.update()
	if h.unknown(in.GetService()) {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return h.Server.Check(ctx, in) //nolint:wrapcheck // a status of the health protocol
}

// unknown says whether a service is a model's that is not there, or not any more.
func (h *healthService) unknown(service string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.HasPrefix(service, modelPrefix) && !h.known[service]
}

// List answers for every service, as it is now.
func (h *healthService) List(ctx context.Context, in *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	h.update()
	list, err := h.Server.List(ctx, in)
	if err != nil {
		return nil, err //nolint:wrapcheck // a status of the health protocol
	}
	maps.DeleteFunc(list.GetStatuses(), func(service string, _ *healthpb.HealthCheckResponse) bool { return h.unknown(service) })
	return list, nil
}

// Watch sends the status of a service now and whenever it changes.
func (h *healthService) Watch(in *healthpb.HealthCheckRequest, out healthpb.Health_WatchServer) error {
	h.update()
	var looking sync.WaitGroup
	defer looking.Wait()
	ctx, cancel := context.WithCancel(out.Context())
	defer cancel()
	looking.Go(func() {
		ticker := time.NewTicker(watchPeriod)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				h.update()
			case <-ctx.Done():
				return
			}
		}
	})
	return h.Server.Watch(in, out) //nolint:wrapcheck // a status of the health protocol
}

func servingStatus(serving bool) healthpb.HealthCheckResponse_ServingStatus {
	if serving {
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}
