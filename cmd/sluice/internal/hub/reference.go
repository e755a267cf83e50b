package hub

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Scheme is how the name of a model on a hub begins.
const Scheme = "hf://"

// Reference names a model on a hub: hf://owner/name[@revision][/file].
type Reference struct {
	Repository string // owner/name
	Revision   string // a branch, a tag or a commit; "main" if the text names none
	File       string // "" or the path of one file
}

// String is the reference as Parse reads it.
func (r Reference) String() string {
	s := Scheme + r.Repository
	if r.Revision != mainRevision {
		s += "@" + url.PathEscape(r.Revision)
	}
	if r.File != "" {
		s += "/" + r.File
	}
	return s
}

const (
	mainRevision = "main"
	maxReference = 1024 // bytes
)

// Parse reads a reference. A revision with a slash is written with %2F.
func Parse(text string) (Reference, error) {
	fail := func(format string, args ...any) (Reference, error) {
		return Reference{}, fmt.Errorf("%.200q: %s: write hf://owner/name, hf://owner/name@revision or hf://owner/name/file.gguf",
			text, fmt.Sprintf(format, args...))
	}
	rest, ok := strings.CutPrefix(text, Scheme)
	if !ok || len(text) > maxReference {
		return fail("it is no name of a model on a hub")
	}
	owner, rest, _ := strings.Cut(rest, "/")
	name, file, _ := strings.Cut(rest, "/")
	name, revision, pinned := strings.Cut(name, "@")
	if !isRepositoryPart(owner) || !isRepositoryPart(name) {
		return fail("owner and name are letters, digits, '-', '_' and '.'")
	}
	r := Reference{Repository: owner + "/" + name, Revision: mainRevision, File: file}
	if pinned {
		var err error
		if r.Revision, err = url.PathUnescape(revision); err != nil || !isRevision(r.Revision) {
			return fail("the revision is none")
		}
	}
	if file != "" && checkName(file) != nil {
		return fail("the file's name is none")
	}
	return r, nil
}

var repositoryPart = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?$`)

// isRepositoryPart says whether a text may be an owner or a name, by the hub's own rule.
func isRepositoryPart(s string) bool {
	return len(s) <= 96 && repositoryPart.MatchString(s) &&
		!strings.Contains(s, "..") && !strings.Contains(s, "--")
}

// isRevision says whether a text may be the name of a branch, a tag or a commit.
func isRevision(s string) bool {
	return s != "" && len(s) <= 255 && !strings.Contains(s, "..") && !strings.HasPrefix(s, "/") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`\?*[~^:#%`, r) })
}

// checkName refuses the path of a file that could lie, or be taken to lie, outside its folder, or that is one of this
// package's own.
func checkName(name string) error {
	bad := func(reason string) error { return fmt.Errorf("the file name %.200q is refused: %s", name, reason) }
	switch {
	case name == "" || len(name) > 1000:
		return bad("it is empty or too long")
	case name != path.Clean(name) || path.IsAbs(name) || strings.HasPrefix(name, "../") || name == "..":
		return bad("it is no path below a folder")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == ':' || r == '\ufffd' }):
		return bad("it has characters that no model's file has")
	case strings.HasSuffix(name, partSuffix):
		return bad("it ends in " + partSuffix)
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > 255 || strings.HasPrefix(part, ".") && part != ".gitattributes" && part != ".gitignore" {
			return bad("it has a hidden or an overlong part")
		}
	}
	return nil
}
