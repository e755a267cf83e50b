package serve

import (
	"cmp"
	"errors"
	"fmt"
	"net"
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
	GRPCAddr     string      `help:"Address of the gRPC server; port 0 chooses a free one." name:"grpc-addr" default:":50051" placeholder:"HOST:PORT"`
	HTTPAddr     string      `help:"Address of the HTTP server: /livez, /readyz, /metrics and, unless --no-gateway is given, the OpenAI-compatible and JSON routes and the playground at /. Empty: none." name:"http-addr" default:":8080" placeholder:"HOST:PORT"`
	NoGateway    bool        `help:"Serve only probes and metrics over HTTP."`
	NoPlayground bool        `help:"Do not serve the playground, the page at / of the HTTP address."`
	CORSOrigin   []string    `help:"Origin whose pages may call the HTTP address from a browser, such as https://example.org, or * for any; repeatable. By default only pages from the address itself may." name:"cors-origin" placeholder:"ORIGIN"`
	HTTPHost     []string    `help:"Host name by which clients may call the HTTP address, such as models.example.org, or * for any; repeatable. It protects servers that anyone may call (those without --tls-cert whose --api-keys are missing or allow anonymous calls beyond health and metrics) from the pages of other sites. Always accepted are IP addresses, localhost, the machine's own name and that of --http-addr; also, unless that is a loopback address, names without a dot, names below local, internal, home.arpa and svc, and the names of the cluster's services." name:"http-host" placeholder:"NAME"`
	AdminAddr    string      `help:"Address for operators: pprof, the log level and the admin RPCs. Empty: none. Without --api-keys or --tls-client-ca, keep it on a loopback address." name:"admin-addr" placeholder:"HOST:PORT"`
	Model        []modelFlag `help:"Model to serve; repeatable, and the first is the default. Without it: the models of --models-dir, or else the one in the cache." sep:";" placeholder:"NAME=DIR"`
	Alias        []aliasFlag `help:"Another name for a model; repeatable. The alias \"default\" makes it the default model." sep:";" placeholder:"ALIAS=NAME"`
	ModelStore   string      `help:"Folder whose model folders LoadModel, on --admin-addr, may load by name. Empty: none." placeholder:"DIR"`
	ExitOnError  bool        `help:"Fail to start when a model cannot be loaded, instead of serving the others." default:"true" negatable:""`
	ModelsDir    string      `help:"Without --model, serve every model folder in DIR under its folder's name, or DIR itself if it is a model folder." placeholder:"DIR"`

	Models models.Flags `embed:""`

	DrainDelay   time.Duration `help:"How long a draining server still accepts calls after health turned NOT_SERVING, so that load balancers notice." default:"2s" placeholder:"DURATION"`
	DrainTimeout time.Duration `help:"How long running calls may take after that before they are cancelled." default:"30s" placeholder:"DURATION"`

	MaxRequestDuration    time.Duration `help:"Longest time that a call may take, whatever its deadline; 0: no limit." default:"0s" placeholder:"DURATION"`
	ReaderTimeout         time.Duration `help:"How long a client may leave output unread before its request loses its slot." default:"30s" placeholder:"DURATION"`
	MaxConnectionAge      time.Duration `help:"Age at which a client is asked to open a new connection, so that load spreads; 0: never." default:"0s" placeholder:"DURATION"`
	MaxConnectionAgeGrace time.Duration `help:"How long the running calls of such a connection may still take; 0: no limit." default:"0s" placeholder:"DURATION"`
	NoReflection          bool          `help:"Do not describe the services: no gRPC reflection and no /openapi.json over HTTP."`

	Access access.Flags `embed:""`

	TraceFile string `help:"Append traces to a file, one OTLP/JSON TracesData per line." placeholder:"FILE"`

	RecordContent bool `help:"Put the texts of prompts and answers into the spans of sampled requests. Without it telemetry contains no text of requests; logs and metrics never do."`

	ONNXRuntime string `help:"ONNX Runtime library to load instead of the one in the cache." name:"onnxruntime" placeholder:"FILE"`
}

// Validate implements kong.Validatable: every fault, by option.
func (f *Flags) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	address := func(option, value string) {
		_, _, err := net.SplitHostPort(value)
		need(err == nil, "--%s: %q is not HOST:PORT, such as :50051 or 127.0.0.1:50051", option, value)
	}
	address("grpc-addr", f.GRPCAddr)
	address("http-addr", cmp.Or(f.HTTPAddr, ":0"))
	address("admin-addr", cmp.Or(f.AdminAddr, ":0"))
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
