package playground_test

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sluiceml/sluice/server/gateway/playground"
)

var page = sync.OnceValues(playground.New)

// get asks the page's handler for a path, with headers as name, value, ….
func get(t *testing.T, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	page, err := page()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w
}

// files are those of the page, by name.
func files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS("web"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path.Join("web", name))
		out[name] = string(text)
		return err
	})
	if err != nil || len(out) < 5 {
		t.Fatalf("%d files: %v", len(out), err)
	}
	return out
}

// Each file comes as it is, with its type and what protects it; there is nothing else.
func TestFiles(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
	for name, want := range files(t) {
		target := playground.Prefix + name
		if name == "index.html" {
			target = "/"
		}
		res := get(t, http.MethodGet, target)
		if got := res.Body.String(); res.Code != http.StatusOK || got != want {
			t.Errorf("%s: %d, %d bytes instead of %d", target, res.Code, len(got), len(want))
		}
		for header, want := range map[string]string{
			"Content-Type":                 kinds[path.Ext(name)],
			"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; ",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Permissions-Policy":           "camera=()",
			"Cache-Control":                "no-cache",
			"Vary":                         "Accept-Encoding",
		} {
			if got := res.Header().Get(header); want == "" || !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q", target, header, got)
			}
		}
		head := get(t, http.MethodHead, target)
		if head.Code != http.StatusOK || head.Header().Get("Content-Length") != strconv.Itoa(len(want)) || head.Body.String() != "" {
			t.Errorf("HEAD %s: %d, length %s", target, head.Code, head.Header().Get("Content-Length"))
		}
	}
	for _, target := range []string{"/playground/", "/playground/index.html", "/playground/web/app.js", "/playground/../app.js", "/playground/none.js"} {
		if res := get(t, http.MethodGet, target); res.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, res.Code)
		}
	}
}

// The policy allows nothing that would let a text become a program.
func TestPolicy(t *testing.T) {
	t.Parallel()
	policy := get(t, http.MethodGet, "/").Header().Get("Content-Security-Policy")
	for _, want := range []string{
		"connect-src 'self'", "img-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("no %s in %s", want, policy)
		}
	}
	for _, bad := range []string{"unsafe", "*", "data:", "blob:", "http"} {
		if strings.Contains(policy, bad) {
			t.Errorf("%s in %s", bad, policy)
		}
	}
}

// A client has a file compressed if it takes that, and learns that it has not changed.
func TestCompressionAndCaching(t *testing.T) {
	t.Parallel()
	plain := get(t, http.MethodGet, "/playground/app.js")
	want := plain.Body.String()
	tags := map[string]bool{}
	for accept, zipped := range map[string]bool{
		"gzip": true, "br, GZIP;q=0.5, *;q=0": true, "deflate, gzip ; q=1": true, "gzip;q=0": false, "gzip; q=0.000": false, "identity": false, "": false, "xgzip": false,
	} {
		res := get(t, http.MethodGet, "/playground/app.js", "Accept-Encoding", accept)
		if got := res.Header().Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("%q: compressed %v", accept, got)
			continue
		}
		text := res.Body.String()
		if zipped {
			if len(text) >= len(want)/2 {
				t.Errorf("%d bytes of %d", len(text), len(want))
			}
			text = inflate(t, text)
		}
		if text != want {
			t.Errorf("%q: other bytes", accept)
		}
		tag := res.Header().Get("ETag")
		tags[tag] = true
		again := get(t, http.MethodGet, "/playground/app.js", "Accept-Encoding", accept, "If-None-Match", tag)
		if again.Code != http.StatusNotModified || again.Body.String() != "" || again.Header().Get("ETag") != tag || again.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%q: %d", accept, again.Code)
		}
		if other := get(t, http.MethodGet, "/playground/app.js", "Accept-Encoding", accept, "If-None-Match", `"other"`); other.Code != http.StatusOK {
			t.Errorf("%q: %d", accept, other.Code)
		}
	}
	if len(tags) != 2 {
		t.Errorf("tags %v: one for each of two forms", tags)
	}
}

func inflate(t *testing.T, text string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// The page's own rules, which its policy holds it to as well: nothing from elsewhere, no program or style within the
// page, no markup made from text, nothing compiled at run time, no key in an address. What is mentioned exists.
func TestSources(t *testing.T) {
	t.Parallel()
	all := files(t)
	for name, text := range all {
		for what, pattern := range map[string]*regexp.Regexp{
			"an address elsewhere": regexp.MustCompile(`(?:https?:)?//(?:[a-z0-9-]+\.)+[a-z]{2,}`),
			"markup from text":     regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML`),
			"a compiled text":      regexp.MustCompile(`\beval\(|new Function|javascript:`),
			"a timer of text":      regexp.MustCompile(`set(?:Timeout|Interval)\(['"\x60]`),
		} {
			for _, found := range pattern.FindAllString(text, -1) {
				if found != "http://www.w3.org" { // a part of the name of SVG, which is not fetched
					t.Errorf("%s: %s: %s", name, what, found)
				}
			}
		}
	}
	html := all["index.html"]
	if found := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:\s[^>]*)?>[^<]|<base|<iframe|<object|<embed`).FindString(html); found != "" {
		t.Errorf("in the page itself: %s", found)
	}
	mentioned := regexp.MustCompile(`(?:src|href)="playground/([^"]+)"|from '\./([^']+)'`)
	used := map[string]bool{"index.html": true}
	for name, text := range all {
		for _, m := range mentioned.FindAllStringSubmatch(text, -1) {
			file := m[1] + m[2]
			used[file] = true
			if _, ok := all[file]; !ok {
				t.Errorf("%s mentions %s, which there is not", name, file)
			}
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("nothing uses %s", name)
		}
	}
	// Every id that the program looks for is in the page or made by the program.
	ids := regexp.MustCompile(`byId\('([^']+)'\)`)
	for name, text := range all {
		for _, m := range ids.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(html, `id="`+m[1]+`"`) && !strings.Contains(text, `id: '`+m[1]+`'`) {
				t.Errorf("%s looks for #%s, which there is not", name, m[1])
			}
		}
	}
}
