package telemetry

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

func spans() []*tracepb.ResourceSpans {
	return []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
		TraceId:           []byte{0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c},
		SpanId:            []byte{0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74},
		ParentSpanId:      []byte{0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x73},
		Name:              "I'm a <server> span",
		Kind:              tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: 1544712660000000000,
		EndTimeUnixNano:   1544712661000000000,
		Links:             []*tracepb.Span_Link{{TraceId: make([]byte, 16), SpanId: make([]byte, 8)}},
		Attributes: []*commonpb.KeyValue{{Key: "traceId", Value: &commonpb.AnyValue{
			Value: &commonpb.AnyValue_StringValue{StringValue: "AAAA"},
		}}},
	}}}}}}
}

// TestOTLPJSON follows the specification's example: ids in hexadecimal, enums as numbers, 64-bit numbers as strings.
func TestOTLPJSON(t *testing.T) {
	line, err := otlpJSON(&tracepb.TracesData{ResourceSpans: spans()})
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	const document = `{"resourceSpans": [{"scopeSpans": [{"spans": [{
		"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "parentSpanId": "eee19b7ec3c1b173",
		"name": "I'm a <server> span", "kind": 2,
		"startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000",
		"links": [{"traceId": "00000000000000000000000000000000", "spanId": "0000000000000000"}],
		"attributes": [{"key": "traceId", "value": {"stringValue": "AAAA"}}]
	}]}]}]}`
	if err := json.Unmarshal([]byte(document), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTraceFileAppendsLinesForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.jsonl")
	for range 2 {
		file := &traceFile{path: path}
		if err := file.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := file.UploadTraces(t.Context(), spans()); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(file.Stop(t.Context()), file.Stop(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := file.UploadTraces(t.Context(), spans()); !errors.Is(err, errTraceFileClosed) {
			t.Errorf("after Stop: %v", err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(data), "\n"); lines != 2 {
		t.Errorf("%d lines, want 2", lines)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
}
