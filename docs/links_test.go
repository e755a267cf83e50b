// Package docs_test checks the documentation: that its links lead somewhere, and, with the build tag docs, that its shell
// blocks run.
package docs_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// built are the folders of what is made here and of what others wrote.
var built = []string{"bin", "node_modules", "target", "dist", "testdata"}

// documents are the Markdown files of the repository, by path from its root.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || slices.Contains(built, name)):
			return fs.SkipDir
		case filepath.Ext(name) == ".md":
			out = append(out, strings.TrimPrefix(filepath.ToSlash(path), "../"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("only %d documents", len(out))
	}
	return out
}

var (
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*?) *$`)
	target  = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
)

// TestLinks checks that every relative link leads to a file of the repository, and its fragment to a heading there.
func TestLinks(t *testing.T) {
	t.Parallel()
	anchors := map[string]map[string]bool{}
	checked := 0
	for _, document := range documents(t) {
		text := read(t, document)
		text = code.ReplaceAllString(fence.ReplaceAllString(text, ""), "``")
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			to := found[1]
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			checked++
			path, fragment, _ := strings.Cut(to, "#")
			file := document
			if path != "" {
				file = filepath.Join(filepath.Dir(document), path)
			}
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s: %s is not there", document, to)
				continue
			}
			if fragment == "" || filepath.Ext(file) != ".md" {
				continue
			}
			if anchors[file] == nil {
				anchors[file] = anchorsOf(read(t, file))
			}
			if !anchors[file][fragment] {
				t.Errorf("%s: %s has no such heading", document, to)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d links", checked)
	}
}

// TestEveryChapterIsIndexed checks that docs/README.md leads to every document of docs.
func TestEveryChapterIsIndexed(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/README.md")
	for _, document := range documents(t) {
		chapter, ok := strings.CutPrefix(document, "docs/")
		if ok && chapter != "README.md" && !strings.Contains(index, "("+chapter+")") {
			t.Errorf("docs/README.md has no link to %s", chapter)
		}
	}
}

// anchorsOf are the fragments of a document's headings, as GitHub makes them.
func anchorsOf(text string) map[string]bool {
	out := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		var anchor strings.Builder
		for _, r := range strings.ToLower(link.ReplaceAllString(found[1], "")) {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				anchor.WriteRune(r)
			case r == ' ':
				anchor.WriteByte('-')
			}
		}
		out[anchor.String()] = true
	}
	for _, found := range target.FindAllStringSubmatch(text, -1) {
		out[found[1]] = true
	}
	return out
}

func read(t *testing.T, document string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", document))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
}
