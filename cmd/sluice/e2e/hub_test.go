package e2e_test

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/cmd/sluice/internal/hub/hubtest"
	"github.com/sluiceml/sluice/inference/model"
)

// TestConvertFromHub converts the default model by its name on a hub, through a connection that breaks, and from a path,
// twice: the folders hold the same bytes, but for what sluice.json says of where the model came from.
func TestConvertFromHub(t *testing.T) {
	weights, err := os.ReadFile(source())
	if err != nil {
		t.Fatal(err)
	}
	const name = "SmolLM2-135M-Instruct.Q4_1.gguf"
	m := &hubtest.Model{
		Large: 1 << 20, Files: map[string][]byte{name: weights, "LICENSE": []byte("Apache"), "README.md": []byte("read")},
		Fault: func(path string, attempt int) hubtest.Fault {
			if path == name && attempt < 3 {
				return hubtest.Fault{Cut: 20 << 20}
			}
			return hubtest.Fault{}
		},
	}
	s := hubtest.New(t, map[string]*hubtest.Model{"test/smollm2": m})
	dir := t.TempDir()
	convert := func(from, to string) map[string][sha256.Size]byte {
		t.Helper()
		out := filepath.Join(dir, to)
		command := exec.CommandContext(t.Context(), binary, "convert", from, "--out", out)
		command.Env = append(os.Environ(), "HF_ENDPOINT="+s.URL, "HF_HOME="+t.TempDir(), "HF_TOKEN=", "SLUICE_HOME="+filepath.Join(dir, "cache"))
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("convert %s: %v\n%s", from, err, output)
		}
		return sums(t, out)
	}
	fetched := convert("hf://test/smollm2@main/"+name, "fetched")
	requests := len(s.Requests())
	if again := convert("hf://test/smollm2@"+m.Commit(), "again"); !maps.Equal(fetched, again) {
		t.Error("a second conversion has other bytes")
	}
	for _, r := range s.Requests()[requests:] {
		if r.Host == "files" {
			t.Errorf("%s was fetched again", r.Path)
		}
	}
	direct, twice := convert(source(), "direct"), convert(source(), "twice")
	if !maps.Equal(direct, twice) {
		t.Error("a second conversion of a path has other bytes")
	}
	for _, name := range slices.Sorted(maps.Keys(fetched)) {
		if name != model.ManifestName && name != "LICENSE" && fetched[name] != direct[name] {
			t.Errorf("%s has other bytes than that of the path", name)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "fetched", model.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		ToolVersion string            `json:"tool_version"`
		Options     map[string]string `json:"options"`
		Source      model.Origin      `json:"source"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	o := manifest.Source
	if o.Repository != "test/smollm2" || o.Revision != m.Commit() || len(o.Files) != 1 || o.Files[0].Bytes != int64(len(weights)) ||
		manifest.ToolVersion == "" || manifest.Options["quantize"] != "auto" {
		t.Errorf("sluice.json says %s", text)
	}
	if licence, err := os.ReadFile(filepath.Join(dir, "fetched", "LICENSE")); err != nil || string(licence) != "Apache" {
		t.Errorf("the licence: %q, %v", licence, err)
	}
	// What is refused is said, and nothing is written.
	command := exec.CommandContext(t.Context(), binary, "convert", "hf://test/other", "--out", filepath.Join(dir, "no"))
	command.Env = append(os.Environ(), "HF_ENDPOINT="+s.URL, "HF_TOKEN=", "HF_HOME="+t.TempDir(), "SLUICE_HOME="+filepath.Join(dir, "cache"))
	output, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "gives test/other to nobody without a token") {
		t.Errorf("an unknown model: %v\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(dir, "no")); err == nil {
		t.Error("a folder was written")
	}
}

// sums are the hashes of a folder's files.
func sums(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][sha256.Size]byte{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = sha256.Sum256(data)
	}
	return all
}
