package gateway

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/vanguard"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/handshake"
	"github.com/sluiceml/sluice/server/status"
)

// nativePrefix begins the paths of the native API.
const nativePrefix = "/sluice.v1."

// native serves sluice.v1 to clients that speak gRPC, gRPC-Web or Connect, whose unary calls are plain JSON posts; a
// stream is also there as server-sent events for whoever asks for them.
func (g *Gateway) native() (http.Handler, error) {
	proxy := &httputil.ReverseProxy{
		Transport:     g.transport,
		FlushInterval: -1, // a delta is sent at once
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "loopback"})
			r.Out.Header.Del(handshake.IdentityHeader) // nobody says that but us, nor PeerHeader
			if identity := g.identity(r.In); identity != "" {
				r.Out.Header.Set(handshake.IdentityHeader, identity)
			}
			r.Out.Header.Set(handshake.PeerHeader, r.In.RemoteAddr)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			if err := r.Context().Err(); err != nil {
				failNative(w, r, grpcstatus.FromContextError(err).Err())
				return
			}
			failNative(w, r, errGone) // the loopback is closed
		},
	}
	var services []*vanguard.Service
	methods := map[string]bool{} // by their paths
	for _, service := range []grpc.ServiceDesc{
		sluicev1.InferenceService_ServiceDesc, sluicev1.ModelService_ServiceDesc, sluicev1.TokenizerService_ServiceDesc,
	} {
		for _, method := range service.Methods {
			methods["/"+service.ServiceName+"/"+method.MethodName] = true
		}
		for _, stream := range service.Streams {
			methods["/"+service.ServiceName+"/"+stream.StreamName] = true
		}
		services = append(services, vanguard.NewService(service.ServiceName, proxy,
			vanguard.WithTargetProtocols(vanguard.ProtocolGRPC), vanguard.WithTargetCodecs(vanguard.CodecProto),
			vanguard.WithNoTargetCompression(),                  // nothing leaves the process
			vanguard.WithMaxMessageBufferBytes(maxAnswerBytes))) // what comes in is bounded before
	}
	transcoder, err := vanguard.NewTranscoder(services, vanguard.WithCodec(newRequestJSON), vanguard.WithCompression(vanguard.CompressionGzip,
		func() connect.Compressor { return gzip.NewWriter(io.Discard) },
		func() connect.Decompressor { return &boundedGzip{} }))
	if err != nil {
		return nil, fmt.Errorf("transcoder: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.authorize(r, r.URL.Path); err != nil {
			leaveBody(w, r)
			failNative(w, r, status.Of(r.Context(), err).Err())
			return
		}
		if !methods[r.URL.Path] {
			leaveBody(w, r)
			failNative(w, r, errNoMethod)
			return
		}
		if r.ContentLength > maxBodyBytes {
			leaveBody(w, r)
			failNative(w, r, errMessageTooLarge)
			return
		}
		if r.URL.Path == sluicev1.InferenceService_GenerateStream_FullMethodName && wantsEvents(r) {
			asJSONElse(failConnect, g.generateEvents).ServeHTTP(w, r)
			return
		}
		kind, p := checkForm(r)
		if p != nil {
			leaveBody(w, r)
			failConnect(w, p)
			return
		}
		if err := takeIn(r, kind); err != nil {
			leaveBody(w, r)
			failNative(w, r, err)
			return
		}
		transcoder.ServeHTTP(w, r)
	}), nil
}

// wantsEvents says whether a request asks for server-sent events.
func wantsEvents(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			if kind, _, err := mime.ParseMediaType(part); err == nil && kind == "text/event-stream" {
				return r.Method == http.MethodPost
			}
		}
	}
	return false
}

// generateEvents serves GenerateStream with its request and its events as the protobuf messages' JSON. The type of an event
// is the name of what it holds; one of the type "error" ends a stream that has begun and failed, with the fields that
// Connect's errors have.
func (g *Gateway) generateEvents(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		failNative(w, r, bodyStatus(err))
		return
	}
	in := &sluicev1.GenerateRequest{}
	if err := protojson.Unmarshal(text, in); err != nil {
		failNative(w, r, grpcstatus.Error(codes.InvalidArgument, errNotJSON(in, err).Error()))
		return
	}
	if in.GetRequestId() == "" {
		in.RequestId = requestID(r)
	}
	stream, err := g.inference.GenerateStream(g.call(r.Context(), r), in)
	var event *sluicev1.GenerateStreamResponse
	if err == nil {
		event, err = stream.Recv()
	}
	if err != nil {
		failNative(w, r, err)
		return
	}
	nameAnswer(w, event.GetStarted().GetId())
	out := newEvents(w)
	for {
		if err := out.send(eventKind(event), nativeJSON(event)); err != nil {
			return // the client has gone, which the call's context tells the server
		}
		if event, err = stream.Recv(); err != nil {
			break
		}
	}
	if !errors.Is(err, io.EOF) {
		_ = out.send("error", map[string]string{"code": connectCode(err), "message": translate(err, nil).message}) // as above
	}
}

// eventKind names what an event holds.
func eventKind(event *sluicev1.GenerateStreamResponse) string {
	message := event.ProtoReflect()
	if field := message.WhichOneof(message.Descriptor().Oneofs().ByName("event")); field != nil {
		return string(field.Name())
	}
	return "message"
}

func nativeJSON(event *sluicev1.GenerateStreamResponse) json.RawMessage {
	text, err := protojson.Marshal(event)
	if err != nil { // text that is not UTF-8, which a stream never has
		return json.RawMessage("{}")
	}
	var out bytes.Buffer
	_ = json.Compact(&out, text) // it is JSON; protojson puts spaces in at random, for nobody to rely on them
	return out.Bytes()
}

// errNoMethod refuses a call of what the services do not have.
var errNoMethod = grpcstatus.Error(codes.Unimplemented, "there is no such method")

// errMessageTooLarge refuses a message before it is read.
var errMessageTooLarge = grpcstatus.Errorf(codes.ResourceExhausted, "the message is larger than %d bytes", maxBodyBytes)

// failNative refuses a call as its protocol has it: a stream of Connect's, of gRPC or of gRPC-Web fails with the status 200
// and says why in what follows, and a client that got another would know no more than a proxy's error.
func failNative(w http.ResponseWriter, r *http.Request, err error) {
	st := grpcstatus.Convert(ofServer(err))
	translate(err, nil).advise(w)
	out := connect.NewError(connect.Code(st.Code()), errors.New(st.Message()))
	for _, detail := range st.Proto().GetDetails() {
		if detail, err := connect.NewErrorDetail(detail); err == nil {
			out.AddDetail(detail)
		}
	}
	for name, values := range status.Pushback(st) { // which a client reads wherever the header is
		out.Meta()[http.CanonicalHeaderKey(name)] = values
	}
	_ = connect.NewErrorWriter().Write(w, r, out) // the client has gone
}
