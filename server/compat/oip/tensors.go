package oip

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/sluiceml/sluice/inference"
	oippb "github.com/sluiceml/sluice/proto/inference"
)

// The tensors of a generating model, as Triton's vLLM backend calls them.
const (
	textInput     = "text_input"
	streamInput   = "stream"
	samplingInput = "sampling_parameters"
	excludeInput  = "exclude_input_in_output"
	textOutput    = "text_output"
)

// maxElements bounds the elements of a tensor: stop words are the longest list.
const maxElements = 4096

// value reads an input tensor: its one element, or a list of them, as a bool, int64, float64 or string.
func value(field string, in *oippb.ModelInferRequest_InferInputTensor, raw []byte) (any, error) {
	count := int64(1)
	for _, size := range in.GetShape() {
		if size < 0 || size > maxElements {
			return nil, inference.Invalid(field+".shape", "must have sizes from 0 to %d", maxElements)
		}
		if count *= size; count > maxElements {
			return nil, inference.Invalid(field+".shape", "must have at most %d elements", maxElements)
		}
	}
	var list []any
	var err error
	if raw != nil {
		list, err = rawElements(field, in.GetDatatype(), raw)
	} else {
		list, err = typedElements(field, in.GetDatatype(), in.GetContents(), count)
	}
	if err != nil {
		return nil, err
	}
	if int64(len(list)) != count {
		return nil, inference.Invalid(field, "has %d elements, but a shape of %d", len(list), count)
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

// typedElements are the elements in the list of their type.
func typedElements(field, datatype string, in *oippb.InferTensorContents, count int64) ([]any, error) {
	var out []any
	if n := typedCount(in); n > count {
		return nil, inference.Invalid(field, "has %d elements, but a shape of %d", n, count)
	}
	switch datatype {
	case "BOOL":
		out = anys(in.GetBoolContents(), func(v bool) any { return v })
	case "INT8", "INT16", "INT32":
		out = anys(in.GetIntContents(), func(v int32) any { return int64(v) })
	case "INT64":
		out = anys(in.GetInt64Contents(), func(v int64) any { return v })
	case "UINT8", "UINT16", "UINT32":
		out = anys(in.GetUintContents(), func(v uint32) any { return int64(v) })
	case "UINT64":
		out = anys(in.GetUint64Contents(), func(v uint64) any { return v })
	case "FP32":
		out = anys(in.GetFp32Contents(), func(v float32) any { return float64(v) })
	case "FP64":
		out = anys(in.GetFp64Contents(), func(v float64) any { return v })
	case "BYTES":
		out = anys(in.GetBytesContents(), func(v []byte) any { return string(v) })
	default:
		return nil, badType(field, datatype)
	}
	return out, nil
}

// typedCount is the number of elements in all lists, of which one is used.
func typedCount(in *oippb.InferTensorContents) int64 {
	return int64(len(in.GetBoolContents()) + len(in.GetIntContents()) + len(in.GetInt64Contents()) + len(in.GetUintContents()) +
		len(in.GetUint64Contents()) + len(in.GetFp32Contents()) + len(in.GetFp64Contents()) + len(in.GetBytesContents()))
}

func anys[T any](list []T, convert func(T) any) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = convert(v)
	}
	return out
}

func badType(field, datatype string) error {
	if len(datatype) > maxTypeName {
		datatype = datatype[:maxTypeName]
	}
	return inference.Invalid(field+".datatype", "cannot be %q", datatype)
}

// maxTypeName is what is repeated of a type's name.
const maxTypeName = 16

// rawElements are the elements as they lie in memory.
func rawElements(field, datatype string, raw []byte) ([]any, error) {
	if datatype == "BYTES" {
		return rawTexts(field, raw)
	}
	size, read := rawReader(datatype)
	if read == nil {
		return nil, badType(field, datatype)
	}
	if len(raw)%size != 0 || len(raw)/size > maxElements {
		return nil, inference.Invalid(field, "has %d bytes, which is not a whole number of elements of %s or more than %d of them", len(raw), datatype, maxElements)
	}
	out := make([]any, 0, len(raw)/size)
	for ; len(raw) > 0; raw = raw[size:] {
		out = append(out, read(raw))
	}
	return out, nil
}

// rawReader is the size of an element and how it is read.
func rawReader(datatype string) (size int, read func([]byte) any) {
	order := binary.LittleEndian
	switch datatype {
	case "BOOL":
		return 1, func(b []byte) any { return b[0] != 0 }
	case "INT8":
		return 1, func(b []byte) any { return int64(int8(b[0])) } //nolint:gosec // its bits
	case "UINT8":
		return 1, func(b []byte) any { return int64(b[0]) }
	case "INT16":
		return 2, func(b []byte) any { return int64(int16(order.Uint16(b))) } //nolint:gosec // its bits
	case "UINT16":
		return 2, func(b []byte) any { return int64(order.Uint16(b)) }
	case "INT32":
		return 4, func(b []byte) any { return int64(int32(order.Uint32(b))) } //nolint:gosec // its bits
	case "UINT32":
		return 4, func(b []byte) any { return int64(order.Uint32(b)) }
	case "INT64":
		return 8, func(b []byte) any { return int64(order.Uint64(b)) } //nolint:gosec // its bits
	case "UINT64":
		return 8, func(b []byte) any { return order.Uint64(b) }
	case "FP32":
		return 4, func(b []byte) any { return float64(math.Float32frombits(order.Uint32(b))) }
	case "FP64":
		return 8, func(b []byte) any { return math.Float64frombits(order.Uint64(b)) }
	default:
		return 0, nil
	}
}

// rawTexts are BYTES: each after its length.
func rawTexts(field string, raw []byte) ([]any, error) {
	var out []any
	for len(raw) > 0 {
		if len(raw) < 4 || uint64(binary.LittleEndian.Uint32(raw)) > uint64(len(raw)-4) {
			return nil, inference.Invalid(field, "has BYTES that end in the middle of an element")
		}
		size := 4 + int(binary.LittleEndian.Uint32(raw))
		out = append(out, string(raw[4:size]))
		if raw = raw[size:]; len(out) > maxElements {
			return nil, inference.Invalid(field, "must have at most %d elements", maxElements)
		}
	}
	return out, nil
}

// response is a response with texts, in the form that the request came in.
func (r *request) response(model string, texts ...string) *oippb.ModelInferResponse {
	tensor := &oippb.ModelInferResponse_InferOutputTensor{
		Name: textOutput, Datatype: "BYTES", Shape: []int64{int64(len(texts))},
	}
	out := &oippb.ModelInferResponse{
		ModelName: model, ModelVersion: version, Id: r.id, Outputs: []*oippb.ModelInferResponse_InferOutputTensor{tensor},
	}
	if !r.raw {
		tensor.Contents = &oippb.InferTensorContents{}
		for _, text := range texts {
			tensor.Contents.BytesContents = append(tensor.Contents.BytesContents, []byte(text))
		}
		return out
	}
	var raw []byte
	for _, text := range texts {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(text))) //nolint:gosec // far from 4 GiB
		raw = append(raw, text...)
	}
	out.RawOutputContents = [][]byte{raw}
	return out
}

// parameterValue is the value of a parameter as a tensor would have it.
func parameterValue(in *oippb.InferParameter) (any, error) {
	switch v := in.GetParameterChoice().(type) {
	case *oippb.InferParameter_BoolParam:
		return v.BoolParam, nil
	case *oippb.InferParameter_Int64Param:
		return v.Int64Param, nil
	case *oippb.InferParameter_StringParam:
		return v.StringParam, nil
	case *oippb.InferParameter_DoubleParam:
		return v.DoubleParam, nil
	case *oippb.InferParameter_Uint64Param:
		return v.Uint64Param, nil
	default:
		return nil, errors.New("no value")
	}
}
