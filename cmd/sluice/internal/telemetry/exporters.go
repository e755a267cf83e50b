package telemetry

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// exporting says whether the OTEL_ variables name somewhere to send a signal ("TRACES", "METRICS") to.
func exporting(signal string) bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return false
	}
	for _, name := range append([]string{"OTEL_" + signal + "_EXPORTER"}, endpointVariables(signal)...) {
		if strings.TrimSpace(os.Getenv(name)) != "" {
			return true
		}
	}
	return false
}

// endpointVariables are the variables that say where the collector of a signal is: its own first, which counts if it is set.
func endpointVariables(signal string) []string {
	return []string{"OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}
}

// checkEndpoints refuses addresses of a signal's collector that are no URL, such as localhost:4317, if its exporter would use them.
// It would take them, send nothing, and say so when its queue is full or at the end. The error is a *usage.Error.
func checkEndpoints(signal string) error {
	if exporter := os.Getenv("OTEL_" + signal + "_EXPORTER"); exporter != "" && !strings.Contains(exporter, "otlp") {
		return nil
	}
	for _, name := range endpointVariables(signal) {
		value := strings.TrimSpace(os.Getenv(name)) // as the exporter reads it
		if value == "" {
			continue
		}
		if u, err := url.Parse(value); err != nil || u.Host == "" && u.Scheme != "unix" {
			return usage.Errorf("%s is %q, not a URL such as http://localhost:4318", name, value)
		}
		return nil
	}
	return nil
}

// exporterError is the *usage.Error of an exporter of a signal that cannot be made. The SDK's own error does not say which variable
// it is about, so that this one names all that are set and may be; headers and paths, which may be secret, without their values.
func exporterError(signal string, err error) error {
	exporter := "OTEL_" + signal + "_EXPORTER"
	shown := []string{exporter, "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL"}
	var set []string
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		option, otlp := strings.CutPrefix(name, "OTEL_EXPORTER_OTLP_")
		other := strings.HasPrefix(option, "TRACES_") || strings.HasPrefix(option, "METRICS_") || strings.HasPrefix(option, "LOGS_")
		switch {
		case value == "" || name != exporter && (!otlp || other && !strings.HasPrefix(option, signal+"_")):
		case slices.Contains(shown, name):
			set = append(set, fmt.Sprintf("%s is %q", name, value))
		default:
			set = append(set, name+" is set")
		}
	}
	if len(set) == 0 {
		return err
	}
	slices.Sort(set)
	return usage.Errorf("%s: %w", strings.Join(set, ", "), err)
}
