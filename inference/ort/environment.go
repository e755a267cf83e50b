package ort

import (
	"errors"
	"fmt"
	"os"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"
)

// Environment is the loaded ONNX Runtime library. onnxruntime_go and the library have one per process; the program
// opens it once and closes it after its sessions. It is safe for concurrent use.
type Environment struct {
	library string // its path
	version string

	mu struct {
		sync.Mutex
		sessions int // open ones, and weights that are shared
		closed   bool
	}
}

// flashSwitch is the environment variable that ONNX Runtime 1.32 reads when it makes the attention operator of the
// CPU. Its blocked ("flash") attention cuts a chunk into blocks of queries, and a last block of one query adds up in
// another order than one of several: the logits of a prompt would depend on how long its chunks were, by 1e-6 in
// float32 and by tenths where 8-bit activations round differently after it. Without blocks all chunk lengths but one
// token agree bitwise, and a chunk of 128 tokens is faster too; it takes heads · chunk · MaxLength · 4 bytes of scratch.
const flashSwitch = "ORT_GQA_DISABLE_FLASH_ATTENTION"

// OpenEnvironment loads the ONNX Runtime library of a path. Its error is a [LibraryError] if the library is at fault,
// and wraps [ErrInUse] if an environment is open already. It sets ORT_GQA_DISABLE_FLASH_ATTENTION=1 in the process's
// environment unless that is set: another value gives up that logits do not depend on the chunks of a prompt. It also
// bounds what C's heap keeps of freed memory, in the whole process: glibc takes pieces from 4 MiB on from the system and
// gives free ends back from 8 MiB on, unless MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ or GLIBC_TUNABLES say otherwise.
// The binding keeps its state in globals: no two goroutines may open or close environments at the same time.
func OpenEnvironment(library string) (*Environment, error) {
	if onnx.IsInitialized() {
		return nil, fmt.Errorf("opening ONNX Runtime: an environment is %w", ErrInUse)
	}
	version, err := libraryVersion(library)
	if err != nil {
		return nil, err
	}
	if _, set := os.LookupEnv(flashSwitch); !set {
		if err := os.Setenv(flashSwitch, "1"); err != nil {
			return nil, fmt.Errorf("opening ONNX Runtime: %w", err)
		}
	}
	boundHeap()
	onnx.SetSharedLibraryPath(library)
	if err := onnx.InitializeEnvironment(onnx.WithLogLevelError()); err != nil {
		return nil, &LibraryError{Path: library, Err: err}
	}
	return &Environment{library: library, version: version}, nil
}

// Version is the version of the library, such as "1.32.0".
func (e *Environment) Version() string { return e.version }

// Close unloads the library. It must be called exactly once, after the last session has closed.
func (e *Environment) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.closed {
		return misuse(ErrClosed, "closing the environment")
	}
	if e.mu.sessions > 0 {
		return misuse(ErrInUse, fmt.Sprintf("closing the environment: %d sessions are open", e.mu.sessions))
	}
	e.mu.closed = true
	if err := onnx.DestroyEnvironment(); err != nil {
		return fmt.Errorf("closing ONNX Runtime: %w", err)
	}
	return nil
}

// acquire counts a session.
func (e *Environment) acquire() error {
	if e == nil {
		return errors.New("ort: no environment")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.closed {
		return misuse(ErrClosed, "opening a session")
	}
	e.mu.sessions++
	return nil
}

// release counts a session's end, after everything of it was freed.
func (e *Environment) release() {
	trimHeap()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.sessions--
}
