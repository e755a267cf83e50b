package ort

import (
	"errors"
	"fmt"
	"slices"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/model"
)

// lane is one shape of run: the tensors for the graph's inputs and outputs, bound once and used again by every run of
// that shape. The tensors lie over the session's memory, so that filling that memory is all there is to do before a
// run.
type lane struct {
	session         *onnx.DynamicAdvancedSession
	names           *names
	inputs, outputs []onnx.Value // as names has them
	// binding is nil where bound inputs would be copied to the device once, when they are bound; there the tensors are
	// handed over at each run.
	binding *onnx.IoBinding
}

// names are the graph's inputs and outputs in the order of a lane's tensors.
type names struct{ inputs, outputs []string }

// The places in names.inputs and names.outputs; the keys and values of the layers follow.
const (
	inIDs     = 0
	inLengths = 1
	inTotal   = 2
	inIndex   = 3

	outLogits = 0
)

// newNames spells the names out, layer by layer, in the order of the cache's buffers: key and value of each in turn; of
// a hybrid graph the rows', and then the chunk's.
func newNames(g model.Graph) *names {
	if g.Masked != nil {
		return maskedNames(g)
	}
	n := &names{
		inputs:  []string{inIDs: g.InputIDs, inLengths: g.SeqlensK, inTotal: g.TotalSequenceLength, inIndex: g.LogitsIndices},
		outputs: []string{outLogits: g.Logits},
	}
	past := []string{g.PastKey, g.PastValue}
	present := []string{g.PresentKey, g.PresentValue}
	if h := g.Hybrid; h != nil {
		n.inputs = append(n.inputs, h.Split, h.RowsShape, h.SeqlensK, h.TotalSequenceLength)
		past, present = append(past, h.PastKey, h.PastValue), append(present, h.PresentKey, h.PresentValue)
	}
	for layer := range g.Layers {
		for i := range past {
			n.inputs = append(n.inputs, fmt.Sprintf(past[i], layer))
			n.outputs = append(n.outputs, fmt.Sprintf(present[i], layer))
		}
	}
	return n
}

// newLane binds tensors. The lane does not own them.
func newLane(
	session *onnx.DynamicAdvancedSession, names *names, bind bool, inputs, outputs []onnx.Value,
) (*lane, error) {
	l := &lane{session: session, names: names, inputs: inputs, outputs: outputs}
	if !bind {
		return l, nil
	}
	var err error
	if l.binding, err = session.CreateIoBinding(); err != nil {
		return nil, fmt.Errorf("creating a binding: %w", err)
	}
	for i, value := range inputs {
		if err := l.binding.BindInput(names.inputs[i], value); err != nil {
			return nil, errors.Join(fmt.Errorf("binding input %s: %w", names.inputs[i], err), l.close())
		}
	}
	for i, value := range outputs {
		if err := l.binding.BindOutput(names.outputs[i], value); err != nil {
			return nil, errors.Join(fmt.Errorf("binding output %s: %w", names.outputs[i], err), l.close())
		}
	}
	return l, nil
}

// setInput puts another tensor in an input's place.
func (l *lane) setInput(i int, value onnx.Value) error {
	if l.inputs[i] == value {
		return nil
	}
	if l.binding != nil {
		if err := l.binding.BindInput(l.names.inputs[i], value); err != nil {
			return fmt.Errorf("binding input %s: %w", l.names.inputs[i], err)
		}
	}
	l.inputs[i] = value
	return nil
}

// setOutput puts another tensor in an output's place.
func (l *lane) setOutput(i int, value onnx.Value) error {
	if l.outputs[i] == value {
		return nil
	}
	if l.binding != nil {
		if err := l.binding.BindOutput(l.names.outputs[i], value); err != nil {
			return fmt.Errorf("binding output %s: %w", l.names.outputs[i], err)
		}
	}
	l.outputs[i] = value
	return nil
}

// run computes.
func (l *lane) run() error {
	if l.binding == nil {
		return l.session.Run(l.inputs, l.outputs)
	}
	return l.session.RunWithBinding(l.binding)
}

// close frees the binding.
func (l *lane) close() error {
	if l == nil || l.binding == nil {
		return nil
	}
	return l.binding.Destroy()
}

// tensors makes tensors over memory outside Go's heap and destroys them together.
type tensors struct{ all []onnx.Value }

// newTensor makes a tensor of a shape over the beginning of data.
func newTensor[T onnx.TensorData](owner *tensors, data []T, shape ...int64) (onnx.Value, error) {
	t, err := onnx.NewTensor(onnx.NewShape(shape...), data)
	if err != nil {
		return nil, fmt.Errorf("making a tensor of shape %v: %w", shape, err)
	}
	owner.all = append(owner.all, t)
	return t, nil
}

// close destroys the tensors, the last one first. No binding may hold one any more.
func (t *tensors) close() error {
	var errs error
	for _, tensor := range slices.Backward(t.all) {
		errs = errors.Join(errs, tensor.Destroy())
	}
	t.all = nil
	return errs
}
