package ort

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unsafe"

	onnx "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"

	"github.com/sluiceml/sluice/inference/model"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// Weights are one copy of a model's weights for several sessions on the CPU, each with threads of its own: the
// initializers as they lie in the model's data file, which is mapped, and what ONNX Runtime's kernels have packed
// of them. Sessions that share weights must be opened before any of them runs: to open one, kernels pack again into the
// buffers that are shared, with the same bytes at the end. It is safe for concurrent use.
type Weights struct {
	environment *Environment
	model       string
	api         capi
	env         unsafe.Pointer
	container   unsafe.Pointer
	data        []byte // the mapped file
	values      []initializer
	graph       *modelonnx.Model // with hidden states, where it can have them
	hidden      *hidden          // nil: noHidden says why
	noHidden    error
	about       model.Graph

	mu struct {
		sync.Mutex
		tried    bool        // to pack
		packed   *packed     // nil: ONNX Runtime's own operators do all the work, or no session has asked for others
		sessions int         // open ones
		warm     [][]float32 // logits of the first session's first runs
		closed   bool
	}
}

// initializer is a weight as ONNX Runtime sees it, over the mapped file.
type initializer struct {
	name  string
	value *onnx.CustomDataTensor
}

// ErrSharing says that a session on shared weights computes other numbers than the first one did: the kernels of this
// processor cannot share what they pack. Sessions that were opened on those weights must not be used.
var ErrSharing = errors.New("sessions that share weights disagree")

// ShareWeights maps the weights of a model, the path of its .onnx file, for the sessions whose Config names them.
func (e *Environment) ShareWeights(path string, graph model.Graph) (_ *Weights, err error) {
	if err := e.acquire(); err != nil {
		return nil, err
	}
	w := &Weights{environment: e, model: path, about: graph}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("sharing the weights of %s: %w", path, err), w.Close())
		}
	}()
	if w.api, err = loadedAPI(e.library); err != nil {
		return nil, err
	}
	if w.env, err = w.api.newEnv(); err != nil {
		return nil, err
	}
	if w.container, err = w.api.newContainer(); err != nil {
		return nil, err
	}
	if w.data, err = mapFile(filepath.Join(filepath.Dir(path), graph.Data)); err != nil {
		return nil, err
	}
	if w.graph, err = readGraph(path, graph.Data, len(w.data)); err != nil {
		return nil, err
	}
	if with, h, err := withHidden(w.graph, graph); err == nil {
		w.graph, w.hidden = with, h
	} else {
		w.noHidden = err
	}
	for _, t := range externals(w.graph, graph.Data) {
		value, err := onnx.NewCustomDataTensor(onnx.NewShape(t.Dims...),
			w.data[t.External.Offset:][:t.External.Length], onnx.TensorElementDataType(t.Type))
		if err != nil {
			return nil, fmt.Errorf("making a tensor of %s: %w", t.Name, err)
		}
		w.values = append(w.values, initializer{name: t.Name, value: value})
	}
	return w, nil
}

// kernels packs the weights for the operators of package kernels when the first session asks for them. nil: the
// processor, or the graph, is not of the kind.
func (w *Weights) kernels() (*packed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.mu.tried {
		packed, err := pack(w.graph, w.about, w.data)
		if err != nil {
			return nil, err
		}
		w.mu.packed, w.mu.tried = packed, true
	}
	return w.mu.packed, nil
}

// mapFile maps a file for reading. ONNX Runtime does the same with weights that it does not pack; like it, this trusts
// that nobody cuts the file short while it is served.
func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only; the mapping outlives it
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || uint64(info.Size()) > 1<<46 {
		return nil, fmt.Errorf("%s has no weights to map", path)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: path, Err: err}
	}
	return data, nil
}

// readGraph reads a model whose initializers must lie inside their data file of so many bytes.
func readGraph(path, data string, size int) (*modelonnx.Model, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := modelonnx.Unmarshal(raw)
	if err != nil {
		return nil, err
	}
	for _, t := range m.Graph.Initializers {
		if t.External != nil && t.External.Location == data && !inside(t, size) {
			return nil, fmt.Errorf("initializer %s lies outside its file of %d bytes", t.Name, size)
		}
	}
	return m, nil
}

// externals are the initializers of a model that lie in its data file. What is in the graph itself, or has no bytes,
// each session keeps.
func externals(m *modelonnx.Model, data string) []modelonnx.Tensor {
	return slices.DeleteFunc(slices.Clone(m.Graph.Initializers), func(t modelonnx.Tensor) bool {
		return t.External == nil || t.External.Location != data || t.External.Length == 0 || t.Type.Bits()%8 != 0
	})
}

// inside says whether a tensor's bytes are where it says, as many as its shape needs, and aligned.
func inside(t modelonnx.Tensor, size int) bool {
	x, unit := t.External, int64(t.Type.Bits()/8)
	if x.Offset < 0 || x.Length < 0 || x.Offset > int64(size) || x.Length > int64(size)-x.Offset {
		return false
	}
	if unit == 0 { // no whole bytes, or no type that we know: ONNX Runtime's business
		return true
	}
	count := uint64(unit)
	for _, d := range t.Dims {
		high, low := bits.Mul64(count, uint64(d))
		if d < 0 || high != 0 {
			return false
		}
		count = low
	}
	return count == uint64(x.Length) && x.Offset%unit == 0
}

// open makes a session of ONNX Runtime on the weights.
func (w *Weights) open(options *onnx.SessionOptions) (*onnx.DynamicAdvancedSession, error) {
	return w.enter(func() (*onnx.DynamicAdvancedSession, error) {
		for _, v := range w.values {
			if err := w.api.addInitializer(options, v.name, v.value); err != nil {
				return nil, fmt.Errorf("sharing %s: %w", v.name, err)
			}
		}
		if w.hidden == nil {
			return w.api.newSession(w.env, w.model, options, w.container)
		}
		if err := beside(options, w.model); err != nil {
			return nil, err
		}
		return w.api.newSharingSessionOf(w.env, w.graph.Marshal(), options, w.container)
	})
}

// openGraph makes a session of a graph in memory, whose initializers lie in the model's data file: ONNX Runtime maps
// those that it does not pack.
func (w *Weights) openGraph(options *onnx.SessionOptions, graph []byte) (*onnx.DynamicAdvancedSession, error) {
	return w.enter(func() (*onnx.DynamicAdvancedSession, error) {
		if err := beside(options, w.model); err != nil {
			return nil, err
		}
		return w.api.newSessionOf(w.env, graph, options)
	})
}

// enter makes a session and counts it.
func (w *Weights) enter(open func() (*onnx.DynamicAdvancedSession, error)) (*onnx.DynamicAdvancedSession, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed {
		return nil, misuse(ErrClosed, "opening a session on weights")
	}
	session, err := open()
	if err != nil {
		return nil, err
	}
	w.mu.sessions++
	// Most of what was read has been packed and is not read again. What is, comes back from the system's cache.
	if err := unix.Madvise(w.data, adviceDiscard); err != nil {
		w.mu.sessions--
		return nil, errors.Join(fmt.Errorf("giving memory back: %w", err), session.Destroy())
	}
	return session, nil
}

// agree compares the logits of one of a session's first runs with those of the first session on the weights.
func (w *Weights) agree(run int, logits []float32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if run == len(w.mu.warm) {
		w.mu.warm = append(w.mu.warm, slices.Clone(logits))
	}
	if !slices.Equal(logits, w.mu.warm[run]) {
		return ErrSharing
	}
	return nil
}

// leave counts a session's end.
func (w *Weights) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.sessions--
}

// Close gives the weights back. It must be called exactly once, after the last session on them has closed.
func (w *Weights) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed {
		return misuse(ErrClosed, "closing weights")
	}
	if w.mu.sessions > 0 {
		return misuse(ErrInUse, fmt.Sprintf("closing weights: %d sessions are open", w.mu.sessions))
	}
	w.mu.closed = true
	var errs error
	for _, v := range w.values {
		errs = errors.Join(errs, v.value.Destroy())
	}
	errs = errors.Join(errs, w.mu.packed.close())
	if w.container != nil {
		w.api.releaseContainer(w.container)
	}
	if w.env != nil {
		w.api.releaseEnv(w.env)
	}
	if w.data != nil {
		if err := unix.Munmap(w.data); err != nil {
			errs = errors.Join(errs, fmt.Errorf("munmap: %w", err))
		}
	}
	w.environment.release()
	return errs
}
