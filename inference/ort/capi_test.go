package ort

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	onnx "github.com/yalue/onnxruntime_go"
)

// TestAPIPlaces compares the places of the functions that are taken from OrtApi with the header that the binding is
// compiled with.
func TestAPIPlaces(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	if err != nil {
		t.Fatal(err)
	}
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "onnxruntime_c_api.h"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(header), "\nstruct OrtApi {")
	table, _, ok2 := strings.Cut(table, "\n};")
	if !ok || !ok2 {
		t.Fatal("the header has no struct OrtApi")
	}
	table = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`).ReplaceAllString(table, "")
	// The three ways in which the header declares a function.
	member := regexp.MustCompile(`ORT_API2_STATUS\(\s*(\w+)|ORT_CLASS_RELEASE\(\s*(\w+)\)|\(ORT_API_CALL\s*\*\s*(\w+)\)`)
	var names []string
	for _, m := range member.FindAllStringSubmatch(table, -1) {
		name := m[1] + m[3]
		if m[2] != "" {
			name = "Release" + m[2]
		}
		names = append(names, name)
	}
	for name, place := range places() {
		if got := slices.Index(names, name); got != place {
			t.Errorf("%s is at %d of %d, not at %d", name, got, len(names), place)
		}
	}
	operators, err := os.ReadFile("kernels/operators_amd64.h")
	if err != nil {
		t.Fatal(err)
	}
	for place, name := range map[string]string{
		"create_status": "CreateStatus", "create_domain": "CreateCustomOpDomain", "domain_add": "CustomOpDomain_Add",
		"add_domain": "AddCustomOpDomain", "mutable_data": "GetTensorMutableData", "dimensions_count": "GetDimensionsCount",
		"dimensions": "GetDimensions", "shape": "GetTensorTypeAndShape", "attribute_int": "KernelInfoGetAttribute_int64",
		"input": "KernelContext_GetInput", "output": "KernelContext_GetOutput", "release_shape": "ReleaseTensorTypeAndShapeInfo",
		"parallel_for": "KernelContext_ParallelFor",
	} {
		if line := fmt.Sprintf("\tplace_%s = %d,\n", place, slices.Index(names, name)); !strings.Contains(string(operators), line) {
			t.Errorf("%s is at %d of %d, not where the operators take it", name, slices.Index(names, name), len(names))
		}
	}
	if got := strings.Count(string(operators), "\tplace_"); got != 13 {
		t.Errorf("the operators take %d functions, of which 13 are compared", got)
	}
	if !strings.Contains(string(header), "#define ORT_API_VERSION 24\n") {
		t.Error("the header is not that of API 24")
	}
}

// TestBindingFields looks at the fields of the binding that are read and set by name.
func TestBindingFields(t *testing.T) {
	for _, f := range []struct {
		of          any
		name, wants string
	}{
		{onnx.SessionOptions{}, "o", "_Ctype_struct_OrtSessionOptions"},
		{onnx.CustomDataTensor{}, "ortValue", "_Ctype_struct_OrtValue"},
		{onnx.AdvancedSession{}, "ortSession", "_Ctype_struct_OrtSession"},
		{onnx.DynamicAdvancedSession{}, "s", "AdvancedSession"},
	} {
		typ := reflect.TypeOf(f.of)
		field, ok := typ.FieldByName(f.name)
		if !ok || field.Type.Kind() != reflect.Pointer || field.Type.Elem().Name() != f.wants {
			t.Errorf("%s.%s is %v, want a pointer to %s", typ.Name(), f.name, field.Type, f.wants)
		}
	}
}
