package kernels

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAVX2Instructions: what is compiled for AVX2 has no instruction of AVX-512, which such a processor would stop at: no register
// of 512 bits, no mask, and none of the registers from 16 on.
func TestAVX2Instructions(t *testing.T) {
	sources, err := filepath.Glob("*_avx2_amd64.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	env, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := strings.Fields(string(env))
	beyond := regexp.MustCompile(`%(zmm\d|[xy]mm(1[6-9]|2\d|3[01])|k[0-7]\b)`)
	assembly := func(source string) string {
		out := filepath.Join(t.TempDir(), source+".s")
		if text, err := exec.Command(compiler[0], append(compiler[1:], "-O3", "-S", "-o", out, source)...).CombinedOutput(); err != nil { //nolint:gosec // the compiler that made this test
			t.Fatalf("%s: %v\n%s", source, err, text)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, source := range sources {
		if found := beyond.FindString(assembly(source)); found != "" {
			t.Errorf("%s: there is %s", source, found)
		}
	}
	if !beyond.MatchString(assembly("rows_amd64.c")) {
		t.Error("rows_amd64.c: no instruction of AVX-512 was found where there are some")
	}
}
