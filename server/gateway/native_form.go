package gateway

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/vanguard"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// connectVersion is the header by which a unary call of Connect is told from REST.
const connectVersion = "Connect-Protocol-Version"

// checkForm refuses a request that is no call of the native API in any of its protocols, in the form that Connect's errors
// have: the transcoder would answer with a line of text, and leave a caller with a typo to guess. It makes a plain JSON
// post a call of Connect, whose header few people write by hand. It returns the type of the contents.
func checkForm(r *http.Request) (string, *problem) {
	if r.Method != http.MethodPost {
		return "", &problem{status: http.StatusMethodNotAllowed, message: "a call is a POST"}
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	json := err == nil && kind == "application/json"
	switch {
	case !json && !isProtocol(kind):
		return "", &problem{
			status:  http.StatusUnsupportedMediaType,
			message: "the Content-Type must be application/json, or one of Connect, gRPC or gRPC-Web",
		}
	case json && r.URL.Path == sluicev1.InferenceService_GenerateStream_FullMethodName:
		return "", &problem{
			status:  http.StatusUnsupportedMediaType,
			message: "a stream needs Accept: text/event-stream, or the Content-Type of Connect's, gRPC's or gRPC-Web's streams",
		}
	case json && r.Header.Get(connectVersion) == "":
		r.Header.Set(connectVersion, "1")
	}
	return kind, nil
}

// isProtocol says whether a type of contents is one of Connect, gRPC or gRPC-Web with protobuf or JSON.
func isProtocol(kind string) bool {
	protocol, codec, found := strings.Cut(kind, "+")
	switch protocol {
	case "application/proto":
		return !found
	case "application/grpc", "application/grpc-web": // and not grpc-web-text, whose frames are in base64: the transcoder does not know it
		return !found || codec == vanguard.CodecProto || codec == vanguard.CodecJSON
	case "application/connect":
		return codec == vanguard.CodecProto || codec == vanguard.CodecJSON
	default:
		return false
	}
}

// failConnect answers with a problem of a request's form as Connect has errors.
func failConnect(w http.ResponseWriter, p *problem) {
	if p.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	p.advise(w)
	write(w, p.status, map[string]string{"code": connect.CodeInvalidArgument.String(), "message": p.message})
}

// requestJSON is the JSON of requests. One that cannot be read is its caller's fault, where the transcoder would say that it
// does not know whose.
type requestJSON struct{ *vanguard.JSONCodec }

func newRequestJSON(types vanguard.TypeResolver) vanguard.Codec {
	return requestJSON{vanguard.NewJSONCodec(types)}
}

// Unmarshal implements vanguard.Codec.
func (c requestJSON) Unmarshal(text []byte, into proto.Message) error {
	if err := c.JSONCodec.Unmarshal(text, into); err != nil {
		return connect.NewError(connect.CodeInvalidArgument, errNotJSON(into, err))
	}
	return nil
}

// errNotJSON says what is wrong with the JSON of a message.
func errNotJSON(message proto.Message, err error) error {
	reason := strings.TrimSpace(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto:")) // now one space, now the other
	return errors.New(fmt.Sprint("the request is not a ", message.ProtoReflect().Descriptor().FullName(), " in JSON: ", reason))
}
