// Package telemetry sets OpenTelemetry up as its standard variables say, and shows metrics to Prometheus.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/cmd/sluice/internal/buildinfo"
	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/inference/engine"
)

// SDK is the OpenTelemetry SDK. Traces go where the standard OTEL_ variables and Config.TraceFile say, metrics to Handler and
// where the variables say. Without them nothing leaves the process.
type SDK struct {
	Tracers    trace.TracerProvider
	Meters     metric.MeterProvider
	Propagator propagation.TextMapPropagator

	pickers  *pickerMetrics
	registry *prometheus.Registry // of what OpenTelemetry's instruments measure
	process  *prometheus.Registry // of what the process itself shows; OTLP gets it by a bridge
	undo     cleanup.Stack
}

// Config is what the variables do not say.
type Config struct {
	TraceFile string         // to append traces to, one OTLP/JSON TracesData a line; "": none
	Build     buildinfo.Info // that resources and metrics name
	Logger    *slog.Logger   // for the SDK's own troubles
}

// Start builds the providers. A variable that it does not understand is a *usage.Error.
func Start(ctx context.Context, config Config) (_ *SDK, err error) {
	log := config.Logger
	// The SDK's own troubles are global.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry", "error", err.Error()) }))
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	t := &SDK{registry: prometheus.NewRegistry(), process: prometheus.NewRegistry(), pickers: newPickerMetrics()}
	defer func() {
		if err != nil {
			t.undo.CloseInto(&err)
		}
	}()
	if t.Propagator, err = environmentPropagator(); err != nil {
		return nil, err
	}
	about, err := describeProcess(ctx, config.Build.Version)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	if err := t.startMetrics(ctx, about, config.Build); err != nil {
		return nil, fmt.Errorf("telemetry: metrics: %w", err)
	}
	if err := t.startTraces(ctx, about, config.TraceFile); err != nil {
		return nil, fmt.Errorf("telemetry: traces: %w", err)
	}
	return t, nil
}

// describeProcess is the resource of all that is exported; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
func describeProcess(ctx context.Context, version string) (*resource.Resource, error) {
	r, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "sluice"),
			attribute.String("service.version", version),
		),
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithProcessPID(),
		resource.WithFromEnv(),
	)
	if errors.Is(err, resource.ErrPartialResource) {
		err = nil
	}
	return r, err
}

func (t *SDK) startMetrics(ctx context.Context, about *resource.Resource, build buildinfo.Info) error {
	t.process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		t.pickers, buildInfo(build))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(t.registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return err
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithReader(exporter)}
	if exporting("METRICS") {
		if err := checkEndpoints("METRICS"); err != nil {
			return err
		}
		// OTEL_METRICS_PRODUCERS=none leaves the process's own metrics out.
		autoexport.WithFallbackMetricProducer(func(context.Context) (sdkmetric.Producer, error) {
			return bridge.NewMetricProducer(bridge.WithGatherer(t.process)), nil
		})
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return exporterError("METRICS", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.undo.Add(bounded(provider.Shutdown)) //nolint:contextcheck // ctx has ended by then
	t.Meters = provider
	return nil
}

// The queue between the engine and an exporter holds a burst of steps, each with a span for every sampled request,
// unless the operator says otherwise.
const spanQueue = 1 << 16

// batchOptions are our sizes where the operator gives none by the standard variables. With a queue of
// the operator's, the SDK's own batch size fits better than ours.
func batchOptions() []sdktrace.BatchSpanProcessorOption {
	var options []sdktrace.BatchSpanProcessorOption
	queue, batch := os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE"), os.Getenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
	if queue == "" {
		options = append(options, sdktrace.WithMaxQueueSize(spanQueue))
		if batch == "" {
			options = append(options, sdktrace.WithMaxExportBatchSize(spanQueue/16))
		}
	}
	return options
}

func (t *SDK) startTraces(ctx context.Context, about *resource.Resource, file string) error {
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(about)}
	batch := batchOptions()
	exports := false
	if exporting("TRACES") {
		if err := checkEndpoints("TRACES"); err != nil {
			return err
		}
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return exporterError("TRACES", err)
		}
		if !autoexport.IsNoneSpanExporter(exporter) {
			options, exports = append(options, sdktrace.WithBatcher(exporter, batch...)), true
		}
	}
	if file != "" {
		exporter, err := otlptrace.New(ctx, &traceFile{path: file})
		if err != nil {
			return err
		}
		if os.Getenv("OTEL_BSP_SCHEDULE_DELAY") == "" { // a file is read by somebody who waits for it
			batch = append(batch, sdktrace.WithBatchTimeout(time.Second))
		}
		options, exports = append(options, sdktrace.WithBatcher(exporter, batch...)), true
	}
	if exports {
		sampler, err := environmentSampler()
		if err != nil {
			return err
		}
		options = append(options, sdktrace.WithSampler(linkSampler{sampler}))
	} else {
		// Nobody looks at spans, but their ids still tie the log's lines together.
		options = append(options, sdktrace.WithSampler(sdktrace.NeverSample()))
	}
	provider := sdktrace.NewTracerProvider(options...)
	t.undo.Add(bounded(provider.Shutdown)) //nolint:contextcheck // ctx has ended by then
	t.Tracers = provider
	return nil
}

// flushTimeout bounds what a collector that does not answer costs at the end.
const flushTimeout = 5 * time.Second

func bounded(f func(context.Context) error) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
		defer cancel()
		return f(ctx)
	}
}

// Shutdown exports what is left. A collector that is away is not the server's failure.
func (t *SDK) Shutdown() error {
	var err error
	t.undo.CloseInto(&err)
	if err != nil {
		otel.Handle(fmt.Errorf("shutdown: %w", err))
	}
	return nil
}

// Handler serves the metrics to Prometheus.
func (t *SDK) Handler() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{t.registry, t.process}, promhttp.HandlerOpts{Registry: t.registry, EnableOpenMetrics: true, MaxRequestsInFlight: 4})
}

// AddModel shows what a model's replicas are doing under the names that Kubernetes' endpoint pickers know.
func (t *SDK) AddModel(name string, stats func() engine.Stats) { t.pickers.add(name, stats) }

// RemoveModel ends that.
func (t *SDK) RemoveModel(name string) { t.pickers.remove(name) }
