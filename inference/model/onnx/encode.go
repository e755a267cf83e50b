package onnx

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of onnx.proto, by message. They have no type: the encoder takes them as protowire.Number, the decoder
// as int, whose switches need not name protowire's reserved numbers.
const (
	modelIRVersion       = 1
	modelProducerName    = 2
	modelProducerVersion = 3
	modelGraph           = 7
	modelOpset           = 8
	modelMetadata        = 14

	opsetDomain  = 1
	opsetVersion = 2

	entryKey   = 1
	entryValue = 2

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOp        = 4
	nodeAttribute = 5
	nodeDomain    = 7

	attributeName    = 1
	attributeFloat   = 2
	attributeInt     = 3
	attributeString  = 4
	attributeFloats  = 7
	attributeInts    = 8
	attributeStrings = 9
	attributeType    = 20

	valueName = 1
	valueType = 2

	typeTensor     = 1
	tensorTypeElem = 1
	tensorTypeDims = 2
	shapeDim       = 1
	dimSize        = 1
	dimName        = 2

	tensorDims     = 1
	tensorType     = 2
	tensorName     = 8
	tensorRaw      = 9
	tensorExternal = 13
	tensorLocation = 14

	locationExternal = 1 // TensorProto.DataLocation.EXTERNAL
)

// Marshal encodes the model as a ModelProto. Equal models give equal bytes.
func (m *Model) Marshal() []byte {
	var b buffer
	b.integer(modelIRVersion, m.IRVersion)
	b.text(modelProducerName, m.ProducerName)
	b.text(modelProducerVersion, m.ProducerVersion)
	b.message(modelGraph, m.Graph.encode)
	for _, o := range m.Opsets {
		b.message(modelOpset, func(b *buffer) {
			b.always(opsetDomain, o.Domain)
			b.integer(opsetVersion, o.Version)
		})
	}
	for _, p := range m.Metadata {
		b.property(modelMetadata, p)
	}
	return b
}

func (g *Graph) encode(b *buffer) {
	for i := range g.Nodes {
		b.message(graphNode, g.Nodes[i].encode)
	}
	b.text(graphName, g.Name)
	for i := range g.Initializers {
		b.message(graphInitializer, g.Initializers[i].encode)
	}
	for i := range g.Inputs {
		b.message(graphInput, g.Inputs[i].encode)
	}
	for i := range g.Outputs {
		b.message(graphOutput, g.Outputs[i].encode)
	}
}

func (n *Node) encode(b *buffer) {
	for _, name := range n.Inputs {
		b.always(nodeInput, name)
	}
	for _, name := range n.Outputs {
		b.always(nodeOutput, name)
	}
	b.text(nodeName, n.Name)
	b.text(nodeOp, n.Op)
	for i := range n.Attributes {
		b.message(nodeAttribute, n.Attributes[i].encode)
	}
	b.text(nodeDomain, n.Domain)
}

func (a *Attribute) encode(b *buffer) {
	b.text(attributeName, a.Name)
	switch a.Kind {
	case KindFloat:
		b.float(attributeFloat, a.Float)
	case KindInt:
		b.integer(attributeInt, a.Int)
	case KindString:
		b.always(attributeString, a.Text)
	case KindFloats:
		for _, v := range a.Floats {
			b.float(attributeFloats, v)
		}
	case KindInts:
		for _, v := range a.Ints {
			b.integer(attributeInts, v)
		}
	case KindStrings:
		for _, v := range a.Strings {
			b.always(attributeStrings, v)
		}
	}
	b.integer(attributeType, int64(a.Kind))
}

func (v *Value) encode(b *buffer) {
	b.text(valueName, v.Name)
	b.message(valueType, func(b *buffer) {
		b.message(typeTensor, func(b *buffer) {
			b.integer(tensorTypeElem, int64(v.Type))
			if v.AnyShape {
				return
			}
			b.message(tensorTypeDims, func(b *buffer) {
				for _, d := range v.Shape {
					b.message(shapeDim, d.encode)
				}
			})
		})
	})
}

func (d Dim) encode(b *buffer) {
	switch {
	case d.Name != "":
		b.text(dimName, d.Name)
	case d.Size != 0:
		b.integer(dimSize, d.Size)
	}
}

func (t *Tensor) encode(b *buffer) {
	for _, d := range t.Dims {
		b.integer(tensorDims, d)
	}
	b.integer(tensorType, int64(t.Type))
	b.text(tensorName, t.Name)
	if t.External == nil {
		b.bytes(tensorRaw, t.Raw)
		return
	}
	b.property(tensorExternal, Property{"location", t.External.Location})
	b.property(tensorExternal, Property{"offset", strconv.FormatInt(t.External.Offset, 10)})
	b.property(tensorExternal, Property{"length", strconv.FormatInt(t.External.Length, 10)})
	b.integer(tensorLocation, locationExternal)
}

// buffer is an encoded message that grows at its end.
type buffer []byte

func (b *buffer) integer(n protowire.Number, v int64) {
	*b = protowire.AppendTag(*b, n, protowire.VarintType)
	*b = protowire.AppendVarint(*b, uint64(v))
}

func (b *buffer) float(n protowire.Number, v float32) {
	*b = protowire.AppendTag(*b, n, protowire.Fixed32Type)
	*b = protowire.AppendFixed32(*b, math.Float32bits(v))
}

// text leaves an empty string out, as its absence means the same.
func (b *buffer) text(n protowire.Number, s string) {
	if s != "" {
		b.always(n, s)
	}
}

// always writes a string that counts although it may be empty.
func (b *buffer) always(n protowire.Number, s string) {
	*b = protowire.AppendTag(*b, n, protowire.BytesType)
	*b = protowire.AppendString(*b, s)
}

func (b *buffer) bytes(n protowire.Number, v []byte) {
	*b = protowire.AppendTag(*b, n, protowire.BytesType)
	*b = protowire.AppendBytes(*b, v)
}

func (b *buffer) property(n protowire.Number, p Property) {
	b.message(n, func(b *buffer) {
		b.text(entryKey, p.Key)
		b.text(entryValue, p.Value)
	})
}

func (b *buffer) message(n protowire.Number, encode func(*buffer)) {
	var inner buffer
	encode(&inner)
	b.bytes(n, inner)
}
