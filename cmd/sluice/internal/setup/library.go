package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// FindLibrary is the path of the ONNX Runtime library for a provider: the one that the operator has named, or the cache's. One
// that is named and missing is a *usage.Error, one that is missing from the cache a *NotSetUpError.
func FindLibrary(named string, provider Provider) (string, error) {
	if named == "" {
		cache, err := DefaultCache()
		if err != nil {
			return "", err
		}
		return cache.runtimeLibrary(provider)
	}
	if _, err := os.Stat(named); errors.Is(err, fs.ErrNotExist) {
		return "", usage.Errorf("--onnxruntime: no such file: %s", named)
	} else if err != nil {
		return "", fmt.Errorf("--onnxruntime: %w", err)
	}
	path, err := filepath.Abs(named) // the loader looks for a bare name elsewhere
	if err != nil {
		return "", fmt.Errorf("--onnxruntime: %w", err)
	}
	return path, nil
}
