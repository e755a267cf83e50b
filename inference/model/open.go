package model

import (
	"fmt"
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

// regularSize gives the size of a file. A folder or a device is an error.
func regularSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file", path)
	}
	return info.Size(), nil
}
