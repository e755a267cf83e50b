// Package hubtest is a small hub on loopback for tests: the routes of huggingface.co that a client needs to resolve a
// revision, list its files and fetch them, with redirects to a second host for large files, ranges, paging, and faults on
// demand.
package hubtest

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // git's names of objects are SHA-1
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Model is a repository with one commit, which every name of Revisions means.
type Model struct {
	Files     map[string][]byte
	Large     int      // files of so many bytes or more are kept by the second host; 0: none
	Revisions []string // "main" if empty
	Token     string   // which access takes; "": none
	Gated     bool     // refuse those without the token as a gated model does
	// Fault, if not nil, may spoil an answer: path is the file's, or "tree" or "revision", attempt counts from 1 for each.
	Fault func(path string, attempt int) Fault
}

// Fault is what goes wrong with one answer. The zero value is nothing.
type Fault struct {
	Status      int    // answer that and nothing else
	RetryAfter  string // with Status
	Cut         int    // break the connection after so many bytes of the body
	Corrupt     bool   // change a byte of the body
	IgnoreRange bool   // answer with the whole file
	Etag        string // announce that hash
	Listed      string // name the file so in the listing
	Size        int64  // say that size in the listing
}

// Commit is the name of the model's commit.
func (m *Model) Commit() string {
	sum := sha1.New() //nolint:gosec // as above
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		_, _ = fmt.Fprintf(sum, "%s %s\n", name, object(m.Files[name]))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// object is git's name of a file's content.
func object(data []byte) string {
	sum := sha1.New() //nolint:gosec // as above
	_, _ = fmt.Fprintf(sum, "blob %d\x00", len(data))
	_, _ = sum.Write(data)
	return hex.EncodeToString(sum.Sum(nil))
}

// Request is one that a host got.
type Request struct {
	Host  string // "hub" or "files"
	Proto string // "HTTP/1.1"
	Path  string
	Range string
	Token string
}

// Server is a running hub.
type Server struct {
	URL       string
	Transport http.RoundTripper // of NewHTTP2

	t      testing.TB
	models map[string]*Model
	files  *httptest.Server // the second host

	mu       sync.Mutex
	attempts map[string]int
	requests []Request
}

// pageSize is the number of files in one part of a listing.
const pageSize = 3

// New starts a hub that ends with the test. Models are by owner/name.
func New(t testing.TB, models map[string]*Model) *Server {
	t.Helper()
	s := &Server{t: t, models: models, attempts: map[string]int{}}
	s.start((*httptest.Server).Start)
	return s
}

// NewHTTP2 starts a hub that speaks HTTP/2 over TLS, which Transport trusts.
func NewHTTP2(t testing.TB, models map[string]*Model) *Server {
	t.Helper()
	s := &Server{t: t, models: models, attempts: map[string]int{}}
	s.start(func(host *httptest.Server) {
		host.EnableHTTP2 = true
		host.StartTLS()
	})
	s.Transport = s.files.Client().Transport // every server of httptest has one certificate
	return s
}

// start starts both hosts.
func (s *Server) start(begin func(*httptest.Server)) {
	hub := httptest.NewUnstartedServer(http.HandlerFunc(s.hub))
	s.files = httptest.NewUnstartedServer(http.HandlerFunc(s.large))
	for _, host := range []*httptest.Server{hub, s.files} {
		begin(host)
		s.t.Cleanup(host.Close)
	}
	s.URL = hub.URL
}

// Requests lists what was asked for so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// note remembers a request and counts those of a path.
func (s *Server) note(host, path string, r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.requests = append(s.requests, Request{Host: host, Proto: r.Proto, Path: path, Range: r.Header.Get("Range"), Token: token})
	s.attempts[host+path]++
	return s.attempts[host+path]
}

// fault is what goes wrong with a request.
func (s *Server) fault(m *Model, host, path string, r *http.Request) Fault {
	attempt := s.note(host, path, r)
	if m.Fault == nil {
		return Fault{}
	}
	return m.Fault(path, attempt)
}

// hub answers api/models/ID/revision/REV, api/models/ID/tree/REV and ID/resolve/REV/FILE.
func (s *Server) hub(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	api, isAPI := strings.CutPrefix(path, "api/models/")
	if !isAPI {
		api = path
	}
	parts := strings.SplitN(api, "/", 5)
	if len(parts) < 4 {
		http.NotFound(w, r)
		return
	}
	m, ok := s.models[parts[0]+"/"+parts[1]]
	if !ok {
		refuse(w, http.StatusUnauthorized, "RepoNotFound") // as huggingface.co answers those without a token
		return
	}
	if m.Token != "" && r.Header.Get("Authorization") != "Bearer "+m.Token {
		code := map[bool]string{true: "GatedRepo", false: "RepoNotFound"}[m.Gated]
		refuse(w, http.StatusUnauthorized, code)
		return
	}
	revision := strings.ReplaceAll(parts[3], "%2F", "/")
	if !slices.Contains(append(m.Revisions, m.Commit()), revision) && (revision != "main" || len(m.Revisions) > 0) {
		refuse(w, http.StatusNotFound, "RevisionNotFound")
		return
	}
	switch what := parts[2]; {
	case isAPI && what == "revision":
		s.about(w, r, m, parts[0]+"/"+parts[1])
	case isAPI && what == "tree":
		s.tree(w, r, m)
	case !isAPI && what == "resolve" && len(parts) == 5:
		s.resolve(w, r, m, strings.ReplaceAll(parts[4], "%20", " "))
	default:
		http.NotFound(w, r)
	}
}

// refuse answers with an error as the hub does.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", code)
	http.Error(w, code, status)
}

// about tells the commit of a revision.
func (s *Server) about(w http.ResponseWriter, r *http.Request, m *Model, id string) {
	f := s.fault(m, "hub", "revision", r)
	if spoilt(w, f) {
		return
	}
	siblings := []map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		siblings = append(siblings, map[string]string{"rfilename": name})
	}
	s.answer(w, f, map[string]any{"id": id, "modelId": id, "sha": m.Commit(), "siblings": siblings, "tags": []string{}})
}

// answer writes a JSON text.
func (s *Server) answer(w http.ResponseWriter, f Fault, v any) {
	if f.Cut > 0 {
		w = &cutter{ResponseWriter: w, left: f.Cut}
	}
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Errorf("answering: %v", err)
	}
}

// tree lists the files, a page at a time.
func (s *Server) tree(w http.ResponseWriter, r *http.Request, m *Model) {
	f := s.fault(m, "hub", "tree", r)
	if spoilt(w, f) {
		return
	}
	names := slices.Sorted(maps.Keys(m.Files))
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	to := min(len(names), from+pageSize)
	list := []map[string]any{{"type": "directory", "path": "a folder", "oid": strings.Repeat("0", 40), "size": 0}}
	for _, name := range names[from:to] {
		data := m.Files[name]
		entry := map[string]any{"type": "file", "path": name, "size": len(data), "oid": object(data)}
		if m.isLarge(name) {
			sum := sha256.Sum256(data)
			entry["lfs"] = map[string]any{"oid": hex.EncodeToString(sum[:]), "size": len(data), "pointerSize": 130}
		}
		if f.Listed != "" {
			entry["path"] = f.Listed
		}
		if f.Size != 0 {
			entry["size"] = f.Size
		}
		list = append(list, entry)
	}
	if to < len(names) {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?recursive=true&cursor=%d>; rel="next"`, s.URL, r.URL.EscapedPath(), to))
	}
	s.answer(w, f, list)
}

func (m *Model) isLarge(name string) bool { return m.Large > 0 && len(m.Files[name]) >= m.Large }

// resolve gives a small file, or sends to the second host for a large one.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request, m *Model, name string) {
	data, ok := m.Files[name]
	if !ok {
		refuse(w, http.StatusNotFound, "EntryNotFound")
		return
	}
	w.Header().Set("X-Repo-Commit", m.Commit())
	if !m.isLarge(name) {
		w.Header().Set("ETag", `"`+object(data)+`"`)
		s.body(w, r, s.fault(m, "hub", name, r), data)
		return
	}
	sum := sha256.Sum256(data)
	etag := hex.EncodeToString(sum[:])
	if f := s.peek(m, name); f.Etag != "" {
		etag = f.Etag
	}
	w.Header().Set("X-Linked-Etag", `"`+etag+`"`)
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
	w.Header().Set("Location", s.files.URL+"/"+strings.Join(strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 5), "/")+"?X-Signature=secret")
	s.note("hub", name, r)
	w.WriteHeader(http.StatusFound)
}

// peek is the fault of the next answer of the second host.
func (s *Server) peek(m *Model, name string) Fault {
	if m.Fault == nil {
		return Fault{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.Fault(name, s.attempts["files"+name]+1)
}

// large answers as the second host, which must not see a token.
func (s *Server) large(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 5)
	if len(parts) != 5 || r.URL.Query().Get("X-Signature") != "secret" {
		http.Error(w, "no signature", http.StatusForbidden)
		return
	}
	m, name := s.models[parts[0]+"/"+parts[1]], parts[4]
	f := s.fault(m, "files", name, r)
	if r.Header.Get("Authorization") != "" {
		s.t.Errorf("the token reached another host, for %s", name)
	}
	s.body(w, r, f, m.Files[name])
}

// spoilt answers with the fault's status, if it has one.
func spoilt(w http.ResponseWriter, f Fault) bool {
	if f.Status == 0 {
		return false
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	http.Error(w, "spoilt", f.Status)
	return true
}

// body gives a file, or the range of it that is asked for, with what is to go wrong.
func (s *Server) body(w http.ResponseWriter, r *http.Request, f Fault, data []byte) {
	if spoilt(w, f) {
		return
	}
	if f.IgnoreRange {
		r.Header.Del("Range")
	}
	if f.Corrupt {
		data = slices.Clone(data)
		data[len(data)/2] ^= 1
	}
	if f.Cut > 0 {
		w = &cutter{ResponseWriter: w, left: f.Cut}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// cutter breaks the connection after so many bytes.
type cutter struct {
	http.ResponseWriter

	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) < c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	_, _ = c.ResponseWriter.Write(b[:c.left])
	if f, ok := c.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}
