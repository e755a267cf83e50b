package builder

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

const (
	irVersion = 10
	opset     = 21
)

// Build converts a checkpoint: it writes model.onnx, model.onnx.data and sluice.json into outDir, which it makes if
// need be, replacing files of these names. The same source, options and version of this package give the same bytes.
// Memory is bounded by the number of workers, not by the size of the model.
//
// Errors of the model are a *SpecError, *TensorError, *ArchitectureError or one of model's own, those of the options
// a *FormError. After an error, or when ctx is done, the folder's contents are undefined; sluice.json is written last
// of all.
func Build(ctx context.Context, src model.Source, outDir string, opts Options) (model.Manifest, error) {
	p, err := layOut(ctx, src, opts)
	if err != nil {
		return model.Manifest{}, err
	}
	if err := os.MkdirAll(outDir, 0o755); err != nil { //nolint:gosec // a model is not a secret
		return model.Manifest{}, fmt.Errorf("make model folder: %w", err)
	}
	if err := p.write(ctx, outDir, opts); err != nil {
		return model.Manifest{}, err
	}
	m := model.NewManifest(p.plan.spec, opts.Version)
	m.Name, m.Source, m.Graph, m.Pooling = opts.Name, opts.Source, p.plan.names, opts.Pooling
	m.Quantization = p.quantization()
	m.Options = opts.described(&p.plan)
	if err := m.Write(outDir); err != nil {
		return model.Manifest{}, err
	}
	return m, nil
}

// laidOut is a model that is laid out but not written: its graph, and how large its weights will be.
type laidOut struct {
	model onnx.Model
	plan  plan
}

// layOut lays out the model that Build would write. It reads no weight unless FormRow8 is to be calibrated.
func layOut(ctx context.Context, src model.Source, opts Options) (*laidOut, error) {
	p, err := emptyPlan(src, &opts)
	if err != nil {
		return nil, err
	}
	if p.form == FormRow8 && len(opts.Calibration) > 0 {
		seen, err := calibrate(ctx, src, p.spec.ContextLength, &opts)
		if err != nil {
			return nil, err
		}
		p.smooth = newSmoothing(seen, p.spec.Layers)
		p.names = hybridNames(p.spec)
		p.storeScales(seen)
	}
	if err := p.build(); err != nil {
		return nil, err
	}
	if opts.Layout == LayoutGenAI {
		p.mask()
	}
	return &laidOut{
		plan: *p,
		model: onnx.Model{
			IRVersion: irVersion, ProducerName: "sluice", ProducerVersion: opts.Version,
			Opsets: []onnx.Opset{{Version: opset}, {Domain: domainMicrosoft, Version: 1}},
			Graph:  p.graph,
		},
	}, nil
}

// newPlan lays out a model that needs no calibration for it.
func newPlan(src model.Source, opts *Options) (*plan, error) {
	p, err := emptyPlan(src, opts)
	if err != nil {
		return nil, err
	}
	return p, p.build()
}

// emptyPlan is a plan whose model and options have been checked.
func emptyPlan(src model.Source, opts *Options) (*plan, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	spec := src.Spec()
	if opts.ContextLength > 0 {
		spec.ContextLength = min(spec.ContextLength, opts.ContextLength)
	}
	if _, ok := architectures()[spec.Architecture]; !ok {
		return nil, &ArchitectureError{Architecture: spec.Architecture}
	}
	p := &plan{
		spec: spec, source: src, form: opts.form(), parts: opts.Parts, block: cmp.Or(opts.BlockSize, blockLength),
		asymmetric: opts.Asymmetric, quantised: map[string]*product{},
		names: model.DefaultGraph(spec), graph: onnx.Graph{Name: spec.Architecture},
		shared: map[string]bool{}, scope: "tokens", accuracy: cmp.Or(opts.accuracy, accuracyInt8),
	}
	p.layout.Location = p.names.Data
	return p, p.checkSpec()
}

// build adds the graph.
func (p *plan) build() error {
	if err := architectures()[p.spec.Architecture](p); err != nil {
		return fmt.Errorf("lay out %s: %w", p.spec.Architecture, err)
	}
	return nil
}

// dataSize is the length of the data file.
func (p *laidOut) dataSize() int64 { return p.plan.layout.Size() }

// quantization names the form of the projections' weights, as sluice.json has it: "float32", "int8" (rounded to
// 8-bit blocks), or the type whose blocks are carried over, such as "q4_1". Several are joined by "+", that of the
// most values first.
func (p *laidOut) quantization() string { return p.plan.carried.name() }

// write puts the graph and the weights into a folder.
func (p *laidOut) write(ctx context.Context, dir string, opts Options) (err error) {
	data, err := os.Create(filepath.Join(dir, p.plan.names.Data))
	if err != nil {
		return fmt.Errorf("create weights: %w", err)
	}
	defer func() {
		if closeErr := data.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("close weights: %w", closeErr)
		}
	}()
	if err := data.Truncate(p.dataSize()); err != nil {
		return fmt.Errorf("reserve %d bytes for weights: %w", p.dataSize(), err)
	}
	done := p.plan.meter(opts.Progress)
	if opts.method() == MethodGPTQ && len(p.plan.quantised) > 0 {
		if err := p.plan.gptq(ctx, data, &opts, done); err != nil {
			return err
		}
	}
	if err := write(ctx, data, p.plan.jobs, opts.workers(), done); err != nil {
		return err
	}
	//nolint:gosec // a model is not a secret; the folder's mode says who may read it
	if err := os.WriteFile(filepath.Join(dir, p.plan.names.File), p.model.Marshal(), 0o644); err != nil {
		return fmt.Errorf("write graph: %w", err)
	}
	return nil
}
