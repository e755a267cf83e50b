package sluice_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBuildContext checks that .dockerignore lets into the image's build context whatever of ours the binary is built from.
// Without it, only a build of the image would notice a new folder.
func TestBuildContext(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	for file, want := range map[string]bool{
		"go.mod": true, "server/server.go": true, "server/server_test.go": false, "docs/README.md": false,
		"clients/go/client.go": true, "clients/python/setup.py": false, "inference/ort/testdata/tiny.onnx": false,
	} {
		if inContext(t, patterns, file) != want {
			t.Errorf("%s is in the context: %t, want %t", file, !want, want)
		}
	}
	for _, architecture := range []string{"amd64", "arm64"} {
		files := sources(t, architecture)
		if len(files) < 100 {
			t.Fatalf("go list found only %d files", len(files))
		}
		for _, file := range files {
			if !inContext(t, patterns, file) {
				t.Errorf("%s is not in the context", file)
			}
		}
	}
}

// inContext says whether a file is in the context: the last pattern that matches it, or a folder around it, decides.
// https://docs.docker.com/build/concepts/context/#dockerignore-files
func inContext(t *testing.T, patterns []string, file string) bool {
	t.Helper()
	in := true
	for _, pattern := range patterns {
		pattern, back := strings.CutPrefix(pattern, "!")
		pattern, anywhere := strings.CutPrefix(pattern, "**/")
		parts := strings.Split(file, "/")
		for end := range parts {
			starts := 1
			if anywhere {
				starts = end + 1
			}
			for start := range starts {
				matches, err := path.Match(pattern, path.Join(parts[start:end+1]...))
				if err != nil || strings.Contains(pattern, "**") {
					t.Fatalf("the pattern %q is not understood: %v", pattern, err)
				}
				if matches {
					in = back
				}
			}
		}
	}
	return in
}

// sources are our files that the binary is built from, relative to this folder.
func sources(t *testing.T, architecture string) []string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-json=Dir,ImportPath,GoFiles,CgoFiles,CFiles,HFiles,SFiles,EmbedFiles", "./cmd/sluice")
	command.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+architecture, "CGO_ENABLED=1")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var files []string
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p struct {
			Dir        string   `json:"Dir"`
			ImportPath string   `json:"ImportPath"`
			GoFiles    []string `json:"GoFiles"`
			CgoFiles   []string `json:"CgoFiles"`
			CFiles     []string `json:"CFiles"`
			HFiles     []string `json:"HFiles"`
			SFiles     []string `json:"SFiles"`
			EmbedFiles []string `json:"EmbedFiles"`
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.ImportPath, module) {
			continue
		}
		dir, err := filepath.Rel(root, p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.CFiles, p.HFiles, p.SFiles, p.EmbedFiles) {
			files = append(files, path.Join(filepath.ToSlash(dir), name))
		}
	}
}
