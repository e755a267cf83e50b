// Package access configures who may connect to a server and call it: TLS, client certificates and API keys, from flags and from
// files that are reloaded when they change.
package access

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/credentials"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/internal/loopback"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates"
	"github.com/sluiceml/sluice/server/interceptor"
)

// Control is the guard and the certificates of a server, and keeps them as their files are.
type Control struct {
	flags        *Flags
	log          *slog.Logger
	refusals     *interceptor.RefusalLog
	guard        *auth.Guard
	certificates *certificates.Source // nil: no TLS
	reloading    sync.Mutex           // held by Reload, which a signal and a change may call at once
}

// New reads the files. What is wrong with them is the operator's to mend: a *usage.Error.
func New(flags *Flags, meters metric.MeterProvider, log *slog.Logger) (*Control, error) {
	c := &Control{flags: flags, log: log, refusals: interceptor.NewRefusalLog(log)}
	policy, err := flags.Policy()
	if err != nil {
		return nil, usage.Wrap(err)
	}
	if c.guard, err = auth.NewGuard(auth.Config{Policy: policy, MeterProvider: meters}); err != nil {
		return nil, err
	}
	if flags.TLSCert == "" {
		return c, nil
	}
	config := certificates.Config{
		CertFile: flags.TLSCert, KeyFile: flags.TLSKey, ClientCAFile: flags.TLSClientCA,
		ClientCRLFile: flags.TLSClientCRL, MinVersion: tls.VersionTLS12,
	}
	if flags.TLSMinVersion == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	for _, id := range flags.TLSClientID {
		pattern, _ := auth.ParseSPIFFEPattern(id) // Check has looked
		config.ClientIDs = append(config.ClientIDs, pattern)
	}
	if c.certificates, err = certificates.New(config); err != nil {
		return nil, usage.Wrap(err)
	}
	return c, c.observeExpiry(meters)
}

// observeExpiry makes the metric by which an alert knows that a certificate is not being renewed.
func (c *Control) observeExpiry(meters metric.MeterProvider) error {
	_, err := meters.Meter("github.com/sluiceml/sluice/cmd/sluice").Int64ObservableGauge("sluice.tls.certificate.not_after",
		metric.WithDescription("When the server's certificate expires, in seconds since 1970."), metric.WithUnit("s"),
		metric.WithInt64Callback(func(_ context.Context, to metric.Int64Observer) error {
			to.Observe(c.certificates.NotAfter().Unix())
			return nil
		}))
	return err
}

// Guard decides about calls.
func (c *Control) Guard() *auth.Guard { return c.guard }

// Watch reads the files again whenever their contents change, until ctx or stop ends it.
func (c *Control) Watch(ctx context.Context) (stop func() error) {
	return watchFiles(ctx, c.files(), c.log, c.Reload)
}

// files are those that the server reads again.
func (c *Control) files() []string {
	var files []string
	if c.flags.APIKeys != "" {
		files = append(files, c.flags.APIKeys)
	}
	if c.certificates != nil {
		files = append(files, c.certificates.Files()...)
	}
	return files
}

// Reload reads the files again. A faulty one changes nothing, and is named in the log.
func (c *Control) Reload() {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	if c.certificates != nil {
		if err := c.certificates.Reload(); err != nil {
			c.log.Error("the certificates stay as they were", "error", err.Error())
		} else {
			c.log.Info("reloaded the certificates", "not_after", c.certificates.NotAfter().Format(time.RFC3339))
		}
	}
	if c.flags.APIKeys != "" {
		policy, err := c.flags.Policy()
		if err != nil {
			c.log.Error("the API keys stay as they were", "error", err.Error())
			return
		}
		c.guard.Replace(policy)
		c.log.Info("reloaded the API keys", "clients", policy.Clients())
	}
}

// Credentials are those of the gRPC server; nil: none.
func (c *Control) Credentials() credentials.TransportCredentials {
	if c.certificates == nil {
		return nil
	}
	return credentials.NewTLS(c.certificates.RPC())
}

// Listener puts TLS on an HTTP listener, if there are certificates.
func (c *Control) Listener(plain net.Listener) net.Listener {
	if c.certificates == nil {
		return plain
	}
	return tls.NewListener(plain, c.certificates.HTTP())
}

// Asks says whether the server asks callers who they are.
func (c *Control) Asks() bool { return c.flags.APIKeys != "" || c.flags.TLSClientCA != "" }

// Warn says once what an operator may not have meant: an address that others reach and that asks nobody who he is, or
// asks so that others can listen.
func (c *Control) Warn(addr net.Addr) {
	switch {
	case loopback.Addr(addr):
	case !c.Asks():
		c.log.Warn("anyone who reaches the server may use it: it is not on a loopback address and asks for no credentials",
			"grpc_addr", addr.String())
	case c.certificates == nil:
		c.log.Warn("API keys travel in clear text: the server is not on a loopback address and has no --tls-cert",
			"grpc_addr", addr.String())
	}
}
