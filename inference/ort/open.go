package ort

import (
	"errors"
	"fmt"
	"slices"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/ort/kernels"
	"github.com/sluiceml/sluice/inference/runner"
)

// Open loads a model and runs it once, so that a graph that is not as described fails here. A device that cannot be
// used is a [DeviceError].
func (e *Environment) Open(config Config) (_ *Session, err error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if err := e.acquire(); err != nil {
		return nil, err
	}
	s := &Session{environment: e, config: config, names: newNames(config.Graph)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("opening %s: %w", config.Model, err), s.Close())
		}
	}()
	if err = s.load(); err != nil {
		return nil, err
	}
	if err = s.begin(); err != nil {
		return nil, err
	}
	return s, nil
}

// begin takes memory and runs the model once.
func (s *Session) begin() error {
	c := s.config
	s.decode = make([]*lane, c.Slots+1)
	s.chunk, s.stateLanes = make([]*lane, c.Slots), make([]*lane, c.Slots)
	s.chunkIDs = make([]onnx.Value, max(c.MaxChunk, 2)+1)
	if err := s.reserve(); err != nil {
		return err
	}
	s.limits = s.findLimits()
	// Both paths of a step, so that a graph that is not as described fails here. The chunk is short: a long one takes as
	// long as the next, and would be half of the time to open a model; what the first long prompt finds cold is a
	// tenth of its own time.
	for i, step := range []runner.Step{
		{Decode: []runner.DecodeRow{{}}},
		{Chunks: []runner.Chunk{{Tokens: make([]uint32, min(2, c.MaxChunk)), Logits: true}}},
	} {
		logits, err := s.Step(step)
		if err != nil {
			return fmt.Errorf("first run: %w", err)
		}
		if c.Weights != nil {
			rows := slices.Concat(logits.Decode, logits.Chunks)
			if err := c.Weights.agree(i, rows[0]); err != nil {
				return err
			}
		}
	}
	s.ReleaseSlot(0)
	return nil
}

// Renew gives the session new memory, in which every slot and the prefix store is empty, on the model that it has
// loaded: what a failed step leaves undefined is gone. After an error the session can only be renewed or closed.
func (s *Session) Renew() error {
	if s.closed {
		return misuse(ErrClosed, "renewing a session")
	}
	if err := errors.Join(s.end(), s.begin()); err != nil {
		return fmt.Errorf("renewing the session of %s: %w", s.config.Model, err)
	}
	return nil
}

// reserve takes address space for keys, values, inputs and logits.
func (s *Session) reserve() (err error) {
	c := s.config
	switch {
	case s.fused: // the executor came with the graph
	case c.Graph.Hybrid != nil:
		s.executor = newHybrid(s)
	case c.Graph.Masked != nil:
		s.executor = newMasked(s)
	}
	if s.executor != nil {
		return s.executor.reserve()
	}
	if s.cache, err = newCache[float32](c.Slots, c.MaxLength, c.Graph); err != nil {
		return err
	}
	if s.prefixes, err = reservePrefixes(&c, s.cache, nil); err != nil {
		return err
	}
	if s.buffers, err = newBuffers(c, &s.tensors); err != nil || s.hidden == nil {
		return err
	}
	states := max(c.MaxChunk+1, c.Slots, runner.MaxRows) // as many indices serve all that is wanted
	s.states, err = newStateBuffer(s.hidden, states, states)
	return err
}

// executor runs a session's steps by another graph than the one that doc.go describes.
type executor interface {
	// limit says what the session can do beyond holding its slots, and what a position takes.
	limit(l *runner.Limits)
	// reserve takes address space for keys, values, inputs, logits and the prefix store. It may be called again after
	// free.
	reserve() error
	step(step runner.Step) (runner.Logits, error)
	copySlot(dst, src, length int)
	release(slot int) error
	save(slot, past int, blocks []int) error
	load(slot int, blocks []int, length int)
	// unbind gives back what refers to tensors, which are freed after it, and free the memory below them.
	unbind() error
	free() error
	// close gives back what is left, after ONNX Runtime's session.
	close()
}

// ownWeights packs the session's weights for the kernels; nil if they are not of the kind. What is wrong with a model,
// ONNX Runtime says best.
func (s *Session) ownWeights() (*Weights, error) {
	w, err := s.environment.ShareWeights(s.config.Model, s.config.Graph)
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // as above
	}
	p, err := w.kernels()
	if err != nil || !p.fits(s.config) {
		return nil, w.Close() //nolint:nilerr // as above
	}
	s.own = w
	return w, nil
}

// load makes ONNX Runtime's session.
func (s *Session) load() (err error) {
	c := s.config
	options, err := sessionOptions(c.Device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, options.Destroy()) }()
	weights := c.Weights
	if weights == nil && c.Device.Provider == CPU && c.Graph.Masked == nil && !c.NoKernels && kernels.Supported() {
		if weights, err = s.ownWeights(); err != nil {
			return err
		}
	}
	var p *packed
	if weights != nil && !c.NoKernels {
		if p, err = weights.kernels(); err != nil {
			return err
		}
	}
	switch {
	case p.fits(c):
		s.hidden, s.noHidden, s.fused = weights.hidden, weights.noHidden, true
		s.executor, s.session, err = p.open(s, weights, options)
	case c.Weights != nil:
		if s.noHidden = weights.noHidden; s.noHidden == nil {
			s.setHidden(weights.hidden)
		}
		s.session, err = weights.open(options)
	default:
		s.session, err = s.openAlone(options)
	}
	if err != nil {
		err = fmt.Errorf("loading: %w", err)
		if c.Device.Provider != CPU {
			err = &DeviceError{Device: c.Device, Err: err} // its libraries load here
		}
		return err
	}
	return nil
}

// Close frees the session. It must be called exactly once.
func (s *Session) Close() error {
	if s.closed {
		return misuse(ErrClosed, "closing a session")
	}
	s.closed = true
	errs := s.end()
	if s.session != nil {
		errs = errors.Join(errs, s.session.Destroy())
		if s.config.Weights != nil {
			s.config.Weights.leave()
		}
	}
	if s.executor != nil {
		s.executor.close()
	}
	if s.own != nil {
		if s.session != nil && s.executor != nil {
			s.own.leave()
		}
		errs = errors.Join(errs, s.own.Close())
	}
	s.environment.release()
	return errs
}

// end gives the memory of begin back, as far as that came.
func (s *Session) end() error {
	errs := s.released
	for _, l := range slices.Concat(s.decode, s.chunk, s.stateLanes) {
		errs = errors.Join(errs, l.close())
	}
	if s.executor != nil {
		errs = errors.Join(errs, s.executor.unbind())
	}
	errs = errors.Join(errs, s.tensors.close())
	if s.buffers != nil {
		errs = errors.Join(errs, s.buffers.region.free())
	}
	errs = errors.Join(errs, s.states.free(), s.prefixes.free())
	if s.cache != nil {
		errs = errors.Join(errs, s.cache.free())
	}
	if s.executor != nil {
		errs = errors.Join(errs, s.executor.free())
	}
	s.decode, s.chunk, s.stateLanes, s.chunkIDs, s.states = nil, nil, nil, nil, nil
	s.cache, s.buffers, s.prefixes, s.released = nil, nil, prefixes{}, nil
	return errs
}
