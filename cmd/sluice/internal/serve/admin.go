package serve

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/httpserver"
	"github.com/sluiceml/sluice/internal/loopback"
	"github.com/sluiceml/sluice/server"
)

// The admin address is for operators: profiles, the log level, and the RPCs that change the server. One port serves
// both, because HTTP/2 tells gRPC from the rest by its content type. With --api-keys it asks for a key that allows admin,
// with --tls-client-ca for a certificate; without, it belongs on a loopback address.

// listenAdmin serves the admin address, if there is one.
func (a *App) listenAdmin(ctx context.Context, undo *cleanup.Stack) error {
	if a.flags.AdminAddr == "" {
		return nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", a.flags.AdminAddr)
	if err != nil {
		return fmt.Errorf("--admin-addr: %w", err)
	}
	if !loopback.Addr(listener.Addr()) && !a.access.Asks() {
		a.log.Warn("anyone who reaches the admin address may profile and change the server: it is not on a loopback address",
			"admin_addr", listener.Addr().String())
	}
	rpc, err := server.NewAdmin(server.AdminConfig{ //nolint:contextcheck // the server outlives ctx's caller
		Registry: a.registry, Loader: &storeLoader{app: a}, Logger: a.log, MeterProvider: a.telemetry.Meters,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	handler := a.access.ProtectAdmin(httpserver.Admin(listener.Addr(), rpc, a.level, a.log))
	a.admin = httpserver.New(a.access.Listener(listener), handler, httpserver.ProfileTimeout, a.log)
	undo.Add(func() error { //nolint:contextcheck // ctx has ended by then
		defer rpc.Stop()
		return a.admin.Close()
	})
	a.log.Info("admin address", "admin_addr", a.admin.Addr())
	return nil
}
