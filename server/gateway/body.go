package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// asJSON takes requests whose body says that it is JSON. A page of another origin can post plain text without being asked
// for, but JSON only after a preflight, which is answered for the origins that the operator has named.
func asJSON(next http.HandlerFunc) http.Handler { return asJSONElse(fail, next) }

// asJSONElse is asJSON for an API with errors of another form.
func asJSONElse(refuse func(http.ResponseWriter, *problem), next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "application/json" {
			leaveBody(w, r)
			refuse(w, &problem{status: http.StatusUnsupportedMediaType, kind: kindInvalid, message: "the Content-Type must be application/json"})
			return
		}
		next(w, r)
	})
}

// leaveBody has the connection closed after an answer that does not wait for the request's body. Otherwise the server would
// take in some of the body before it answers.
func leaveBody(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 { // streams of HTTP/2 end by themselves
		w.Header().Set("Connection", "close")
	}
}

// decode reads a JSON body into a struct. A field that the struct does not have is an error, since it might ask for
// something that would not be done.
func decode(r *http.Request, into any) *problem {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, end := decoder.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("there is more after the JSON value")
		}
	}
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &problem{
			status: http.StatusRequestEntityTooLarge, kind: kindInvalid,
			message: fmt.Sprintf("the request is larger than %d bytes", maxBodyBytes),
		}
	}
	if errors.Is(err, errOverloaded) {
		return translate(errOverloaded, nil)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return invalid(wrong.Field, "must be %s, not %s", jsonType(wrong), wrong.Value)
	}
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		name = strings.Trim(name, `"`)
		return invalid(name, "is not supported%s", instead(name, into))
	}
	return &problem{status: http.StatusBadRequest, kind: kindInvalid, message: "the request is not valid JSON: " + strings.TrimPrefix(err.Error(), "json: ")}
}

// instead tells which fields of a request do what one of the same API's earlier versions, or of a server that extends it, asks for.
// It tells nothing of a request that lacks them.
func instead(field string, request any) string {
	thinking := []string{"chat_template_kwargs", "thinking_token_budget"}
	others := map[string][]string{
		"functions": {"tools"}, "function_call": {"tool_choice"},
		"guided_json": {"structured_outputs.json"}, "guided_regex": {"structured_outputs.regex"}, // vLLM's, until it had the latter
		"guided_choice": {"structured_outputs.choice"}, "guided_grammar": {"structured_outputs.grammar"},
		"repeat_penalty": {"repetition_penalty"}, "n_predict": {"max_tokens"}, "grammar": {"structured_outputs.grammar"}, // llama.cpp's
		"reasoning": thinking, "reasoning_effort": thinking,
	}[field]
	for _, other := range others {
		if name, _, _ := strings.Cut(other, "."); !hasField(request, name) {
			return ""
		}
	}
	if len(others) == 0 {
		return ""
	}
	return ": see " + strings.Join(others, " and ")
}

// hasField says whether a struct, which a pointer leads to, has a field of this name in JSON.
func hasField(request any, name string) bool {
	return slices.ContainsFunc(reflect.VisibleFields(reflect.TypeOf(request).Elem()), func(f reflect.StructField) bool {
		return f.Tag.Get("json") == name
	})
}

// jsonType names the type that a field should have had as people who write JSON call it.
func jsonType(wrong *json.UnmarshalTypeError) string {
	switch kind := wrong.Type.Kind().String(); {
	case strings.HasPrefix(kind, "uint"):
		return "a whole number of at least 0"
	case strings.HasPrefix(kind, "int"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "bool":
		return "true or false"
	case kind == "string":
		return "a string"
	case kind == "slice":
		return "an array"
	default:
		return "an object"
	}
}

// write sends a JSON answer.
func write(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil { // a value of ours that JSON cannot hold
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client has gone
}
