package gateway

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluiceml/sluice/server/status"
)

// The kinds of errors, as OpenAI's API names them.
const (
	kindInvalid        = "invalid_request_error"
	kindAuthentication = "authentication_error"
	kindPermission     = "permission_error"
	kindNotFound       = "not_found_error"
	kindRateLimit      = "rate_limit_error"
	kindServer         = "server_error"
)

// problem is an error in the form that clients of OpenAI's API read.
type problem struct {
	status  int // of HTTP
	kind    string
	message string
	param   string // "": of no field
	code    string // for programs; "": none
	retry   int    // seconds; 0: no advice
}

// Error implements error.
func (p *problem) Error() string { return p.message }

// body is the JSON value of an answer.
func (p *problem) body() any {
	type fields struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	out := fields{Message: p.message, Type: p.kind}
	if p.param != "" {
		out.Param = &p.param
	}
	if p.code != "" {
		out.Code = &p.code
	}
	return map[string]fields{"error": out}
}

// invalid is the problem of a field.
func invalid(param, format string, args ...any) *problem {
	message := fmt.Sprintf(format, args...)
	if param != "" {
		message = param + " " + message
	}
	return &problem{status: http.StatusBadRequest, kind: kindInvalid, message: message, param: param}
}

// fail answers with a problem.
func fail(w http.ResponseWriter, p *problem) {
	p.advise(w)
	write(w, p.status, p.body())
}

// advise sets the headers that belong to a problem.
func (p *problem) advise(w http.ResponseWriter) {
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
}

// failAny answers with the error of a call in the form of the route that the request is for. It is for what every route may
// be refused for.
func failAny(w http.ResponseWriter, r *http.Request, err error) {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, nativePrefix):
		failNative(w, r, err)
	case path == articlePath:
		failArticle(w, translate(err, nil))
	default:
		fail(w, translate(err, nil))
	}
}

// The reasons of errOverloaded and errGone; the latter is one of package status too.
const (
	reasonOverloaded = "OVERLOADED"
	reasonGone       = "UNAVAILABLE"
)

var (
	// errOverloaded refuses a request because the bodies of others, maxBodies bytes, come in.
	errOverloaded = comeAgain(reasonOverloaded, "too many large requests come in at once")
	// errGone refuses a request that comes when the server has ended, and its HTTP address is about to close.
	errGone = comeAgain(reasonGone, "the server is going away")
)

// comeAgain is the status of a call that may be tried again in a second.
func comeAgain(reason, message string) error {
	st := grpcstatus.New(codes.Unavailable, message)
	detailed, err := st.WithDetails(
		&errdetails.ErrorInfo{Reason: reason, Domain: status.Domain},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)},
	)
	if err != nil { // the code matters more
		detailed = st
	}
	return detailed.Err()
}

// ofServer is the error of a call, with errGone in place of gRPC's own for a connection in memory that is closed: what the server
// itself refuses as unavailable has a reason.
func ofServer(err error) error {
	if st, ok := grpcstatus.FromError(err); ok && st.Code() == codes.Unavailable && len(st.Details()) == 0 {
		return errGone
	}
	return err
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	fail(w, &problem{status: http.StatusNotFound, kind: kindNotFound, message: "there is nothing at this path"})
}

func wrongMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	fail(w, &problem{status: http.StatusMethodNotAllowed, kind: kindInvalid, message: "this path does not take " + r.Method})
}

// translate turns the error of a call into a problem. Fields names the request's fields in the protocol that the client
// speaks: native path → theirs; what it does not have keeps its name.
func translate(err error, fields map[string]string) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	st := grpcstatus.Convert(ofServer(err))
	p := &problem{status: status.HTTP(st.Code()), kind: kindOf(st.Code()), message: st.Message(), code: codeOf(st.Code())}
	for _, detail := range st.Details() {
		switch detail := detail.(type) {
		case *errdetails.BadRequest:
			p.take(detail, fields)
		case *errdetails.RetryInfo:
			p.retry = max(1, int(math.Ceil(detail.GetRetryDelay().AsDuration().Seconds())))
		case *errdetails.ErrorInfo:
			p.code = strings.ToLower(detail.GetReason())
		case *errdetails.ResourceInfo:
			if detail.GetResourceType() == status.ModelResource {
				p.param, p.code = "model", "model_not_found"
			}
		}
	}
	return p
}

// take describes what is wrong with the request's fields.
func (p *problem) take(bad *errdetails.BadRequest, fields map[string]string) {
	var parts []string
	for _, v := range bad.GetFieldViolations() {
		name := rename(v.GetField(), fields)
		if p.param == "" {
			p.param = name
		}
		parts = append(parts, sentence(name, v.GetDescription()))
	}
	if len(parts) > 0 {
		p.message = strings.Join(parts, "; ")
	}
}

// sentence says what is wrong with a field: most descriptions go on from its name, others are sentences of their own.
func sentence(field, description string) string {
	first, _, _ := strings.Cut(description, " ")
	switch {
	case field == "":
		return description
	case slices.Contains([]string{
		"must", "is", "are", "was", "cannot", "has", "have", "needs", "does", "may", "names", "requires", "excludes", "stand", "cuts",
	}, first):
		return field + " " + description
	default:
		return field + ": " + description
	}
}

// rename finds the client's name of a native field, whose longest prefix decides: chat.messages[3].role is
// messages[3].role where chat.messages is messages.
func rename(field string, fields map[string]string) string {
	best, name := "", field
	for native, theirs := range fields {
		rest, ok := strings.CutPrefix(field, native)
		if ok && len(native) > len(best) && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			best, name = native, theirs+rest
		}
	}
	return strings.TrimPrefix(name, "sampling.")
}

func kindOf(code codes.Code) string {
	switch code {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return kindInvalid
	case codes.Unauthenticated:
		return kindAuthentication
	case codes.PermissionDenied:
		return kindPermission
	case codes.NotFound:
		return kindNotFound
	case codes.ResourceExhausted:
		return kindRateLimit
	default:
		return kindServer
	}
}

func codeOf(code codes.Code) string {
	switch code {
	case codes.Unauthenticated:
		return "invalid_api_key"
	case codes.ResourceExhausted:
		return "rate_limit_exceeded"
	default:
		return ""
	}
}

// connectCode names the code of an error as Connect's protocol does.
func connectCode(err error) string {
	code := grpcstatus.Code(err)
	if code == codes.Canceled {
		return "canceled"
	}
	var out strings.Builder
	for i, r := range code.String() { // in CamelCase
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
