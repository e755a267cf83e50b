package model

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The limits of the text files of a model folder.
const (
	maxConfig   = 8 << 20  // bytes of config.json, generation_config.json, sluice.json, a chat template
	maxTokenCfg = 64 << 20 // bytes of tokenizer_config.json, which may list every added token
)

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	if _, err := regularSize(path); err != nil { // opening a pipe would wait for its writer
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: it is over the limit of %d bytes", path, limit)
	}
	return data, nil
}

// readJSON reads the JSON file at path into v. A value of the wrong kind is a *FieldError.
func readJSON(path string, limit int64, v any) error {
	data, err := readFile(path, limit)
	if err != nil {
		return err
	}
	return parseJSON(path, data, v)
}

// parseJSON reads the JSON text of the file at path into v. Members that v lacks are ignored.
func parseJSON(path string, data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		field := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		reason := semantic.Err
		if reason == nil {
			reason = fmt.Errorf("a JSON %s is not what belongs there", semantic.JSONKind)
		}
		return &FieldError{Path: path, Field: field, Err: reason}
	}
	return fmt.Errorf("%s: %w", path, err)
}
