package status

import (
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
)

// Details travel in the trailer, base64-encoded, and many clients and proxies refuse header lists above 8 KiB. These
// limits keep a status under that with room to spare, whatever a request has done wrong.
const (
	maxMessage    = 512  // bytes of a status message made of violations
	maxViolations = 3072 // bytes of field paths and descriptions
	maxName       = 128  // bytes of a name that a caller sent and we repeat
)

// ofInvalid lists every violation, as long as they fit; the last one then says how many more there are.
func ofInvalid(e *inference.InvalidError) *status.Status {
	bad := &errdetails.BadRequest{}
	var message strings.Builder
	message.WriteString("invalid request")
	size, told := 0, true
	for i, v := range e.Violations {
		field, description := clip(v.Field, maxName), clip(v.Description, maxMessage)
		listed := description
		if v.Quote != "" { // in the details only: the message is logged
			listed += ": " + clip(v.Quote, maxMessage)
		}
		size += len(field) + len(listed)
		if size > maxViolations {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Description: fmt.Sprintf("%d more violations are not listed", len(e.Violations)-i),
			})
			break
		}
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field:       field,
			Description: listed,
		})
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		if text := separator + field + ": " + description; told && message.Len()+len(text) <= maxMessage {
			message.WriteString(text)
		} else if told {
			told = false
			fmt.Fprintf(&message, "%sand %d more", separator, len(e.Violations)-i)
		}
	}
	return with(codes.InvalidArgument, message.String(), bad)
}

// clip shortens s to at most limit bytes of valid UTF-8.
func clip(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
