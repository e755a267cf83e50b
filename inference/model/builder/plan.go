package builder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// domainMicrosoft holds ONNX Runtime's own operators.
const domainMicrosoft = "com.microsoft"

// Values of MatMulNBits's accuracy_level.
const (
	accuracyFloat = 1 // dequantise the weights, multiply floats
	accuracyInt8  = 4 // round activations to 8 bits per block, multiply integers: the fast kernels
)

// plan collects a graph and the work that fills its data file. All places in the file are known before the first
// byte is converted.
type plan struct {
	spec   model.Spec
	source model.Source
	form   Form
	parts  map[Part]Form // of another form
	block  int           // values that share a scale, but in the embedding
	// asymmetric says whether 4-bit blocks have offsets.
	asymmetric bool
	// quantised are the products with 4-bit blocks that are rounded, by name.
	quantised map[string]*product
	// accuracy is MatMulNBits's accuracy_level.
	accuracy int
	names    model.Graph // of the graph's inputs and outputs
	graph    onnx.Graph
	layout   onnx.Layout
	jobs     []job
	carried  census
	smooth   smoothing
	scope    string          // names the rows of the activations: all tokens, or the wanted ones
	shared   map[string]bool // names that once has added
}

// job is a piece of work that writes the rows of one or more tensors of equally many rows. fill converts some of
// them: dst[i] takes the rows' bytes of output i. Calls for different rows may run at the same time.
type job struct {
	name    string
	rows    int
	outputs []output
	fill    func(first, rows int, dst [][]byte) error
	written bool // by someone else
}

// output is where a job's rows go in the data file.
type output struct {
	offset   int64
	rowBytes int
	// columns, unless it is 0, says that the file holds the transpose: rowBytes rows of so many bytes, of which the
	// job's rows are columns. fill gives the same transpose of the rows it was asked for.
	columns int
}

// tensorPlan is a tensor whose rows are made by a function. Its type is float32 unless said otherwise.
type tensorPlan struct {
	name string
	typ  onnx.DataType // 0: Float
	dims []int
	fill func(first, rows int, dst []byte) error
}

// rows adds a tensor that is filled by rows of its first dimension.
func (p *plan) rows(t tensorPlan) {
	if t.typ == 0 {
		t.typ = onnx.Float
	}
	init := onnx.Tensor{Name: t.name, Type: t.typ, Dims: int64s(t.dims)}
	size, rowBytes := tensorSize(&init)
	init.External = p.layout.Place(size)
	p.graph.Initializers = append(p.graph.Initializers, init)
	p.jobs = append(p.jobs, job{
		name: t.name, rows: t.dims[0],
		outputs: []output{{offset: init.External.Offset, rowBytes: rowBytes}},
		fill:    func(first, rows int, dst [][]byte) error { return t.fill(first, rows, dst[0]) },
	})
}

// tensorSize is the number of bytes of a tensor and of one of its rows.
func tensorSize(t *onnx.Tensor) (size int64, rowBytes int) {
	size, err := t.ByteSize()
	if err != nil {
		// The dimensions come from a checked Spec and the types from this package.
		panic(fmt.Sprintf("builder: size of %s: %v", t.Name, err))
	}
	return size, int(size / t.Dims[0])
}

// constant adds a small tensor of integers to the graph itself.
func (p *plan) constant(name string, values ...int64) string {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		for shift := range 8 {
			raw = append(raw, byte(v>>(8*shift)))
		}
	}
	p.graph.Initializers = append(p.graph.Initializers, onnx.Tensor{
		Name: name, Type: onnx.Int64, Dims: []int64{int64(len(values))}, Raw: raw,
	})
	return name
}

// once lets add make what is called name unless it is there already, and returns the name.
func (p *plan) once(name string, add func(name string)) string {
	if !p.shared[name] {
		p.shared[name] = true
		add(name)
	}
	return name
}

// node adds an operator with one output, which has the node's name, and returns that name.
func (p *plan) node(name, domain, op string, inputs []string, attributes ...onnx.Attribute) string {
	return p.nodes(name, domain, op, inputs, []string{name}, attributes...)[0]
}

// nodes adds an operator with several outputs and returns their names.
func (p *plan) nodes(name, domain, op string, inputs, outputs []string, attributes ...onnx.Attribute) []string {
	p.graph.Nodes = append(p.graph.Nodes, onnx.Node{
		Name: name, Op: op, Domain: domain, Inputs: inputs, Outputs: outputs, Attributes: attributes,
	})
	return outputs
}

// tensor finds a weight and checks that it has the shape that the model's sizes ask for and the bytes for it.
func (p *plan) tensor(name string, shape ...int) (model.Tensor, error) {
	t, ok := p.source.Tensor(name)
	if !ok {
		return t, &TensorError{Name: name, Reason: "the checkpoint doesn't have it"}
	}
	if !slices.Equal(t.Shape, shape) {
		return t, &TensorError{Name: name, Reason: fmt.Sprintf("shape %v, but the model's sizes ask for %v", t.Shape,
			shape)}
	}
	size, err := t.Type.Bytes(t.Shape)
	if err != nil {
		return t, &TensorError{Name: name, Reason: err.Error()}
	}
	if size != len(t.Data) {
		return t, &TensorError{Name: name, Reason: fmt.Sprintf("%d bytes, but its shape needs %d", len(t.Data), size)}
	}
	return t, nil
}

// vector adds a weight of one dimension as float32: a norm's.
func (p *plan) vector(name string, length int) (string, error) {
	t, err := p.tensor(name, length)
	if err != nil {
		return "", err
	}
	p.rows(tensorPlan{
		name: name, dims: []int{length},
		fill: func(first, rows int, dst []byte) error {
			return floatRows(dst, t, first, rows, p.smooth.rows[strings.TrimSuffix(name, ".weight")]...)
		},
	})
	return name, nil
}

func int64s(v []int) []int64 {
	w := make([]int64, len(v))
	for i := range v {
		w[i] = int64(v[i])
	}
	return w
}
