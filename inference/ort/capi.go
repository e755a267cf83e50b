package ort

/*
#cgo linux LDFLAGS: -ldl

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// What onnxruntime_go lacks of the C API, and what that needs. OrtApi is a table of pointers to functions that only
// grows. Its header lies in another module, out of reach of this package's cgo, so the functions are taken by their
// places in the table; TestAPIPlaces compares these with the header.
enum {
	place_get_error_message = 2,
	place_create_env = 3,
	place_create_session_of = 8,
	place_release_env = 92,
	place_release_status = 93,
	place_release_domain = 101,
	place_add_initializer = 150,
	place_create_container = 166,
	place_release_container = 167,
	place_create_session = 168,
	place_create_sharing_session_of = 169,
};

// The version of the table that onnxruntime_go asks for too. All of the above is older.
enum { table_version = 24, log_errors = 3 };

typedef struct {
	const void *const *(*get_api)(uint32_t version);
	const char *(*get_version_string)(void);
} table_base;

// loaded_table is the table of a library that is loaded already, or NULL.
static const void *const *loaded_table(const char *path) {
	void *handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
	if (!handle) {
		return NULL;
	}
	const table_base *(*base)(void) = (const table_base *(*)(void))dlsym(handle, "OrtGetApiBase");
	const void *const *table = base ? base()->get_api(table_version) : NULL;
	dlclose(handle); // only our count of it: the binding holds another
	return table;
}

static const char *error_message(const void *const *table, const void *status) {
	return ((const char *(*)(const void *))table[place_get_error_message])(status);
}

static void release(const void *const *table, int place, void *object) {
	((void (*)(void *))table[place])(object);
}

static void *create_env(const void *const *table, const char *name, void **env) {
	return ((void *(*)(int, const char *, void **))table[place_create_env])(log_errors, name, env);
}

static void *add_initializer(const void *const *table, void *options, const char *name, void *value) {
	return ((void *(*)(void *, const char *, const void *))table[place_add_initializer])(options, name, value);
}

static void *create_container(const void *const *table, void **container) {
	return ((void *(*)(void **))table[place_create_container])(container);
}

static void *create_session(const void *const *table, void *env, const char *path, void *options, void *container, void **session) {
	return ((void *(*)(const void *, const char *, const void *, void *, void **))table[place_create_session])(
		env, path, options, container, session);
}

static void *create_sharing_session_of(const void *const *table, void *env, const void *model, size_t size, void *options, void *container, void **session) {
	return ((void *(*)(const void *, const void *, size_t, const void *, void *, void **))table[place_create_sharing_session_of])(
		env, model, size, options, container, session);
}

static void *create_session_of(const void *const *table, void *env, const void *model, size_t size, void *options, void **session) {
	return ((void *(*)(const void *, const void *, size_t, const void *, void **))table[place_create_session_of])(
		env, model, size, options, session);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	onnx "github.com/yalue/onnxruntime_go"
)

// places are the functions that are used, by their names in the header.
func places() map[string]int {
	return map[string]int{
		"GetErrorMessage":                            C.place_get_error_message,
		"CreateEnv":                                  C.place_create_env,
		"CreateSessionFromArray":                     C.place_create_session_of,
		"ReleaseEnv":                                 C.place_release_env,
		"ReleaseCustomOpDomain":                      C.place_release_domain,
		"ReleaseStatus":                              C.place_release_status,
		"AddInitializer":                             C.place_add_initializer,
		"CreatePrepackedWeightsContainer":            C.place_create_container,
		"ReleasePrepackedWeightsContainer":           C.place_release_container,
		"CreateSessionWithPrepackedWeightsContainer": C.place_create_session,

		"CreateSessionFromArrayWithPrepackedWeightsContainer": C.place_create_sharing_session_of,
	}
}

// capi is the C API of the library that the binding has loaded.
type capi struct{ table *unsafe.Pointer }

// loadedAPI finds the C API of the library at path, which must be loaded.
func loadedAPI(path string) (capi, error) {
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	table := C.loaded_table(cPath)
	if table == nil {
		return capi{}, &LibraryError{Path: path, Err: errors.New("it is not loaded, or has no C API 24")}
	}
	return capi{table: table}, nil
}

// failure turns a status into an error, nil if all went well.
func (a capi) failure(status unsafe.Pointer) error {
	if status == nil {
		return nil
	}
	defer C.release(a.table, C.place_release_status, status)
	return errors.New(C.GoString(C.error_message(a.table, status)))
}

// newEnv takes another reference to the process's environment, which the binding keeps to itself.
func (a capi) newEnv() (env unsafe.Pointer, err error) {
	name := C.CString("sluice")
	defer C.free(unsafe.Pointer(name))
	err = a.failure(C.create_env(a.table, name, &env)) //nolint:gocritic // it reads what cgo makes of this
	return env, err
}

func (a capi) releaseEnv(env unsafe.Pointer) { C.release(a.table, C.place_release_env, env) }

// newContainer makes a place for the weights that kernels have packed.
func (a capi) newContainer() (container unsafe.Pointer, err error) {
	err = a.failure(C.create_container(a.table, &container)) //nolint:gocritic // it reads what cgo makes of this
	return container, err
}

func (a capi) releaseContainer(container unsafe.Pointer) {
	C.release(a.table, C.place_release_container, container)
}

// addInitializer gives a session to be made the value of an initializer, which must outlive it.
func (a capi) addInitializer(options *onnx.SessionOptions, name string, value *onnx.CustomDataTensor) error {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	return a.failure(C.add_initializer(a.table, pointerIn(options, "o"), cName, pointerIn(value, "ortValue")))
}

// newSession loads a model whose packed weights lie in a container, for runs with bindings.
func (a capi) newSession(env unsafe.Pointer, model string, options *onnx.SessionOptions, container unsafe.Pointer) (
	*onnx.DynamicAdvancedSession, error,
) {
	path := C.CString(model)
	defer C.free(unsafe.Pointer(path))
	var session unsafe.Pointer
	err := a.failure(C.create_session(a.table, env, path, pointerIn(options, "o"), container, &session)) //nolint:gocritic // it reads what cgo makes of this
	if err != nil {
		return nil, err
	}
	return adopt(session), nil
}

// newSharingSessionOf is newSession of a model in memory.
func (a capi) newSharingSessionOf(env unsafe.Pointer, model []byte, options *onnx.SessionOptions, container unsafe.Pointer) (
	*onnx.DynamicAdvancedSession, error,
) {
	var session unsafe.Pointer
	err := a.failure(C.create_sharing_session_of(a.table, env, unsafe.Pointer(&model[0]), C.size_t(len(model)), pointerIn(options, "o"), container, &session)) //nolint:gocritic // it reads what cgo makes of this
	if err != nil {
		return nil, err
	}
	return adopt(session), nil
}

// newSessionOf makes a session of a model in memory.
func (a capi) newSessionOf(env unsafe.Pointer, model []byte, options *onnx.SessionOptions) (*onnx.DynamicAdvancedSession, error) {
	var session unsafe.Pointer
	err := a.failure(C.create_session_of(a.table, env, unsafe.Pointer(&model[0]), C.size_t(len(model)), pointerIn(options, "o"), &session)) //nolint:gocritic // it reads what cgo makes of this
	if err != nil {
		return nil, err
	}
	return adopt(session), nil
}

// releaseDomain frees the operators that sessions were made with.
func (a capi) releaseDomain(domain unsafe.Pointer) {
	C.release(a.table, C.place_release_domain, domain)
}

// pointerIn reads a C pointer that the binding keeps in an unexported field; TestBindingFields looks at the fields.
func pointerIn(object any, field string) unsafe.Pointer {
	return reflect.ValueOf(object).Elem().FieldByName(field).UnsafePointer()
}

// adopt makes a session of the binding from one of ONNX Runtime's, which the binding destroys from then on.
func adopt(session unsafe.Pointer) *onnx.DynamicAdvancedSession {
	inner, outer := new(onnx.AdvancedSession), new(onnx.DynamicAdvancedSession)
	setField(inner, "ortSession", session)
	setField(outer, "s", unsafe.Pointer(inner))
	return outer
}

// setField sets an unexported field that is a pointer.
func setField(object any, name string, value unsafe.Pointer) {
	field := reflect.ValueOf(object).Elem().FieldByName(name)
	if field.Kind() != reflect.Pointer {
		panic(fmt.Sprintf("ort: the binding's %T has no pointer %s", object, name))
	}
	*(*unsafe.Pointer)(field.Addr().UnsafePointer()) = value
}
