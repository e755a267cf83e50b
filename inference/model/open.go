package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// OpenSource opens the checkpoint at path: a GGUF file, or a Hugging Face folder with config.json and safetensors.
// Every tensor that the model needs is there, has its shape and a supported Type; else the error says which is not.
// A model of another architecture is refused with an *UnsupportedError.
func OpenSource(path string) (Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the model: %w", err)
	}
	if !info.IsDir() {
		return openGGUF(path)
	}
	return openCheckpoint(path)
}

// isRegular reports whether path is a file. A missing one is no error.
func isRegular(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Mode().IsRegular(), nil
}
