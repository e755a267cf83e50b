package serve

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluiceml/sluice/cmd/sluice/internal/access"
	"github.com/sluiceml/sluice/cmd/sluice/internal/models"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/server/gateway"
)

// Flags are the options of a server.
type Flags struct {
	GRPCAddr     string      `help:"Address of the gRPC server; port 0 takes a free one." name:"grpc-addr" default:":50051" placeholder:"HOST:PORT"`
	HTTPAddr     string      `help:"Address of HTTP: /livez, /readyz, /metrics and, unless --no-gateway, the OpenAI-compatible and JSON routes and the playground at /; empty: none." name:"http-addr" default:":8080" placeholder:"HOST:PORT"`
	NoGateway    bool        `help:"Serve nothing but probes and metrics by HTTP."`
	NoPlayground bool        `help:"Leave out the page at / of the HTTP address, on which people try the server in a browser."`
	CORSOrigin   []string    `help:"Origin whose pages may call the HTTP address from a browser, such as https://example.org, or * for any; repeatable. Without one only pages that come from the address itself may." name:"cors-origin" placeholder:"ORIGIN"`
	HTTPHost     []string    `help:"Name by which clients may call the HTTP address, such as models.example.org, or * for any; repeatable. Looked at only where anyone may call (without --tls-cert, and without --api-keys or where that file opens more than health and metrics), since another site's page could then do so by a name of its own; addresses, localhost, the machine's own name and that of --http-addr are always taken and, unless it is a loopback address, names without a dot, those below local, internal, home.arpa and svc, and those of the cluster's services." name:"http-host" placeholder:"NAME"`
	AdminAddr    string      `help:"Address of the operators' port: pprof, the log level and admin RPCs; empty: none. Without --api-keys or --tls-client-ca, keep it on a loopback address." name:"admin-addr" placeholder:"HOST:PORT"`
	Model        []modelFlag `help:"Model to serve; repeatable, the first is the default. Without one: those of --models-dir, else the cache's." sep:";" placeholder:"NAME=DIR"`
	Alias        []aliasFlag `help:"Another name for a model of the server; repeatable. \"default\" makes it the default model." sep:";" placeholder:"ALIAS=NAME"`
	ModelStore   string      `help:"Folder of model folders that LoadModel, on --admin-addr, may load from by name; empty: none." placeholder:"DIR"`
	ExitOnError  bool        `help:"Fail to start when a model cannot be loaded, instead of serving the others." default:"true" negatable:""`
	ModelsDir    string      `help:"Without --model, serve every model folder in DIR by its folder's name, or DIR itself if it is one." placeholder:"DIR"`

	Models models.Flags `embed:""`

	DrainDelay   time.Duration `help:"How long to go on taking calls after turning NOT_SERVING, for load balancers to notice." default:"2s" placeholder:"DURATION"`
	DrainTimeout time.Duration `help:"How long running calls may then take before they are cut off." default:"30s" placeholder:"DURATION"`

	MaxRequestDuration    time.Duration `help:"Longest time that a call may take, whatever its deadline; 0: any." default:"0s" placeholder:"DURATION"`
	ReaderTimeout         time.Duration `help:"How long a client may leave output unread before its request loses its slot." default:"30s" placeholder:"DURATION"`
	MaxConnectionAge      time.Duration `help:"Age at which a connection is told to go elsewhere, so that load spreads; 0: never." default:"0s" placeholder:"DURATION"`
	MaxConnectionAgeGrace time.Duration `help:"How long the calls of such a connection may then take; 0: any time." default:"0s" placeholder:"DURATION"`
	NoReflection          bool          `help:"Leave out what describes the services: gRPC reflection and, by HTTP, /openapi.json."`

	Access access.Flags `embed:""`

	TraceFile string `help:"Append traces to a file, one OTLP/JSON TracesData a line." placeholder:"FILE"`

	RecordContent bool `help:"Put the texts of prompts and answers into the spans of sampled requests. Without it no text of a request leaves in telemetry; logs and metrics never have any."`

	ONNXRuntime string `help:"ONNX Runtime library to load instead of the cache's." name:"onnxruntime" placeholder:"FILE"`
}

// Validate implements kong.Validatable: every fault, by option.
func (f *Flags) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	for _, origin := range f.CORSOrigin {
		if err := gateway.CheckOrigin(origin); err != nil {
			faults = append(faults, fmt.Errorf("--cors-origin: %w", err))
		}
	}
	need(len(f.CORSOrigin) == 0 || !f.NoGateway, "--cors-origin and --no-gateway exclude each other")
	for _, name := range f.HTTPHost {
		if _, err := gateway.ParseHost(name); err != nil {
			faults = append(faults, fmt.Errorf("--http-host: %w", err))
		}
	}
	need(len(f.HTTPHost) == 0 || !f.NoGateway, "--http-host and --no-gateway exclude each other")
	faults = append(faults, f.Models.Check()...)
	need(f.DrainDelay >= 0, "--drain-delay must not be negative")
	need(f.DrainTimeout >= 0, "--drain-timeout must not be negative")
	need(f.MaxRequestDuration >= 0, "--max-request-duration must not be negative")
	need(f.ReaderTimeout > 0, "--reader-timeout must be more than 0")
	need(f.MaxConnectionAge >= 0, "--max-connection-age must not be negative")
	need(f.MaxConnectionAgeGrace >= 0, "--max-connection-age-grace must not be negative")
	faults = append(faults, f.Access.Check()...)
	names := map[string]bool{}
	for _, m := range f.Model {
		need(!names[m.name], "--model: the name %q is used twice", m.name)
		names[m.name] = true
	}
	for _, alias := range f.Alias {
		need(len(f.Model) == 0 || names[alias.name], "--alias: no --model is named %q", alias.name)
		need(!names[alias.alias], "--alias: %q is the name of a model", alias.alias)
	}
	return errors.Join(faults...)
}

// modelFlag is a model to serve: NAME=DIR.
type modelFlag struct{ name, dir string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *modelFlag) UnmarshalText(text []byte) error {
	name, dir, ok := strings.Cut(string(text), "=")
	if !ok || name == "" || dir == "" {
		return fmt.Errorf("%q is not NAME=DIR", text)
	}
	m.name, m.dir = name, dir
	return nil
}

func (m modelFlag) String() string { return m.name + "=" + m.dir }

// aliasFlag is another name for a model: ALIAS=NAME.
type aliasFlag struct{ alias, name string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *aliasFlag) UnmarshalText(text []byte) error {
	alias, name, ok := strings.Cut(string(text), "=")
	if !ok || alias == "" || name == "" {
		return fmt.Errorf("%q is not ALIAS=NAME", text)
	}
	a.alias, a.name = alias, name
	return nil
}

func (a aliasFlag) String() string { return a.alias + "=" + a.name }

// provider is the build of ONNX Runtime that the devices need.
func (f *Flags) provider() setup.Provider {
	for _, d := range f.Models.Devices() {
		if d.Provider == ort.CUDA {
			return setup.CUDA
		}
	}
	return setup.CPU
}
