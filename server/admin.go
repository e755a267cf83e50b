package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/reflection"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/interceptor"
)

// AdminConfig describes the services of the admin address.
type AdminConfig struct {
	// Registry holds the served models. Required.
	Registry Registry
	// Loader changes it. Required.
	Loader Loader
	// Logger takes a line per call and the faults. Required.
	Logger *slog.Logger
	// MeterProvider takes the metrics of calls. Required.
	MeterProvider metric.MeterProvider
}

// Loader loads and unloads models. Its methods are called with names that the service has checked.
type Loader interface {
	// Load loads a model from the store and returns once it serves.
	Load(ctx context.Context, r LoadRequest) (inference.Entry, error)
	// Unload takes a model out of service and returns once its memory was given back.
	Unload(ctx context.Context, name string) error
}

// LoadRequest says what to load.
type LoadRequest struct {
	Name    string   // to serve it by
	Folder  string   // a plain name of a folder in the model store
	Aliases []string // other names that shall lead to it
	Replace bool     // also if a model of the name serves already
}

// NewAdmin makes the gRPC server of the admin address: ModelService as a whole, channelz and reflection.
func NewAdmin(config AdminConfig) (*grpc.Server, error) {
	chain, err := interceptor.New(interceptor.Config{
		Logger: config.Logger, MeterProvider: config.MeterProvider, Infrastructure: infrastructure,
	})
	if err != nil {
		return nil, fmt.Errorf("new admin server: %w", err)
	}
	s := grpc.NewServer(grpc.ChainUnaryInterceptor(chain.Unary...), grpc.ChainStreamInterceptor(chain.Stream...))
	sluicev1.RegisterModelServiceServer(s, &adminService{
		models: config.Registry, loader: config.Loader,
	})
	channelz.RegisterChannelzServiceToServer(s)
	reflection.Register(s)
	return s, nil
}

// adminService is sluice.v1.ModelService as the admin address serves it.
type adminService struct {
	modelService

	loader Loader
}

// maxAliases bounds the aliases of one request.
const maxAliases = 64

// LoadModel loads a model from the model store.
func (s *adminService) LoadModel(ctx context.Context, in *sluicev1.LoadModelRequest) (*sluicev1.LoadModelResponse, error) {
	r := LoadRequest{Name: in.GetName(), Folder: in.GetFolder(), Aliases: in.GetAliases(), Replace: in.GetReplace()}
	if r.Folder == "" {
		r.Folder = r.Name
	}
	var v violations
	checkName(&v, "name", r.Name)
	if in.GetFolder() != "" {
		checkName(&v, "folder", r.Folder)
	}
	if len(r.Aliases) > maxAliases {
		v.addf("aliases", "must be at most %d", maxAliases)
	} else {
		for i, alias := range r.Aliases {
			checkName(&v, fmt.Sprintf("aliases[%d]", i), alias)
		}
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	entry, err := s.loader.Load(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	return &sluicev1.LoadModelResponse{Model: describe(entry)}, nil
}

// UnloadModel stops serving a model.
func (s *adminService) UnloadModel(ctx context.Context, in *sluicev1.UnloadModelRequest) (*sluicev1.UnloadModelResponse, error) {
	if in.GetName() == "" { // elsewhere it names the default model, which is not to go by an oversight
		return nil, inference.Invalid("name", "must not be empty")
	}
	if len(in.GetName()) > maxModelName {
		return nil, inference.Invalid("name", "must have at most %d bytes", maxModelName)
	}
	if err := s.loader.Unload(ctx, in.GetName()); err != nil {
		return nil, fmt.Errorf("unload model: %w", err)
	}
	return &sluicev1.UnloadModelResponse{}, nil
}

// checkName checks a name that a model is loaded by, or that a folder of the store has: it can be no path, no option of a
// command and no hidden file.
func checkName(v *violations, field, name string) {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.", c)
	}
	switch {
	case name == "":
		v.addf(field, "must not be empty")
	case len(name) > maxModelName:
		v.addf(field, "must have at most %d bytes", maxModelName)
	case strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) || strings.ContainsRune("-.", rune(name[0])):
		v.addf(field, "must be a name of letters, digits, '-', '_' and '.', and begin with none of '-' and '.'; it is never a path")
	}
}
