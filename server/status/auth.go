package status

import (
	"errors"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/server/auth"
)

// ofAuth maps the errors of package auth, whose reasons are those of the details; nil if err is none of them.
func ofAuth(err error) *status.Status {
	if e, ok := errors.AsType[*auth.CredentialsError](err); ok {
		return with(codes.Unauthenticated, e.Error(), errorInfo(string(e.Reason), nil))
	}
	if e, ok := errors.AsType[*auth.ForbiddenError](err); ok {
		forbidden := &auth.ForbiddenError{Reason: e.Reason, What: clip(e.What, maxName)}
		return with(codes.PermissionDenied, forbidden.Error(), errorInfo(string(e.Reason), nil))
	}
	if e, ok := errors.AsType[*auth.QuotaError](err); ok {
		return with(codes.ResourceExhausted, e.Error(), retryInfo(e.RetryAfter), errorInfo(string(e.Reason),
			map[string]string{"per_second": strconv.FormatFloat(e.PerSecond, 'g', -1, 64)}))
	}
	return nil
}
