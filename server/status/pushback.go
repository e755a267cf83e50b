package status

import (
	"math"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// pushbackTrailer tells gRPC's own clients after how many milliseconds to try again (gRFC A6, client retries).
const pushbackTrailer = "grpc-retry-pushback-ms"

// Pushback returns the trailer of a call that ended with st by which a client whose policy has it tried again waits as long as
// st's RetryInfo asks, rather than by its own backoff, whose few tries are over before a model is loaded. Nil: there is none.
//
// It goes with UNAVAILABLE only. That is in every policy; and grpc-java takes a pushback for the order to try again whatever its
// policy has, which for RESOURCE_EXHAUSTED would be to wait for a quota, maybe for hours.
func Pushback(st *status.Status) metadata.MD {
	if st.Code() != codes.Unavailable {
		return nil
	}
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			wait := math.Ceil(float64(info.GetRetryDelay().AsDuration()) / float64(time.Millisecond))
			// Clients read 32 bits, and take what they cannot read or is negative as never.
			return metadata.Pairs(pushbackTrailer, strconv.Itoa(int(min(max(wait, 0), math.MaxInt32))))
		}
	}
	return nil
}
