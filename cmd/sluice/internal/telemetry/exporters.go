package telemetry

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// exporting says whether the OTEL_ variables name somewhere to send a signal ("TRACES", "METRICS") to.
func exporting(signal string) bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return false
	}
	for _, name := range append([]string{"OTEL_" + signal + "_EXPORTER"}, endpointVariables(signal)...) {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// endpointVariables are the variables that say where the collector of a signal is.
func endpointVariables(signal string) []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT"}
}

// checkEndpoints refuses addresses of a signal's collector that are no URL, such as localhost:4317. The exporters take them,
// send nothing, and say so when their queue is full or at the end. The error is a *usage.Error.
func checkEndpoints(signal string) error {
	for _, name := range endpointVariables(signal) {
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		if u, err := url.Parse(value); err != nil || u.Host == "" && u.Scheme != "unix" {
			return usage.Errorf("%s is %q, not a URL such as http://localhost:4318", name, value)
		}
	}
	return nil
}

// exporterError is the *usage.Error of an exporter of a signal that cannot be made: the SDK's own error does not say which
// variable it is about.
func exporterError(signal string, err error) error {
	var set []string
	for _, name := range []string{
		"OTEL_" + signal + "_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL",
	} {
		if value := os.Getenv(name); value != "" {
			set = append(set, fmt.Sprintf("%s is %q", name, value))
		}
	}
	if len(set) == 0 {
		return err
	}
	return usage.Errorf("%s: %w", strings.Join(set, ", "), err)
}
