package oip

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluiceml/sluice/inference"
	oippb "github.com/sluiceml/sluice/proto/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// request is what a request of the protocol asks for.
type request struct {
	id      string
	native  *sluicev1.GenerateRequest
	stream  bool          // pieces rather than the whole
	raw     bool          // answer in raw bytes
	final   bool          // end with an empty response
	timeout time.Duration // 0: none
}

// parse reads a request: its prompt and its parameters, which may be parameters of the request, one-element tensors or the
// members of the JSON object in the tensor "sampling_parameters", in any mixture. The error is an *inference.InvalidError.
func parse(in *oippb.ModelInferRequest) (*request, error) {
	r := &request{
		id: in.GetId(), raw: len(in.GetRawInputContents()) > 0,
		native: &sluicev1.GenerateRequest{
			Model: in.GetModelName(), RequestId: in.GetId(),
			Sampling: &sluicev1.Sampling{}, Stop: &sluicev1.Stop{}, Output: &sluicev1.OutputOptions{},
		},
	}
	if !known(in.GetModelVersion()) {
		return nil, &inference.NotFoundError{Model: in.GetModelName() + " version " + in.GetModelVersion()}
	}
	for i, output := range in.GetOutputs() {
		if output.GetName() != textOutput {
			return nil, inference.Invalid(fmt.Sprintf("outputs[%d].name", i), "must be %s", textOutput)
		}
	}
	values, err := inputs(in)
	if err != nil {
		return nil, err
	}
	text, ok := values[textInput].(string)
	if !ok {
		return nil, inference.Invalid("inputs", "must have the tensor %s, one element of BYTES", textInput)
	}
	delete(values, textInput)
	r.native.Input = &sluicev1.GenerateRequest_Prompt{Prompt: text}
	if err := join(values, in.GetParameters()); err != nil {
		return nil, err
	}
	exclude, said := values[excludeInput].(bool)
	r.stream, _ = values[streamInput].(bool)
	switch {
	case !said: // as Triton's vLLM backend has it
		exclude = r.stream
	case !exclude && r.stream:
		return nil, inference.Invalid(excludeInput, "must be true for a stream")
	}
	r.native.Output.Echo = !exclude
	if err := r.set(values); err != nil {
		return nil, err
	}
	return r, nil
}

// inputs are the values of the input tensors by name.
func inputs(in *oippb.ModelInferRequest) (map[string]any, error) {
	raw := in.GetRawInputContents()
	if len(raw) > 0 && len(raw) != len(in.GetInputs()) {
		return nil, inference.Invalid("raw_input_contents", "must have an entry for each of the %d inputs", len(in.GetInputs()))
	}
	values := map[string]any{}
	for i, tensor := range in.GetInputs() {
		field := fmt.Sprintf("inputs[%d]", i)
		var bytes []byte
		if len(raw) > 0 {
			if tensor.GetContents() != nil {
				return nil, inference.Invalid(field+".contents", "must not be there beside raw_input_contents")
			}
			bytes = slices.Clip(raw[i])
			if bytes == nil {
				bytes = []byte{}
			}
		}
		v, err := value(field, tensor, bytes)
		if err != nil {
			return nil, err
		}
		if _, twice := values[tensor.GetName()]; twice {
			return nil, inference.Invalid(field+".name", "is there twice")
		}
		values[tensor.GetName()] = v
	}
	return values, nil
}

// join adds the parameters of the request and those in the JSON of sampling_parameters.
func join(values map[string]any, parameters map[string]*oippb.InferParameter) error {
	add := func(of, name string, v any) error {
		if _, twice := values[name]; twice {
			return inference.Invalid(of+clip(name), "is set twice")
		}
		values[name] = v
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		v, err := parameterValue(parameters[name])
		if err != nil {
			return inference.Invalid("parameters."+clip(name), "%v", err)
		}
		if err := add("parameters.", name, v); err != nil {
			return err
		}
	}
	text, ok := values[samplingInput]
	if !ok {
		return nil
	}
	delete(values, samplingInput)
	var members map[string]any
	if s, ok := text.(string); !ok || s != "" && json.Unmarshal([]byte(s), &members) != nil {
		return inference.Invalid(samplingInput, "must be a JSON object")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		v := members[name]
		if quoted, ok := v.(string); ok { // Triton's examples write numbers as strings
			var number float64
			if json.Unmarshal([]byte(quoted), &number) == nil {
				v = number
			}
		}
		if err := add("", name, v); err != nil {
			return err
		}
	}
	return nil
}

// set puts the values into the native request. A name that means nothing is refused, so that nothing is asked in vain.
func (r *request) set(values map[string]any) error {
	sampling := r.native.GetSampling()
	floats := map[string]**float32{
		"temperature": &sampling.Temperature, "top_p": &sampling.TopP, "min_p": &sampling.MinP, "typical_p": &sampling.TypicalP,
		"repetition_penalty": &sampling.RepetitionPenalty, "presence_penalty": &sampling.PresencePenalty,
		"frequency_penalty": &sampling.FrequencyPenalty,
	}
	counts := map[string]**uint32{
		"max_tokens": &sampling.MaxTokens, "min_tokens": &sampling.MinTokens, "n": &sampling.N,
		"no_repeat_ngram_size": &sampling.NoRepeatNgramSize,
		"min_length":           &sampling.MinTokens,
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		var err error
		switch {
		case floats[name] != nil:
			*floats[name], err = number(name, v)
		case counts[name] != nil:
			*counts[name], err = count(name, v)
		default:
			err = r.setOther(name, v)
		}
		if err != nil {
			return err
		}
	}
	if r.stream && sampling.GetN() > 1 {
		return inference.Invalid("n", "must be 1 for a stream, whose pieces have no index")
	}
	return nil
}

func (r *request) setOther(name string, v any) (err error) {
	sampling := r.native.GetSampling()
	switch name {
	case streamInput, excludeInput:
		if _, ok := v.(bool); !ok {
			return inference.Invalid(name, "must be a BOOL")
		}
	case "top_k":
		if whole, ok := integer(v); ok && whole == -1 { // vLLM's way to say all
			v = int64(0)
		}
		sampling.TopK, err = count(name, v)
	case "seed", "random_seed":
		whole, ok := integer(v)
		if !ok {
			return inference.Invalid(name, "must be an integer")
		}
		sampling.Seed = new(uint64(whole)) //nolint:gosec // any 64 bits are a seed
	case "ignore_eos", "skip_special_tokens", "include_stop_str_in_output":
		return r.setFlag(name, v)
	case "stop", "stop_words":
		r.native.Stop.Strings, err = texts(name, v)
	case "bad_words":
		sampling.BadWords, err = texts(name, v)
	case "stop_token_ids":
		return r.setStopIDs(v)
	case "timeout":
		whole, ok := integer(v)
		if !ok || whole < 0 || whole > math.MaxInt64/int64(micros) {
			return inference.Invalid(name, "must be a number of microseconds")
		}
		r.timeout = time.Duration(whole) * micros
	case "triton_enable_empty_final_response":
		r.final, _ = v.(bool)
	default:
		if !strings.HasPrefix(name, "triton_") { // those are about the transport
			return inference.Invalid(clip(name), "is not supported")
		}
	}
	return err
}

func (r *request) setFlag(name string, v any) error {
	set, ok := v.(bool)
	switch {
	case !ok:
		return inference.Invalid(name, "must be a BOOL")
	case name == "ignore_eos":
		r.native.Sampling.IgnoreEos = &set
	case name == "skip_special_tokens":
		r.native.Output.SkipSpecialTokens = &set
	default:
		r.native.Stop.IncludeInOutput = set
	}
	return nil
}

func (r *request) setStopIDs(v any) error {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, each := range list {
		id, err := count("stop_token_ids", each)
		if err != nil {
			return err
		}
		r.native.Stop.TokenIds = append(r.native.Stop.TokenIds, *id)
	}
	return nil
}

// number is a value that must be a number.
func number(name string, v any) (*float32, error) {
	switch v := v.(type) {
	case float64:
		return new(float32(v)), nil
	case int64:
		return new(float32(v)), nil
	case uint64:
		return new(float32(v)), nil
	default:
		return nil, inference.Invalid(name, "must be a number")
	}
}

// count is a value that must be a whole number of at least 0.
func count(name string, v any) (*uint32, error) {
	whole, ok := integer(v)
	if !ok || whole < 0 || whole > math.MaxUint32 {
		return nil, inference.Invalid(name, "must be a whole number of at least 0")
	}
	return new(uint32(whole)), nil
}

// integer is a value as an integer, if it is one.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v), true //nolint:gosec // seeds use all bits; what is too large for a count is negative
	case float64: // JSON has no other
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	default:
		return 0, false
	}
}

// texts is a value that must be a string or a list of strings.
func texts(name string, v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]string, len(list))
	for i, each := range list {
		if out[i], ok = each.(string); !ok {
			return nil, inference.Invalid(name, "must be a string or a list of strings")
		}
	}
	return out, nil
}

// clip is what is repeated of a name that a caller made up.
func clip(name string) string { return name[:min(len(name), 64)] }
