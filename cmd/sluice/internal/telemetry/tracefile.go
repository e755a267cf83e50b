package telemetry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// traceFile appends traces to a file in the form of OpenTelemetry's file exporter: each line is a TracesData in
// OTLP/JSON. It implements otlptrace.Client.
type traceFile struct {
	path string

	mu   sync.Mutex
	file *os.File // guarded by mu; nil before Start and after Stop
}

var errTraceFileClosed = errors.New("trace file: closed")

// Start opens the file. Only its owner may read it: traces say what users do. An error is a *usage.Error.
func (t *traceFile) Start(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	file, err := os.OpenFile(t.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return usage.Errorf("--trace-file: %w", err)
	}
	t.file = file
	return nil
}

// Stop closes the file.
func (t *traceFile) Stop(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}

// UploadTraces writes a line.
func (t *traceFile) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	line, err := otlpJSON(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("trace file: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return errTraceFileClosed
	}
	if _, err := t.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("trace file: %w", err)
	}
	return nil
}

// otlpJSON is OTLP's JSON: protobuf's, with enums as numbers, and the ids of traces and spans as hexadecimal, not as
// base64 like other bytes.
func otlpJSON(data *tracepb.TracesData) ([]byte, error) {
	proto, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(data)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(proto))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	if err := hexIDs(tree); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(tree); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// hexIDs rewrites the ids in a decoded message. Attributes are lists of {key, value}, so that no name of theirs is
// taken for an id.
func hexIDs(tree any) error {
	switch tree := tree.(type) {
	case []any:
		for _, item := range tree {
			if err := hexIDs(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, value := range tree {
			text, isText := value.(string)
			if isText && (key == "traceId" || key == "spanId" || key == "parentSpanId") {
				id, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return err
				}
				tree[key] = hex.EncodeToString(id)
			} else if err := hexIDs(value); err != nil {
				return err
			}
		}
	}
	return nil
}
