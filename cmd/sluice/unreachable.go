package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
	"google.golang.org/grpc/codes"

	client "github.com/sluiceml/sluice/clients/go"
)

// unreachableError says that no server answered. It is no refusal, so it hides the status that gRPC made up for it.
type unreachableError struct{ addr, cause string }

func (e *unreachableError) Error() string {
	// Not refused by gRPC: the connection was never made. The server's reason is an alert without details.
	if cause, ok := strings.CutPrefix(e.cause, "authentication handshake failed: "); ok {
		return fmt.Sprintf("no TLS connection with %s: %s", e.addr, cause)
	}
	if strings.Contains(e.cause, "remote error: tls: ") {
		return fmt.Sprintf("%s refuses the TLS connection: %s", e.addr, e.cause)
	}
	if strings.HasPrefix(e.cause, "error reading server preface: ") {
		return fmt.Sprintf("%s does not answer in gRPC (%s): is it another server's address, or does it use TLS (then add --tls-ca)?", e.addr, e.cause)
	}
	return fmt.Sprintf("nothing answers at %s (%s): is `sluice serve` running there?", e.addr, e.cause)
}

// noConnection matches what grpc-go says where no connection could be made: internal/transport's ConnectionError, the resolvers,
// and a picker that waited for a connection.
var noConnection = regexp.MustCompile(`(?:connection error: desc = "(?:transport: )?(?:Error while dialing: )?(.*)"|` +
	`(?:name resolver error|latest balancer error): (.*))`)

// reachability turns the failure of a client's command to reach its server into an *unreachableError. gRPC gives such
// failures the same codes as a server's refusals: they are told apart by having no details and by their text.
func reachability(parsed *kong.Context, err error) error {
	status, ok := errors.AsType[*client.Error](err)
	if !ok || status.Reason() != "" || status.Code() != codes.Unavailable && status.Code() != codes.DeadlineExceeded {
		return err
	}
	made := noConnection.FindStringSubmatch(status.Message())
	if made == nil {
		return err
	}
	for _, flag := range parsed.Flags() {
		if flag.Name == "addr" {
			return &unreachableError{addr: flag.Target.String(), cause: made[1] + made[2]}
		}
	}
	return err
}
