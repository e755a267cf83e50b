package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/cmd/sluice/internal/hub"
	"github.com/sluiceml/sluice/cmd/sluice/internal/hub/hubtest"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
)

// checkpoint is a model with a large file in two shards.
func checkpoint() *hubtest.Model {
	return &hubtest.Model{
		Large: 1000,
		Files: map[string][]byte{
			"config.json": []byte("{}"), "tokenizer.json": []byte(`{"a":1}`), "LICENSE": []byte("free"), "README.md": []byte("read"),
			"model.safetensors.index.json":     []byte(`{"weight_map":{}}`),
			"model-00001-of-00002.safetensors": bytes.Repeat([]byte("one "), 2000), "model-00002-of-00002.safetensors": bytes.Repeat([]byte("two!"), 3000),
			"onnx/model.onnx": bytes.Repeat([]byte("x"), 5000), "pytorch_model.bin": bytes.Repeat([]byte("y"), 5000),
			"consolidated.safetensors": bytes.Repeat([]byte("z"), 5000), "adapter_model.safetensors": []byte("w"),
		},
	}
}

// needed are the files of checkpoint that a conversion takes.
func needed() []string {
	return []string{
		"LICENSE", "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
		"model.safetensors.index.json", "tokenizer.json",
	}
}

// client is a client of a server that loses no time.
func client(t *testing.T, s *hubtest.Server) *hub.Client {
	t.Helper()
	return &hub.Client{
		Endpoint: s.URL, Dir: t.TempDir(), Progress: setup.NewProgress(io.Discard, false), Wait: time.Millisecond,
	}
}

// fetch resolves a reference and fetches what it needs.
func fetch(ctx context.Context, c *hub.Client, text string) (dir, open string, err error) {
	r, err := hub.Parse(text)
	if err != nil {
		return "", "", err
	}
	s, err := c.Resolve(ctx, r)
	if err != nil {
		return "", "", err
	}
	files, open, err := s.Choose(r.File)
	if err != nil {
		return "", "", err
	}
	dir, err = c.Fetch(ctx, s, files)
	return dir, open, err
}

// contents reads a folder, without what begins with a dot.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFetch(t *testing.T) {
	t.Parallel()
	m := checkpoint()
	m.Token, m.Revisions = "secret", []string{"main", "v1", "refs/pr/1"}
	s := hubtest.New(t, map[string]*hubtest.Model{"a/b": m})
	c := client(t, s)
	c.Token = "secret"
	for _, text := range []string{"hf://a/b", "hf://a/b@v1", "hf://a/b@refs%2Fpr%2F1", "hf://a/b@" + m.Commit()} {
		dir, open, err := fetch(t.Context(), c, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if open != "" || filepath.Base(dir) != m.Commit() {
			t.Errorf("%s: opens %q in %s", text, open, dir)
		}
		got := contents(t, dir)
		if diff := cmp.Diff(needed(), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		for name, data := range got {
			if !bytes.Equal(data, m.Files[name]) {
				t.Errorf("%s has other bytes", name)
			}
		}
	}
	large := 0
	for _, r := range s.Requests() {
		if r.Host == "files" {
			large++
		}
	}
	if large != 2 {
		t.Errorf("%d large files were sent for four fetches of two", large)
	}
}

// TestRefused says why nothing comes, and leaves nothing under a file's name.
func TestRefused(t *testing.T) {
	t.Parallel()
	fault := func(path string, f hubtest.Fault) func(*hubtest.Model) {
		return func(m *hubtest.Model) {
			m.Fault = func(p string, _ int) hubtest.Fault {
				if p == path {
					return f
				}
				return hubtest.Fault{}
			}
		}
	}
	for _, test := range []struct {
		name, reference string
		change          func(*hubtest.Model)
		token, want     string
	}{
		{name: "unknown", reference: "hf://a/c", want: "gives a/c to nobody without a token: is the name right?"},
		{name: "gated", change: func(m *hubtest.Model) { m.Token, m.Gated = "x", true }, want: "a/b is gated: ask for access at http"},
		{name: "gated for me", change: func(m *hubtest.Model) { m.Token, m.Gated = "x", true }, token: "y", want: "your token has no access"},
		{name: "another token", change: func(m *hubtest.Model) { m.Token = "x" }, token: "y", want: "the hub refuses your token"},
		{name: "revision", reference: "hf://a/b@v2", want: "the hub has no such revision of a/b"},
		{name: "file", reference: "hf://a/b/c.gguf", want: "the hub has no file c.gguf in a/b"},
		{name: "a file that is none to convert", reference: "hf://a/b/README.md", want: "cannot be converted alone"},
		{name: "wrong bytes", change: fault("model-00001-of-00002.safetensors", hubtest.Fault{Corrupt: true}), want: "the hub's listing says"},
		{name: "wrong bytes of a small file", change: fault("config.json", hubtest.Fault{Corrupt: true}), want: "the hub's listing says"},
		{name: "another hash", change: fault("model-00001-of-00002.safetensors", hubtest.Fault{Etag: strings.Repeat("0", 64)}), want: "the hub's listing says"},
		{name: "broken for good", change: fault("config.json", hubtest.Fault{Status: 500}), want: "/a/b/resolve/"},
		{name: "broken listing", change: fault("tree", hubtest.Fault{Status: 502}), want: "answers 502 Bad Gateway"},
		{name: "a path out", change: fault("tree", hubtest.Fault{Listed: "../model.safetensors"}), want: "neither safetensors nor GGUF"},
		{name: "a GGUF out", change: func(m *hubtest.Model) {
			m.Files = map[string][]byte{"x.gguf": []byte("x")}
			fault("tree", hubtest.Fault{Listed: "../../x.gguf"})(m)
		}, want: `the file name "../../x.gguf" is refused`},
		{name: "negative", change: fault("tree", hubtest.Fault{Size: -1}), want: "has -1 bytes"},
		{name: "too large", change: fault("tree", hubtest.Fault{Size: 1 << 60}), want: "MB are missing"},
		{name: "no weights", change: func(m *hubtest.Model) {
			maps.DeleteFunc(m.Files, func(name string, _ []byte) bool { return strings.HasPrefix(name, "model") })
		}, want: "holds neither safetensors nor GGUF files"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := checkpoint()
			if test.change != nil {
				test.change(m)
			}
			s := hubtest.New(t, map[string]*hubtest.Model{"a/b": m})
			c := client(t, s)
			c.Token = test.token
			reference := test.reference
			if reference == "" {
				reference = "hf://a/b"
			}
			_, _, err := fetch(t.Context(), c, reference)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || test.token != "" && strings.Contains(err.Error(), `"y"`)) {
				t.Errorf("the error tells a secret: %v", err)
			}
			for name, data := range contents(t, c.Dir) {
				if name = filepath.ToSlash(name); strings.HasSuffix(name, ".part") {
					continue
				}
				if base := name[strings.LastIndex(name, "/")+1:]; !bytes.Equal(data, m.Files[base]) {
					t.Errorf("%s is there and is not whole", name)
				}
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	m := checkpoint()
	m.Fault = func(string, int) hubtest.Fault {
		cancel()
		return hubtest.Fault{Status: 429, RetryAfter: "3600"}
	}
	s := hubtest.New(t, map[string]*hubtest.Model{"a/b": m})
	if _, _, err := fetch(ctx, client(t, s), "hf://a/b"); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
}

// TestGGUF takes one file, all parts of a split one, or asks which.
func TestGGUF(t *testing.T) {
	t.Parallel()
	model := func(names ...string) *hubtest.Model {
		m := &hubtest.Model{Large: 5, Files: map[string][]byte{"LICENSE": []byte("free"), "config.json": []byte("{}")}}
		for _, name := range names {
			m.Files[name] = []byte("GGUF " + name)
		}
		return m
	}
	const first, second = "q/m-00001-of-00002.gguf", "q/m-00002-of-00002.gguf"
	s := hubtest.New(t, map[string]*hubtest.Model{
		"a/one": model("m.Q4_0.gguf", "mmproj-m.gguf"), "a/many": model("m.Q4_0.gguf", "m.Q8_0.gguf"), "a/split": model(first, second),
		"a/projector": model("mmproj-m.gguf"), "a/rest": model(second),
	})
	for _, test := range []struct {
		reference, open string
		files           []string
		want            string
	}{
		{"hf://a/one", "m.Q4_0.gguf", []string{"LICENSE", "m.Q4_0.gguf"}, ""},
		{"hf://a/many/m.Q8_0.gguf", "m.Q8_0.gguf", []string{"LICENSE", "m.Q8_0.gguf"}, ""},
		{"hf://a/split", first, []string{"LICENSE", first, second}, ""},
		{"hf://a/many", "", nil, "a/many holds 2 GGUF files: name one, such as hf://a/many/m.Q4_0.gguf"},
		{"hf://a/projector", "", nil, "a/projector holds GGUF files and none that is a model or the first part of one"},
		{"hf://a/rest", "", nil, "a/rest holds GGUF files and none that is a model or the first part of one"},
	} {
		dir, open, err := fetch(t.Context(), client(t, s), test.reference)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: got error %v, want %q", test.reference, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(contents(t, dir))); open != test.open || !slices.Equal(got, test.files) {
			t.Errorf("%s: opens %q of %q", test.reference, open, got)
		}
	}
}

// TestPublishedClient has huggingface_hub fetch from the test's hub, so that the hub is held to its protocol, and then
// takes what that client has left in its cache: no large file is sent again.
func TestPublishedClient(t *testing.T) {
	python, err := filepath.Abs("../../../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		t.Skip("needs the virtual environment; run without -short")
	}
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("%v: run `make test`, which makes it", err)
	}
	m := checkpoint()
	s := hubtest.New(t, map[string]*hubtest.Model{"a/b": m})
	home := t.TempDir()
	command := exec.CommandContext(t.Context(), python, "-c",
		`import huggingface_hub, json, sys; print(json.dumps(huggingface_hub.snapshot_download("a/b")))`)
	command.Env = append(os.Environ(), "HF_ENDPOINT="+s.URL, "HF_HOME="+home, "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_TELEMETRY=1")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var dir string
	if err := json.Unmarshal(output, &dir); err != nil {
		t.Fatal(err)
	}
	for name, data := range contents(t, dir) {
		if !bytes.Equal(data, m.Files[filepath.ToSlash(name)]) {
			t.Errorf("%s has other bytes", name)
		}
	}
	before := len(s.Requests())
	c, err := hub.FromEnvironment(func(name string) string {
		return map[string]string{"HF_ENDPOINT": s.URL, "HF_HOME": home}[name]
	}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.Progress = setup.NewProgress(io.Discard, false)
	ours, _, err := fetch(t.Context(), c, "hf://a/b")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Requests()[before:] {
		if r.Path != "revision" && r.Path != "tree" {
			t.Errorf("%s was fetched again", r.Path)
		}
	}
	if len(contents(t, ours)) != len(needed()) {
		t.Errorf("copied %d files", len(contents(t, ours)))
	}
}
