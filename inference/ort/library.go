package ort

/*
#cgo linux LDFLAGS: -ldl

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// The one symbol that the library exports, and the head of what it returns: OrtApiBase of onnxruntime_c_api.h, which
// has never changed and is how every version is asked for its API.
typedef struct {
	const void *(*get_api)(uint32_t version);
	const char *(*get_version_string)(void);
} api_base;

typedef const api_base *(*get_api_base)(void);

// library_version loads a library and returns its version, or NULL with the reason in *failure. The library stays
// loaded if and only if *handle is set.
static const char *library_version(const char *path, void **handle, const char **failure) {
	*handle = dlopen(path, RTLD_LAZY);
	if (!*handle) {
		*failure = dlerror();
		return NULL;
	}
	get_api_base base = (get_api_base)dlsym(*handle, "OrtGetApiBase");
	if (!base || !base()) {
		*failure = "it exports no OrtGetApiBase, so it is not ONNX Runtime";
		return NULL;
	}
	return base()->get_version_string();
}
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"
)

// oldestMinor is the first 1.x release that has the C API (24) for which onnxruntime_go is compiled.
const oldestMinor = 24

// libraryVersion is the version of the ONNX Runtime library at path. A library that is not there, cannot be loaded, is
// something else or is too old is a [LibraryError]. (The binding would print to stderr and say "2" to an old one.)
func libraryVersion(path string) (string, error) {
	fail := func(err error) (string, error) { return "", &LibraryError{Path: path, Err: err} }
	if _, err := os.Stat(path); err != nil {
		return fail(err)
	}
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	var handle unsafe.Pointer
	var failure *C.char
	cVersion := C.library_version(cPath, &handle, &failure) //nolint:gocritic // it reads what cgo makes of this
	if handle != nil {
		defer C.dlclose(handle)
	}
	if cVersion == nil {
		return fail(errors.New(C.GoString(failure)))
	}
	version := C.GoString(cVersion)
	if err := checkVersion(version); err != nil {
		return fail(err)
	}
	return version, nil
}

// checkVersion accepts the releases 1.24 and later, and later majors.
func checkVersion(version string) error {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return fmt.Errorf("its version %q is not understood", version)
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return fmt.Errorf("its version %q is not understood", version)
	}
	if major < 1 || major == 1 && minor < oldestMinor {
		return &VersionError{Found: version, Needed: fmt.Sprintf("1.%d", oldestMinor)}
	}
	return nil
}
