package onnx

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is wrapped by every error about bytes that are no ONNX model.
var ErrMalformed = errors.New("malformed ONNX model")

// maxMessage is protobuf's own limit on one message.
const maxMessage = math.MaxInt32

// Unmarshal decodes a ModelProto: its graph, the shapes and places of its initializers and the bytes of those that
// the model holds itself as raw data. What Model has no field for is skipped: subgraphs, tensors in attributes,
// values in typed fields. The result shares memory with data.
//
// The data may come from anywhere. Malformed bytes give an error that wraps ErrMalformed; memory taken is
// proportional to len(data).
func Unmarshal(data []byte) (*Model, error) {
	if len(data) > maxMessage {
		return nil, fmt.Errorf("%w: %d bytes are more than a message may have", ErrMalformed, len(data))
	}
	var m Model
	if err := each(data, m.field); err != nil {
		return nil, fmt.Errorf("decode model: %w", err)
	}
	if m.IRVersion == 0 || len(m.Graph.Nodes) == 0 {
		return nil, fmt.Errorf("decode model: %w: it has no IR version or no nodes", ErrMalformed)
	}
	return &m, nil
}

func (m *Model) field(f field) error {
	switch f.number {
	case modelIRVersion:
		return f.setInt(&m.IRVersion)
	case modelProducerName:
		return f.setText(&m.ProducerName)
	case modelProducerVersion:
		return f.setText(&m.ProducerVersion)
	case modelGraph:
		return f.message(m.Graph.field)
	case modelOpset:
		return element(&m.Opsets, f, func(o *Opset, f field) error {
			switch f.number {
			case opsetDomain:
				return f.setText(&o.Domain)
			case opsetVersion:
				return f.setInt(&o.Version)
			}
			return nil
		})
	case modelMetadata:
		return element(&m.Metadata, f, (*Property).field)
	}
	return nil
}

func (p *Property) field(f field) error {
	switch f.number {
	case entryKey:
		return f.setText(&p.Key)
	case entryValue:
		return f.setText(&p.Value)
	}
	return nil
}

func (g *Graph) field(f field) error {
	switch f.number {
	case graphNode:
		return element(&g.Nodes, f, (*Node).field)
	case graphName:
		return f.setText(&g.Name)
	case graphInitializer:
		return element(&g.Initializers, f, (*Tensor).field)
	case graphInput:
		return element(&g.Inputs, f, (*Value).field)
	case graphOutput:
		return element(&g.Outputs, f, (*Value).field)
	}
	return nil
}

func (n *Node) field(f field) error {
	switch f.number {
	case nodeInput:
		return f.addText(&n.Inputs)
	case nodeOutput:
		return f.addText(&n.Outputs)
	case nodeName:
		return f.setText(&n.Name)
	case nodeOp:
		return f.setText(&n.Op)
	case nodeAttribute:
		return element(&n.Attributes, f, (*Attribute).field)
	case nodeDomain:
		return f.setText(&n.Domain)
	}
	return nil
}

func (a *Attribute) field(f field) error {
	switch f.number {
	case attributeName:
		return f.setText(&a.Name)
	case attributeFloat:
		return f.setFloat(&a.Float)
	case attributeInt:
		return f.setInt(&a.Int)
	case attributeString:
		return f.setText(&a.Text)
	case attributeFloats:
		return scalars(&a.Floats, f, protowire.Fixed32Type, field.float)
	case attributeInts:
		return scalars(&a.Ints, f, protowire.VarintType, field.integer)
	case attributeStrings:
		return f.addText(&a.Strings)
	case attributeType:
		v, err := f.integer()
		a.Kind = AttributeKind(v)
		return err
	}
	return nil
}

func (v *Value) field(f field) error {
	switch f.number {
	case valueName:
		return f.setText(&v.Name)
	case valueType:
		return f.message(func(f field) error {
			if f.number != typeTensor {
				return nil
			}
			v.AnyShape = len(v.Shape) == 0
			return f.message(v.tensorField)
		})
	}
	return nil
}

func (v *Value) tensorField(f field) error {
	switch f.number {
	case tensorTypeElem:
		return f.setType(&v.Type)
	case tensorTypeDims:
		v.AnyShape = false
		return f.message(func(f field) error {
			if f.number != shapeDim {
				return nil
			}
			return element(&v.Shape, f, func(d *Dim, f field) error {
				switch f.number {
				case dimSize:
					return f.setInt(&d.Size)
				case dimName:
					return f.setText(&d.Name)
				}
				return nil
			})
		})
	}
	return nil
}

func (t *Tensor) field(f field) error {
	switch f.number {
	case tensorDims:
		return scalars(&t.Dims, f, protowire.VarintType, field.integer)
	case tensorType:
		return f.setType(&t.Type)
	case tensorName:
		return f.setText(&t.Name)
	case tensorRaw:
		return f.setBytes(&t.Raw)
	case tensorExternal:
		var p Property
		if err := f.message(p.field); err != nil {
			return err
		}
		return t.external(p)
	}
	return nil
}

// external takes one entry of a tensor's external data.
func (t *Tensor) external(p Property) error {
	if t.External == nil {
		t.External = &External{}
	}
	var err error
	switch p.Key {
	case "location":
		t.External.Location = p.Value
	case "offset":
		t.External.Offset, err = strconv.ParseInt(p.Value, 10, 64)
	case "length":
		t.External.Length, err = strconv.ParseInt(p.Value, 10, 64)
	}
	if err != nil {
		return fmt.Errorf("%w: %s of a tensor's external data is not a number", ErrMalformed, p.Key)
	}
	return nil
}
