package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"math"
	"slices"
)

// metadataName is the header's member that is no tensor.
const metadataName = "__metadata__"

// entry is a tensor as the header tells it.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []uint64 `json:"shape"`
	Offsets []uint64 `json:"data_offsets"`

	name string
}

// Parse reads a safetensors file from memory. The File keeps data, which must not change; Close does nothing.
func Parse(data []byte) (*File, error) {
	header, data, err := split(data)
	if err != nil {
		return nil, &FormatError{What: "the header", Err: err}
	}
	entries, metadata, err := readHeader(header)
	if err != nil {
		return nil, err
	}
	// The tensors must cover the data: sorted by where they begin, each starts where the one before it ended.
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]),
			cmp.Compare(a.name, b.name))
	})
	f := &File{tensors: make(map[string]Tensor, len(entries)), metadata: metadata}
	var at uint64
	for _, e := range entries {
		t, err := e.place(data, at)
		if err != nil {
			return nil, &FormatError{What: fmt.Sprintf("tensor %q", e.name), Err: err}
		}
		f.tensors[e.name] = t
		at = e.Offsets[1]
	}
	if at != uint64(len(data)) {
		return nil, &FormatError{What: "the data", Err: fmt.Errorf("%d bytes, of which the tensors cover %d", len(data), at)}
	}
	return f, nil
}

// split divides a file into its JSON header and the data after it.
func split(file []byte) (header, data []byte, err error) {
	if len(file) < 8 {
		return nil, nil, fmt.Errorf("the file has %d bytes, too few for the header's length", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	rest := file[8:]
	if n > maxHeader {
		return nil, nil, fmt.Errorf("its length %d is over the limit of %d bytes", n, maxHeader)
	}
	if n > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("its length is %d bytes, but only %d follow", n, len(rest))
	}
	if n == 0 || rest[0] != '{' {
		return nil, nil, errors.New("it is not a JSON object")
	}
	return rest[:n], rest[n:], nil
}

// readHeader reads the descriptions of the tensors, one member at a time.
func readHeader(header []byte) ([]entry, map[string]string, error) {
	var (
		entries  []entry
		metadata map[string]string
		dec      = jsontext.NewDecoder(bytes.NewReader(header))
	)
	if _, err := dec.ReadToken(); err != nil { // the brace
		return nil, nil, headerError(dec, err)
	}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken() // the decoder refuses a name that is there twice
		if err != nil {
			return nil, nil, headerError(dec, err)
		}
		name := token.String()
		if name == metadataName {
			if err := json.UnmarshalDecode(dec, &metadata); err != nil {
				return nil, nil, headerError(dec, err)
			}
			continue
		}
		if len(entries) == maxTensors {
			return nil, nil, headerError(dec, fmt.Errorf("more than %d tensors", maxTensors))
		}
		e := entry{name: name}
		if err := json.UnmarshalDecode(dec, &e); err != nil {
			return nil, nil, headerError(dec, err)
		}
		if len(e.Offsets) != 2 {
			return nil, nil, headerError(dec, fmt.Errorf("tensor %q: data_offsets are not two numbers", name))
		}
		entries = append(entries, e)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, nil, headerError(dec, err)
	}
	for _, b := range header[dec.InputOffset():] {
		if b != ' ' { // writers pad with blanks
			return nil, nil, headerError(dec, errors.New("something follows its JSON object"))
		}
	}
	return entries, metadata, nil
}

// headerError says where in the header something is wrong.
func headerError(dec *jsontext.Decoder, err error) error {
	return &FormatError{What: fmt.Sprintf("the header, at byte %d", 8+dec.InputOffset()), Err: err}
}

// place finds the tensor's bytes, which begin at byte at of data.
func (e entry) place(data []byte, at uint64) (Tensor, error) {
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin > end || end > uint64(len(data)) {
		return Tensor{}, fmt.Errorf("data_offsets [%d, %d] are not within %d bytes of data", begin, end, len(data))
	}
	if begin != at {
		return Tensor{}, fmt.Errorf("its data begins at %d, that before it ends at %d", begin, at)
	}
	size, err := e.size()
	if err != nil {
		return Tensor{}, err
	}
	if size != end-begin {
		return Tensor{}, fmt.Errorf("%s %v takes %d bytes, but data_offsets [%d, %d] hold %d", e.DType, e.Shape, size, begin,
			end, end-begin)
	}
	shape := make([]int, len(e.Shape))
	for i, n := range e.Shape {
		shape[i] = int(n)
	}
	return Tensor{Name: e.name, DType: e.DType, Shape: shape, Data: data[begin:end:end]}, nil
}

// size is the number of bytes that the tensor's type and shape take.
func (e entry) size() (uint64, error) {
	width := width(e.DType)
	if width == 0 {
		return 0, fmt.Errorf("its dtype %.20q is not supported", e.DType)
	}
	if len(e.Shape) > maxDimensions {
		return 0, fmt.Errorf("it has %d dimensions, at most %d are supported", len(e.Shape), maxDimensions)
	}
	size := width
	for _, n := range e.Shape {
		if n > math.MaxInt32 {
			return 0, fmt.Errorf("dimension %d is over the limit of %d", n, math.MaxInt32)
		}
		if n != 0 && size > math.MaxInt64/n {
			return 0, fmt.Errorf("shape %v is too large", e.Shape)
		}
		size *= n
	}
	return size, nil
}

// width is the number of bytes of an element, 0 for a type that is not whole bytes or not known.
func width(dtype string) uint64 {
	switch dtype {
	case "BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ":
		return 1
	case "I16", "U16", "F16", "BF16":
		return 2
	case "I32", "U32", "F32":
		return 4
	case "I64", "U64", "F64", "C64":
		return 8
	default:
		return 0
	}
}
