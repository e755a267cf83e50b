// Package serve implements `sluice serve`: it builds the server's parts in order, listens, loads models, reloads, drains and
// shuts down.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/sluiceml/sluice/cmd/sluice/internal/access"
	"github.com/sluiceml/sluice/cmd/sluice/internal/buildinfo"
	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/httpserver"
	"github.com/sluiceml/sluice/cmd/sluice/internal/models"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/gateway"
)

// Config is what a server gets from the command.
type Config struct {
	Flags   *Flags
	Logger  *slog.Logger
	Level   *slog.LevelVar   // of Logger
	Signals <-chan os.Signal // SIGHUP reloads, any other drains, and a second one stops at once
	// Reload reads the configuration again, for SIGHUP, and hands it to apply, which puts in force what changes while the server
	// runs. With a faulty configuration it does not call it.
	Reload func(apply func(*Flags))
	Build  buildinfo.Info
}

// App is the server as a process. It is the one place that knows all packages: it builds them in order, runs them in
// one errgroup (running.go), and closes them in reverse.
type App struct {
	flags   *Flags
	log     *slog.Logger
	level   *slog.LevelVar // of log
	signals <-chan os.Signal
	reload  func(apply func(*Flags))
	build   buildinfo.Info

	telemetry       *telemetry.SDK
	access          *access.Control
	registry        *inference.Registry
	manager         *inference.Manager
	runtime         atomic.Pointer[ort.Environment] // nil until ONNX Runtime is loaded
	loader          *models.Loader
	drainTime       atomic.Pointer[drainTime]    // in force
	queue           atomic.Pointer[engine.Queue] // in force
	failed          chan error                   // says that no model serves any more
	server          *server.Server
	grpc            net.Listener
	loopback        *server.Loopback   // how the HTTP address calls the server; nil: it does not
	http            *httpserver.Server // nil: none
	httpConnections atomic.Int64       // most that http may hold open; 0: any number
	admin           *httpserver.Server // nil: none
	serving         atomic.Bool        // loaded, and not draining
}

// New makes a server that has not begun.
func New(c Config) *App {
	a := &App{
		flags: c.Flags, log: c.Logger, level: c.Level, signals: c.Signals, reload: c.Reload, build: c.Build,
	}
	a.apply(c.Flags)
	return a
}

// Run builds the server, serves until a signal or a failure, and takes it down. The error of a drain that was cut short by a
// second signal is ErrInterrupted.
func (a *App) Run(ctx context.Context) (err error) {
	// What can be wrong with the set-up is found before anything costly, so that the answer comes within a second.
	folders, err := a.openFolders()
	if err != nil {
		return err
	}
	library, err := setup.FindLibrary(a.flags.ONNXRuntime, a.flags.provider())
	if err != nil {
		return err
	}
	var undo cleanup.Stack
	defer undo.CloseInto(&err)
	if a.telemetry, err = telemetry.Start(ctx, telemetry.Config{TraceFile: a.flags.TraceFile, Build: a.build, Logger: a.log}); err != nil {
		return err
	}
	undo.Add(a.telemetry.Shutdown)
	if a.access, err = access.New(&a.flags.Access, a.telemetry.Meters, a.log); err != nil { //nolint:contextcheck // a counter starts at 0
		return err
	}
	undo.Add(a.access.Watch(ctx))
	if a.flags.RecordContent {
		a.log.Warn("the texts of prompts and answers go into traces: --record-content is on")
	}
	if err := a.announce(folders); err != nil {
		return err
	}
	if err := a.listen(ctx, &undo); err != nil {
		return err
	}
	if a.server, err = a.newServer(); err != nil { //nolint:contextcheck // the server outlives ctx's caller
		return err
	}
	err = a.loadAndServe(ctx, folders, library, &undo)
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

// newServer makes the gRPC server, which does not serve yet.
func (a *App) newServer() (*server.Server, error) {
	return server.New(server.Config{ //nolint:wrapcheck // says what it is
		Registry:       a.registry,
		Logger:         a.log,
		TracerProvider: a.telemetry.Tracers,
		MeterProvider:  a.telemetry.Meters,
		Propagator:     a.telemetry.Propagator,
		DrainDelay:     a.drainTime.Load().delay,
		Credentials:    a.access.Credentials(),
		Guard:          a.access.Guard(),
		MaxConnections: a.flags.Access.MaxConnections,

		MaxRequestDuration:    a.flags.MaxRequestDuration,
		MaxConnectionAge:      a.flags.MaxConnectionAge,
		MaxConnectionAgeGrace: a.flags.MaxConnectionAgeGrace,
		NoReflection:          a.flags.NoReflection,
		Version:               a.build.Version,
	})
}

// loadAndServe answers calls while it loads the models (health says NOT_SERVING, requests get UNAVAILABLE) and then serves until
// a signal or a failure.
func (a *App) loadAndServe(ctx context.Context, folders []folderToServe, library string, undo *cleanup.Stack) error {
	served := make(chan error, 1)
	go func() { served <- a.server.Serve(a.grpc) }()
	if a.loopback != nil {
		ended := make(chan error, 1)
		go func() { ended <- a.server.ServeLoopback(a.loopback) }()
		undo.Add(func() error { return <-ended })
	}
	if err := a.load(ctx, folders, library, undo); err != nil {
		a.server.Stop()
		<-served //nolint:errcheck // the error of the loading is the one that counts
		return err
	}
	return a.serve(ctx, served)
}

// listen takes the ports before the models are loaded: a port that is taken is known at once, and probes are answered.
func (a *App) listen(ctx context.Context, undo *cleanup.Stack) (err error) {
	var config net.ListenConfig
	if a.grpc, err = config.Listen(ctx, "tcp", a.flags.GRPCAddr); err != nil {
		return fmt.Errorf("--grpc-addr: %w", err)
	}
	undo.Add(func() error { return ignoreClosed(a.grpc.Close()) })
	if err := a.listenAdmin(ctx, undo); err != nil {
		return err
	}
	if a.flags.HTTPAddr == "" {
		return nil
	}
	listener, err := config.Listen(ctx, "tcp", a.flags.HTTPAddr)
	if err != nil {
		return fmt.Errorf("--http-addr: %w", err)
	}
	api, err := a.newGateway(listener.Addr(), undo)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	listener = a.access.Listener(server.LimitConnections(listener, &a.httpConnections, a.access.Guard()))
	a.http = httpserver.New(listener, a.access.ProtectPublic(httpserver.Public(a.telemetry.Handler(), a.ready, api)), httpserver.ExchangeTimeout, a.log)
	undo.Add(a.http.Close)
	return nil
}

// newGateway makes what the HTTP address serves besides probes and metrics; nil: nothing.
func (a *App) newGateway(addr net.Addr, undo *cleanup.Stack) (http.Handler, error) {
	if a.flags.NoGateway {
		return nil, nil //nolint:nilnil // as documented
	}
	a.loopback = server.NewLoopback(addr)
	api, err := gateway.New(gateway.Config{
		Dial: a.loopback.Dial, Identity: access.VerifiedIdentity, Authorize: a.access.Authorize, NoPlayground: a.flags.NoPlayground,
		NoReflection: a.flags.NoReflection, Origins: a.flags.CORSOrigin, Hosts: a.flags.hosts(addr, a.access.Guard().Closed),
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what it is
	}
	undo.Add(api.Close)
	return api, nil
}

// ready says whether the server wants calls.
func (a *App) ready() bool {
	if !a.serving.Load() {
		return false
	}
	for _, e := range a.registry.Entries() { // as the health service sees it
		if e.Model != nil && !e.Leaving && e.State() != inference.StateReady {
			return false
		}
	}
	return true
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
