// Package playground is the page at "/" of the HTTP address, on which people try the server in a browser.
//
// The page is a few files, embedded as they are written: no build step makes them, and the page takes nothing from
// anywhere else. It has no rights of its own: it calls the gateway's routes as any client does, with the key that its
// user gives it.
package playground

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// Prefix is the path below which the files of the page are; the page itself is at "/".
const Prefix = "/playground/"

// policy is the Content-Security-Policy: files and calls of the page's own origin and nothing else, no script or style
// within the page, no markup made from text (trusted types), no frame around it, no form that is sent.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// file is a file of the page as it is sent.
type file struct {
	kind           string // Content-Type
	plain, zipped  []byte
	tag, zippedTag string // ETags, which differ as the bytes do
}

// Handler serves the page at "/" and its files below Prefix.
type Handler struct{ files map[string]file }

// New reads the embedded files. It fails only if the binary was built without them.
func New() (*Handler, error) {
	h := &Handler{files: map[string]file{}}
	err := fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := web.ReadFile(name)
		if err != nil {
			return err //nolint:wrapcheck // below
		}
		f, err := newFile(path.Ext(name), text)
		h.files[strings.TrimPrefix(name, "web/")] = f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("playground: %w", err)
	}
	return h, nil
}

// kinds are the types of the files, which must not depend on the machine's own table.
var kinds = map[string]string{ //nolint:gochecknoglobals // a table
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func newFile(extension string, text []byte) (file, error) {
	kind, ok := kinds[extension]
	if !ok {
		return file{}, fmt.Errorf("no type for %q", extension)
	}
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return file{}, fmt.Errorf("compress: %w", err)
	}
	sum := sha256.Sum256(text)
	tag := base64.RawURLEncoding.EncodeToString(sum[:12])
	return file{kind: kind, plain: text, zipped: zipped.Bytes(), tag: `"` + tag + `"`, zippedTag: `"` + tag + `-gzip"`}, nil
}

// ServeHTTP implements http.Handler. It answers GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := "index.html"
	if r.URL.Path != "/" {
		name = strings.TrimPrefix(r.URL.Path, Prefix)
	}
	f, ok := h.files[name]
	if !ok || r.URL.Path != "/" && name == "index.html" { // whose addresses are relative to "/"
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	protect(header)
	header.Set("Content-Type", f.kind)
	// A file may be kept, and is asked for anew each time, which costs a 304: a new server's page is never one of old parts.
	header.Set("Cache-Control", "no-cache")
	header.Add("Vary", "Accept-Encoding") // to what the gateway says of origins
	body, tag := f.plain, f.tag
	if takesGzip(r) {
		header.Set("Content-Encoding", "gzip")
		body, tag = f.zipped, f.zippedTag
	}
	header.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body)) // answers If-None-Match, HEAD and ranges
}

// protect sets what keeps other pages, and scripts that got in, from doing anything with this one.
func protect(header http.Header) {
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY") // for what does not know frame-ancestors
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
}

// takesGzip says whether a client takes gzip: it is listed, and not with a quality of 0.
func takesGzip(r *http.Request) bool {
	for _, value := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(value, ",") {
			coding, quality, weighted := strings.Cut(strings.ReplaceAll(part, " ", ""), ";q=")
			if strings.EqualFold(coding, "gzip") {
				return !weighted || strings.Trim(quality, "0.") != ""
			}
		}
	}
	return false
}
