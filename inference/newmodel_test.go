package inference_test

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/semconv"
)

// TestNewModelFailsWhole: a model that cannot be made leaves no callback behind.
func TestNewModelFailsWhole(t *testing.T) {
	var config inference.Config
	newModel(t, setup{configure: func(c *inference.Config) { config = *c }})
	meters := &brokenMeters{MeterProvider: noop.NewMeterProvider()}
	config.MeterProvider = meters
	if _, err := inference.NewModel(config); !errors.Is(err, errBroken) {
		t.Errorf("got error %v, want %v", err, errBroken)
	}
	if meters.callbacks != 0 {
		t.Errorf("%d callbacks are left", meters.callbacks)
	}
}

// brokenMeters cannot count lookups of constraints, and count callbacks.
type brokenMeters struct {
	metric.MeterProvider
	callbacks int // that are registered
}

func (p *brokenMeters) Meter(name string, options ...metric.MeterOption) metric.Meter {
	return brokenMeter{p.MeterProvider.Meter(name, options...), &p.callbacks}
}

type brokenMeter struct {
	metric.Meter
	callbacks *int
}

func (m brokenMeter) Int64Counter(name string, options ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	if name == semconv.MetricConstraintLookups {
		return noop.Int64Counter{}, errBroken
	}
	return m.Meter.Int64Counter(name, options...)
}

func (m brokenMeter) RegisterCallback(f metric.Callback, of ...metric.Observable) (metric.Registration, error) {
	r, err := m.Meter.RegisterCallback(f, of...)
	*m.callbacks++
	return brokenRegistration{r, m.callbacks}, err
}

type brokenRegistration struct {
	metric.Registration
	callbacks *int
}

func (r brokenRegistration) Unregister() error {
	*r.callbacks--
	return r.Registration.Unregister()
}
