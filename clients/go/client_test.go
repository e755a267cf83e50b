package sluice_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

func generateError(t *testing.T, s *scripted) *sluice.Error {
	t.Helper()
	res, err := dial(t, s).Generate(t.Context(), sluice.Prompt("x"))
	e, ok := errors.AsType[*sluice.Error](err)
	if res != nil || !ok {
		t.Fatalf("got %v, %v", res, err)
	}
	return e
}

func TestErrorDetails(t *testing.T) {
	t.Parallel()
	t.Run("field violations", func(t *testing.T) {
		t.Parallel()
		e := generateError(t, refuse(t, codes.InvalidArgument, &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "sampling.top_p", Description: "above 1"}},
		}))
		if v := e.FieldViolations(); len(v) != 1 || v[0].GetField() != "sampling.top_p" || v[0].GetDescription() != "above 1" {
			t.Errorf("violations %v", v)
		}
		if _, ok := e.RetryAfter(); ok {
			t.Error("a bad field is not worth a retry")
		}
	})
	t.Run("retry", func(t *testing.T) {
		t.Parallel()
		e := generateError(t, refuse(t, codes.ResourceExhausted,
			&errdetails.RetryInfo{RetryDelay: durationpb.New(250 * time.Millisecond)},
			&errdetails.ErrorInfo{Reason: "QUEUE_FULL"}))
		if after, ok := e.RetryAfter(); !ok || after != 250*time.Millisecond {
			t.Errorf("retry after %v, %v", after, ok)
		}
		if e.Reason() != "QUEUE_FULL" || status.Code(e) != codes.ResourceExhausted {
			t.Errorf("reason %q, code %v", e.Reason(), status.Code(e))
		}
	})
	t.Run("resource", func(t *testing.T) {
		t.Parallel()
		e := generateError(t, refuse(t, codes.NotFound, &errdetails.ResourceInfo{ResourceName: "gpt-9"}))
		if e.Resource() != "gpt-9" || len(e.FieldViolations()) != 0 || e.Reason() != "" {
			t.Errorf("resource %q, violations %v, reason %q", e.Resource(), e.FieldViolations(), e.Reason())
		}
	})
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		e := generateError(t, refuse(t, codes.DeadlineExceeded))
		if !errors.Is(e, context.DeadlineExceeded) || errors.Is(e, context.Canceled) || errors.Is(e, io.EOF) {
			t.Errorf("%v is not a deadline", e)
		}
	})
}

func TestLargeResponse(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("x", 5<<20) // gRPC's own limit is 4 MiB
	client := dial(t, &scripted{generate: func(
		context.Context, *sluicev1.GenerateRequest,
	) (*sluicev1.GenerateResponse, error) {
		return &sluicev1.GenerateResponse{Outputs: []*sluicev1.Output{{Text: want}}}, nil
	}})
	res, err := client.Generate(t.Context(), sluice.Prompt("x"))
	if err != nil || res.GetOutputs()[0].GetText() != want {
		t.Error(err)
	}
}

func TestAPIKey(t *testing.T) {
	t.Parallel()
	var got []string
	client := dial(t, &scripted{generate: func(
		ctx context.Context, _ *sluicev1.GenerateRequest,
	) (*sluicev1.GenerateResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		got = md.Get("authorization")
		return &sluicev1.GenerateResponse{Id: "r1"}, nil
	}}, sluice.WithAPIKey("secret"))
	res, err := client.Generate(t.Context(), sluice.Prompt("x"))
	if err != nil || res.GetId() != "r1" {
		t.Fatalf("got %v, %v", res, err)
	}
	if diff := cmp.Diff([]string{"Bearer secret"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, addr, want string
		opts             []sluice.Option
	}{
		{"clear-text key", "sluice.example:50051", "TLS", []sluice.Option{sluice.WithAPIKey("k")}},
		{"clear-text key to another address", "dns:///192.0.2.1:50051", "TLS", []sluice.Option{sluice.WithAPIKey("k")}},
		{"key with a line break", "localhost:1", "line break", []sluice.Option{sluice.WithAPIKey("k\nx: y")}},
		{"missing CA", "localhost:1", "no such file", []sluice.Option{sluice.WithCAFile(notPEM + "x")}},
		{"CA without a certificate", "localhost:1", "no PEM", []sluice.Option{sluice.WithCAFile(notPEM)}},
		{"address", "sluice.example:50051/\x00", "sluice.example", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, err := sluice.New(c.addr, c.opts...)
			if client != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v", client, err)
			}
			if err != nil && strings.Contains(err.Error(), "k\n") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, addr string
		opts       []sluice.Option
	}{
		{"loopback", "127.0.0.1:50051", nil},
		{"loopback, IPv6", "[::1]:50051", nil},
		{"loopback by name", "dns:///localhost:50051", nil},
		{"unix", "unix:///run/sluice.sock", nil},
		{"TLS", "sluice.example:50051", []sluice.Option{sluice.WithTLS(nil)}},
		{"TLS with a config", "sluice.example:50051", []sluice.Option{sluice.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13})}},
		{"clear text on purpose", "sluice.example:50051", []sluice.Option{sluice.WithClearTextAPIKey()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, err := sluice.New(c.addr, append(c.opts, sluice.WithAPIKey("k"))...)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewFromConnLeavesTheConnectionOpen(t *testing.T) {
	t.Parallel()
	owner := dial(t, send(nil, summary(0)))
	borrower := sluice.NewFromConn(owner.Conn())
	if err := borrower.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := read(owner.Stream(t.Context(), sluice.Prompt("x")).Deltas()); err != nil {
		t.Errorf("after the borrower closed: %v", err)
	}
}
