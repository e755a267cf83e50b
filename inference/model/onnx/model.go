package onnx

import "strconv"

// Model is an ONNX ModelProto.
type Model struct {
	IRVersion       int64
	ProducerName    string
	ProducerVersion string
	Opsets          []Opset
	Graph           Graph
	Metadata        []Property // in the order that they are written
}

// Opset says which version of a domain's operators the graph means. The empty domain is ONNX's own.
type Opset struct {
	Domain  string
	Version int64
}

// Property is a key and a value: metadata of a model.
type Property struct{ Key, Value string }

// Graph is an ONNX GraphProto. Its nodes are in topological order.
type Graph struct {
	Name         string
	Nodes        []Node
	Inputs       []Value
	Outputs      []Value
	Initializers []Tensor
}

// Node is one operator. An empty name among the inputs or outputs stands for an optional one that is left out.
type Node struct {
	Name       string
	Op         string
	Domain     string
	Inputs     []string
	Outputs    []string
	Attributes []Attribute
}

// Value is an input or an output of a graph.
type Value struct {
	Name     string
	Type     DataType
	Shape    []Dim // empty: a scalar
	AnyShape bool  // nothing is known of the shape, which is empty then
}

// Dim is one size of a shape: a number, or a name for a size that varies. The zero value is a size that nothing is
// known about.
type Dim struct {
	Size int64
	Name string
}

// Fixed is a dimension of a known size.
func Fixed(size int) Dim { return Dim{Size: int64(size)} }

// Named is a dimension whose size varies; equal names mean equal sizes.
func Named(name string) Dim { return Dim{Name: name} }

// String is the name, the size, or "?".
func (d Dim) String() string {
	switch {
	case d.Name != "":
		return d.Name
	case d.Size != 0:
		return strconv.FormatInt(d.Size, 10)
	default:
		return "?"
	}
}

// Tensor is an initializer. Its bytes, little-endian and row-major, are in the graph (Raw) or in a data file
// (External); two tensors may name the same range of a data file.
type Tensor struct {
	Name     string
	Type     DataType
	Dims     []int64
	Raw      []byte
	External *External
}

// External is a range of a data file.
type External struct {
	Location string // name of the file, relative to the model's folder
	Offset   int64
	Length   int64
}

// DataType is the type of a tensor's elements, numbered as in onnx.proto.
type DataType int32

// The data types that decoders use, of any exporter.
const (
	Float    DataType = 1
	Uint8    DataType = 2
	Int8     DataType = 3
	Uint16   DataType = 4
	Int16    DataType = 5
	Int32    DataType = 6
	Int64    DataType = 7
	Bool     DataType = 9
	Float16  DataType = 10
	Double   DataType = 11
	Uint32   DataType = 12
	Uint64   DataType = 13
	BFloat16 DataType = 16
	Uint4    DataType = 21
	Int4     DataType = 22
)

// Bits is the width of one element, or 0 if the type is none of those above.
func (t DataType) Bits() int {
	switch t {
	case Float, Int32, Uint32:
		return 32
	case Int64, Uint64, Double:
		return 64
	case Float16, BFloat16, Int16, Uint16:
		return 16
	case Uint8, Int8, Bool:
		return 8
	case Uint4, Int4:
		return 4
	default:
		return 0
	}
}

// String is the type's name in lower case, as ONNX writes it in type strings.
func (t DataType) String() string {
	switch t {
	case Float:
		return "float"
	case Uint8:
		return "uint8"
	case Int8:
		return "int8"
	case Uint16:
		return "uint16"
	case Int16:
		return "int16"
	case Double:
		return "double"
	case Uint32:
		return "uint32"
	case Uint64:
		return "uint64"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	case Bool:
		return "bool"
	case Float16:
		return "float16"
	case BFloat16:
		return "bfloat16"
	case Uint4:
		return "uint4"
	case Int4:
		return "int4"
	default:
		return "type(" + strconv.Itoa(int(t)) + ")"
	}
}
