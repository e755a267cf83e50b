package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// citation is a list of tests, with what stands before it: a package, or any word.
	citation = regexp.MustCompile(`(?:(-?[a-z][\w/]*) )?((?:Test|Fuzz)[A-Z]\w*(?:, (?:Test|Fuzz)[A-Z]\w*)*)`)
	function = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
)

// TestCitedTestsExist checks that every test that a document names is there, in the package that stands before it, if that is one.
// The changelog is exempt: it tells of its day.
func TestCitedTestsExist(t *testing.T) {
	t.Parallel()
	tests := testsByFolder(t)
	checked := 0
	for _, document := range documents(t) {
		if document == "CHANGELOG.md" {
			continue
		}
		for _, found := range citation.FindAllStringSubmatch(read(t, document), -1) {
			before := found[1]
			for name := range strings.SplitSeq(found[2], ", ") {
				checked++
				if !hasTest(tests, before, name) {
					t.Errorf("%s: there is no %s %s", document, before, name)
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d tests are cited", checked)
	}
}

// hasTest says whether a test is in the package that a word names by the end of its path, or anywhere if it names none. Behind -run
// the beginning of a name does.
func hasTest(tests map[string][]string, word, name string) bool {
	var inPackage, packages, anywhere bool
	for folder, names := range tests {
		has := slices.ContainsFunc(names, func(n string) bool { return n == name || word == "-run" && strings.HasPrefix(n, name) })
		anywhere = anywhere || has
		if word != "" && strings.HasSuffix("/"+folder, "/"+word) {
			packages, inPackage = true, inPackage || has
		}
	}
	if packages {
		return inPackage
	}
	return anywhere
}

// testsByFolder are the names of the repository's tests.
func testsByFolder(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && (strings.HasPrefix(entry.Name(), ".") || slices.Contains(built, entry.Name())):
			return fs.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
		for _, found := range function.FindAllSubmatch(text, -1) {
			out[folder] = append(out[folder], string(found[1]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
