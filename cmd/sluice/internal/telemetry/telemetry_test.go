package telemetry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func TestTheOperatorsBatchSizesWin(t *testing.T) {
	for _, test := range []struct {
		queue, batch string
		want         sdktrace.BatchSpanProcessorOptions // 0: left to the SDK, which reads the variables
	}{
		{"", "", sdktrace.BatchSpanProcessorOptions{MaxQueueSize: spanQueue, MaxExportBatchSize: spanQueue / 16}},
		{"", "64", sdktrace.BatchSpanProcessorOptions{MaxQueueSize: spanQueue}},
		{"4096", "", sdktrace.BatchSpanProcessorOptions{}},
		{"4096", "64", sdktrace.BatchSpanProcessorOptions{}},
	} {
		t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", test.queue)
		t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", test.batch)
		var got sdktrace.BatchSpanProcessorOptions
		for _, option := range batchOptions() {
			option(&got)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("queue %q, batch %q: -want +got\n%s", test.queue, test.batch, diff)
		}
	}
}
