package server

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// watchPeriod is how often a watch looks at the models. A check looks each time.
const watchPeriod = time.Second

// healthService is grpc.health.v1.Health over the states of the models.
//
// The server ("") and sluice.v1.InferenceService serve when the operator's switch is on and every model is ready; a
// model ("model/NAME") serves when it is ready. Once down, everything is NOT_SERVING for good.
type healthService struct {
	*health.Server // keeps the statuses and tells the watches

	models Registry

	mu sync.Mutex
	on bool // guarded by mu: the operator's switch
}

// newHealth starts with everything NOT_SERVING.
func newHealth(models Registry) *healthService {
	h := &healthService{Server: health.NewServer(), models: models}
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

// update reads the states of the models. The lock makes concurrent updates take turns, so that the last one to read
// is the last one to write.
func (h *healthService) update() {
	h.mu.Lock()
	defer h.mu.Unlock()
	models := h.models.Models()
	all := h.on && len(models) > 0
	for _, model := range models {
		ready := model.State() == inference.StateReady
		all = all && ready
		h.SetServingStatus("model/"+model.Name(), servingStatus(ready))
	}
	h.SetServingStatus("", servingStatus(all))
	h.SetServingStatus(sluicev1.InferenceService_ServiceDesc.ServiceName, servingStatus(all))
}

// down makes everything NOT_SERVING and ignores updates from then on.
func (h *healthService) down() { h.Shutdown() }

// Check answers for one service, as it is now.
func (h *healthService) Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	h.update()
	return h.Server.Check(ctx, in) //nolint:wrapcheck // a status of the health protocol
}

// List answers for every service, as it is now.
func (h *healthService) List(ctx context.Context, in *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	h.update()
	return h.Server.List(ctx, in) //nolint:wrapcheck // a status of the health protocol
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
