package hub

import (
	"encoding/json/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Reference{
		"hf://owner/name":                        {"owner/name", "main", ""},
		"hf://o-w.n/n_1@v1.0":                    {"o-w.n/n_1", "v1.0", ""},
		"hf://owner/name/a/b.gguf":               {"owner/name", "main", "a/b.gguf"},
		"hf://owner/name@refs%2Fpr%2F3/b c.gguf": {"owner/name", "refs/pr/3", "b c.gguf"},
	} {
		got, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		if got.String() != text {
			t.Errorf("%s is written as %s", text, got)
		}
	}
	for _, text := range []string{
		"", "owner/name", "hf://", "hf://owner", "hf://owner/", "hf://../name", "hf://owner/..", "hf://owner/a--b", "hf://ow ner/name",
		"hf://owner/name@", "hf://owner/name@../x", "hf://owner/name@a%00", "hf://owner/name@%zz", "hf://owner/name/../x.gguf",
		"hf://owner/name//x", "hf://owner/name/.git/x", `hf://owner/name/a\b`, "hf://owner/name/x.part", "hf://owner/name/" + strings.Repeat("a", 2000),
	} {
		if r, err := Parse(text); err == nil {
			t.Errorf("%.80q is taken as %+v", text, r)
		}
	}
}

// FuzzParse reads any reference: one that is sound is the same after writing, and names files below a folder.
func FuzzParse(f *testing.F) {
	f.Add("hf://owner/name@v1/a/b.gguf")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		if r.File != "" && !filepath.IsLocal(filepath.FromSlash(r.File)) {
			t.Fatalf("%q leads to %q", text, r.File)
		}
		again, err := Parse(r.String())
		if err != nil || again != r {
			t.Fatalf("%q: %+v, after writing %+v, %v", text, r, again, err)
		}
	})
}

// FuzzListing chooses from any listing: what is to be fetched lies below the folder and has a hash.
func FuzzListing(f *testing.F) {
	f.Add([]byte(`[{"type":"file","path":"model.safetensors","size":3,"oid":"0123456789012345678901234567890123456789"},` +
		`{"type":"file","path":"q/m-00001-of-00002.gguf","size":1,"lfs":{"oid":"` + strings.Repeat("a", 64) + `","size":7}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var entries []treeEntry
		if json.Unmarshal(data, &entries) != nil {
			return
		}
		list, err := files(entries)
		if err != nil {
			return
		}
		s := &Snapshot{Repository: "a/b", Files: list}
		needed, open, err := s.Choose("")
		if err != nil {
			return
		}
		for _, file := range needed {
			if !filepath.IsLocal(filepath.FromSlash(file.Path)) || file.Size < 0 || file.SHA256 == "" && file.OID == "" {
				t.Fatalf("%+v", file)
			}
		}
		if open != "" && !filepath.IsLocal(filepath.FromSlash(open)) {
			t.Fatalf("opens %q", open)
		}
	})
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "token"), []byte("hf_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		variables              map[string]string
		endpoint, token, reuse string
		want                   string
	}{
		{map[string]string{}, "https://huggingface.co", "", "", ""},
		{map[string]string{"HOME": "/h", "HF_TOKEN": " hf_x "}, "https://huggingface.co", "hf_x", "/h/.cache/huggingface/hub", ""},
		{map[string]string{"HF_ENDPOINT": "https://hub.local:8443/", "HF_HOME": home}, "https://hub.local:8443", "hf_file", home + "/hub", ""},
		{map[string]string{"HF_HOME": home, "HF_TOKEN": "hf_x", "HF_HUB_CACHE": "/c"}, "https://huggingface.co", "hf_x", "/c", ""},
		{map[string]string{"HF_TOKEN_PATH": home + "/token"}, "https://huggingface.co", "hf_file", "", ""},
		{map[string]string{"HF_ENDPOINT": "hub.local"}, "", "", "", "not the URL of a hub"},
		{map[string]string{"HF_ENDPOINT": "file:///etc"}, "", "", "", "not the URL of a hub"},
		{map[string]string{"HF_ENDPOINT": "http://hub.local", "HF_TOKEN": "x"}, "", "", "", "is not encrypted and would get your token"},
		{map[string]string{"HF_ENDPOINT": "http://127.hub.local", "HF_TOKEN": "x"}, "", "", "", "is not encrypted and would get your token"},
		{map[string]string{"HF_TOKEN": "a\nb"}, "", "", "", "HF_TOKEN holds no token"},
	} {
		c, err := FromEnvironment(func(name string) string { return test.variables[name] }, "dir")
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v: got error %v, want %q", test.variables, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.Endpoint != test.endpoint || c.Token != test.token || c.Reuse != test.reuse {
			t.Errorf("%v: %+v", test.variables, c)
		}
	}
}
