package inference

import (
	"fmt"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluiceml/sluice/inference/semconv"
)

// TestTenantsAreBounded: whatever comes as a tenant, the metrics tell only so many apart.
func TestTenantsAreBounded(t *testing.T) {
	m, err := newMetrics(sdkmetric.NewMeterProvider(), "toy")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxTenants {
		m.record(t.Context(), semconv.OperationChat, fmt.Sprintf("tenant-%d", i), "", 1, Summary{})
	}
	m.record(t.Context(), semconv.OperationChat, "tenant-0", "internal", 1, Summary{})
	if tenants := len(m.tenants); tenants != maxTenants+1 {
		t.Errorf("%d tenants, want %d and the rest", tenants, maxTenants)
	}
	if _, ok := m.tenants[semconv.OtherTenant]; !ok {
		t.Error("the rest is not counted")
	}
	if outcomes := len(m.outcomes); outcomes != maxTenants+2 {
		t.Errorf("%d pairs of tenant and outcome", outcomes)
	}
}
