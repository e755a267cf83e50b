package model

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/sluiceml/sluice/inference/model/safetensors"
)

// The names of a Hugging Face folder's files.
const (
	configName           = "config.json"
	generationConfigName = "generation_config.json"
	tokenizerName        = "tokenizer.json"        //nolint:gosec // no secret
	tokenizerConfigName  = "tokenizer_config.json" //nolint:gosec // no secret
	chatTemplateName     = "chat_template.jinja"
)

// basePrefix is what most models' tensors begin with that are not of the head.
const basePrefix = "model."

// checkpoint is a Hugging Face folder.
type checkpoint struct {
	folder  *safetensors.Folder
	spec    Spec
	weights map[string]storedWeight // by canonical name
}

// openCheckpoint opens a Hugging Face folder.
func openCheckpoint(dir string) (Source, error) {
	// The config comes first: it says more clearly than the weights what is not supported.
	if _, err := checkpointSpec(dir); err != nil {
		return nil, err
	}
	folder, err := safetensors.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	s, err := newCheckpoint(dir, folder)
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return s, nil
}

// checkpointSpec reads the Spec of a Hugging Face folder.
func checkpointSpec(dir string) (Spec, error) {
	path := filepath.Join(dir, configName)
	config, err := readHFConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Spec{}, fmt.Errorf("%s: neither a GGUF file nor a folder with %s and safetensors: %w", dir, configName, err)
	}
	if err != nil {
		return Spec{}, err
	}
	return config.spec(path)
}

// newCheckpoint reads the model of an opened folder. The source owns the folder only if there is no error.
func newCheckpoint(dir string, folder *safetensors.Folder) (*checkpoint, error) {
	spec, err := checkpointSpec(dir)
	if err != nil {
		return nil, err
	}
	s := &checkpoint{folder: folder, spec: spec, weights: map[string]storedWeight{}}
	if err := s.locate(dir); err != nil {
		return nil, err
	}
	return s, nil
}

// locate finds the weights. It says which tensor is missing, or has another shape or a type that cannot be read.
func (s *checkpoint) locate(dir string) error {
	a, _ := architectureNamed(s.spec.Architecture)
	for _, want := range s.spec.Weights() {
		at := storedWeight{name: want.Name, shape: want.Shape}
		if a.stored != nil {
			at.place = a.stored(&s.spec, want.Name)
		}
		t, ok := s.folder.Tensor(at.name)
		if !ok { // saved without its head, as models for embeddings are
			bare := strings.TrimPrefix(at.name, cmp.Or(a.prefix, basePrefix))
			if t, ok = s.folder.Tensor(bare); ok || a.prefix != "" {
				at.name = bare
			}
		}
		if !ok {
			return fmt.Errorf("%s: the tensor %q is missing", dir, at.name)
		}
		typ, ok := dtype(t.DType)
		if !ok {
			return unsupported(dir, "the tensor %q has the dtype %s, only F32, F16, BF16, F8_E4M3 and F8_E5M2 are supported yet",
				at.name, t.DType)
		}
		if typ.BlockBytes() == 1 {
			if err := s.refuseScales(dir, at.name); err != nil {
				return err
			}
		}
		if err := checkShape(dir, at.name, t.Shape, at.place.shape(want.Shape)); err != nil {
			return err
		}
		s.weights[want.Name] = at
	}
	return nil
}

// refuseScales says that a tensor of 8-bit floats is to be multiplied by another one, which nothing here does.
func (s *checkpoint) refuseScales(dir, name string) error {
	for _, suffix := range []string{"_scale", "_scale_inv", "_scale_2"} {
		if _, ok := s.folder.Tensor(name + suffix); ok {
			return unsupported(dir, "the tensor %q has a scale of its own, %q: 8-bit floats are supported only without", name, name+suffix)
		}
	}
	return nil
}

// Spec implements Source.
func (s *checkpoint) Spec() Spec { return s.spec }

// Close implements Source.
func (s *checkpoint) Close() error {
	return s.folder.Close()
}

// Tensor gives the file's bytes, or a copy of what does not lie there in order.
func (s *checkpoint) Tensor(name string) (Tensor, bool) {
	at, ok := s.weights[name]
	if !ok {
		return Tensor{}, false
	}
	t, ok := s.folder.Tensor(at.name)
	if !ok {
		return Tensor{}, false
	}
	typ, _ := dtype(t.DType)
	return at.take(name, Tensor{Shape: t.Shape, Type: typ, Data: t.Data}, at.shape), true
}

// dtype translates safetensors' name of a type.
func dtype(name string) (Type, bool) {
	switch name {
	case "F32":
		return F32, true
	case "F16":
		return F16, true
	case "BF16":
		return BF16, true
	case "F8_E4M3":
		return F8_E4M3, true
	case "F8_E5M2":
		return F8_E5M2, true
	default:
		return 0, false
	}
}
