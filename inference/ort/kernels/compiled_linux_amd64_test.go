package kernels

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAVX2Instructions: what is compiled for AVX2 has no instruction of AVX-512, which such a processor would stop at: no register
// of 512 bits, no mask, and none of the registers from 16 on. GNU's assembler, which GCC calls, also refuses what has only
// common registers, as vpdpbusd.
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
	assembly := func(source string) (path, text string) {
		out := filepath.Join(t.TempDir(), source+".s")
		if text, err := exec.Command(compiler[0], append(compiler[1:], "-O3", "-fcf-protection=none", "-S", "-o", out, source)...).CombinedOutput(); err != nil { //nolint:gosec // the compiler that made this test
			t.Fatalf("%s: %v\n%s", source, err, text)
		}
		made, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return out, string(made)
	}
	assemble := func(path string) error {
		text, err := exec.Command("as", "-march=generic64+avx2+fma+f16c", "-o", path+".o", path).CombinedOutput() //nolint:gosec // what was made here
		if err != nil {
			return fmt.Errorf("%w\n%.500s", err, text)
		}
		return nil
	}
	version, err := exec.Command(compiler[0], append(compiler[1:], "--version")...).Output() //nolint:gosec // the compiler that made this test
	gnu := err == nil && !strings.Contains(string(version), "clang")
	if !gnu {
		t.Log("the compiler is not GCC, whose assembler is told which instructions there are: only registers are looked at")
	}
	for _, source := range sources {
		path, text := assembly(source)
		if found := beyond.FindString(text); found != "" {
			t.Errorf("%s: there is %s", source, found)
		}
		if !gnu {
			continue
		}
		if err := assemble(path); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	path, text := assembly("rows_amd64.c")
	if !beyond.MatchString(text) || gnu && assemble(path) == nil {
		t.Error("rows_amd64.c: no instruction of AVX-512 was found where there are some")
	}
	if path := filepath.Join(t.TempDir(), "vnni.s"); gnu {
		if err := os.WriteFile(path, []byte("vpdpbusd %ymm1, %ymm2, %ymm3\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if assemble(path) == nil {
			t.Error("an instruction of AVX-512 with common registers was taken")
		}
	}
}
