//go:build !amd64

package ort

import (
	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sluiceml/sluice/inference/model"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
)

// packed would be the matrices of a fused graph; there are no kernels for this processor.
type packed struct{}

func pack(*modelonnx.Model, model.Graph, []byte) (*packed, error) {
	return nil, nil //nolint:nilnil // no kernels are no error
}

func (*packed) open(*Session, *Weights, *onnx.SessionOptions) (executor, *onnx.DynamicAdvancedSession, error) {
	panic("ort: no kernels for this processor")
}

func (*packed) fits(Config) bool { return false }

func (*packed) close() error { return nil }
