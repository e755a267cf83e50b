package hub

import (
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// File is a file of a commit.
type File struct {
	Path   string // with slashes, below the folder of the model
	Size   int64  // bytes
	SHA256 string // of a large file, lower-case hexadecimal; "": OID counts
	OID    string // of a small one: git's SHA-1 of "blob SIZE\0" and the bytes
}

// Snapshot is a commit of a model and what it holds.
type Snapshot struct {
	Repository string
	Commit     string
	Files      []File // sorted by path
}

// The limits of what a hub may say.
const (
	maxListing = 32 << 20 // bytes of one answer
	maxPages   = 64
	maxFiles   = 1 << 16
)

var (
	sha1Form   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)
	nextLink   = regexp.MustCompile(`<([^>]*)>;\s*rel="next"`) // of a Link header
)

// Resolve finds the commit of a reference and lists its files.
func (c *Client) Resolve(ctx context.Context, r Reference) (*Snapshot, error) {
	var about struct {
		SHA string `json:"sha"`
	}
	address := c.url("api/models", r.Repository, "revision", url.PathEscape(r.Revision))
	if _, err := c.json(ctx, address, &about); err != nil {
		return nil, c.refusal(r.Repository, "model "+r.Repository, err)
	}
	if !sha1Form.MatchString(about.SHA) {
		return nil, fmt.Errorf("the hub names the commit %.80q of %s, which is none", about.SHA, r.Repository)
	}
	s := &Snapshot{Repository: r.Repository, Commit: about.SHA}
	next := c.url("api/models", r.Repository, "tree", about.SHA) + "?recursive=true"
	for range maxPages {
		var err error
		if next, err = c.page(ctx, s, next); err != nil {
			return nil, c.refusal(r.Repository, "model "+r.Repository, err)
		}
		if next == "" {
			slices.SortFunc(s.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
			return s, nil
		}
	}
	return nil, fmt.Errorf("the hub lists more files of %s than any model has", r.Repository)
}

// treeEntry is a file or a folder of a listing.
type treeEntry struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	OID  string `json:"oid"`
	LFS  *struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	} `json:"lfs"`
}

// files are those of a part of a listing.
func files(entries []treeEntry) ([]File, error) {
	var list []File
	for _, e := range entries {
		if e.Type != "file" {
			continue
		}
		f, err := e.file()
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// page adds a part of the listing to s and gives the address of the next one, "" after the last.
func (c *Client) page(ctx context.Context, s *Snapshot, address string) (next string, err error) {
	var entries []treeEntry
	header, err := c.json(ctx, address, &entries)
	if err != nil {
		return "", err
	}
	list, err := files(entries)
	if err != nil {
		return "", err
	}
	if s.Files = append(s.Files, list...); len(s.Files) > maxFiles {
		return "", fmt.Errorf("the hub lists more than %d files of %s", maxFiles, s.Repository)
	}
	return c.nextPage(header)
}

// file checks an entry of the listing.
func (e treeEntry) file() (File, error) {
	f := File{Path: e.Path, Size: e.Size, OID: e.OID}
	if e.LFS != nil {
		f.SHA256, f.Size = strings.TrimPrefix(e.LFS.OID, "sha256:"), e.LFS.Size
		if !sha256Form.MatchString(f.SHA256) {
			return File{}, fmt.Errorf("the hub's listing has no hash of %.200q", e.Path)
		}
	} else if !sha1Form.MatchString(f.OID) {
		return File{}, fmt.Errorf("the hub's listing has no hash of %.200q", e.Path)
	}
	if f.Size < 0 {
		return File{}, fmt.Errorf("the hub's listing says that %.200q has %d bytes", e.Path, f.Size)
	}
	return f, nil
}

// nextPage is the address of the next part of a listing, which must be the hub's own: it gets the token.
func (c *Client) nextPage(header http.Header) (string, error) {
	link := nextLink.FindStringSubmatch(header.Get("Link"))
	if link == nil {
		return "", nil
	}
	hub, err := url.Parse(c.Endpoint)
	if err != nil {
		return "", err
	}
	next, err := hub.Parse(link[1])
	if err != nil || next.Scheme != hub.Scheme || next.Host != hub.Host {
		return "", errors.New("the hub continues its listing on another host")
	}
	return next.String(), nil
}

// json asks for a JSON text.
func (c *Client) json(ctx context.Context, address string, v any) (header http.Header, err error) {
	err = c.retry(ctx, func() (bool, error) {
		response, err := c.get(ctx, address, nil)
		if err != nil {
			return false, err
		}
		defer response.Body.Close() //nolint:errcheck // read only
		data, err := io.ReadAll(io.LimitReader(response.Body, maxListing+1))
		if err != nil {
			return false, broken(ctx, err)
		}
		if len(data) > maxListing {
			return false, fmt.Errorf("%s answers more than %d bytes", bare(response.Request.URL), maxListing)
		}
		header = response.Header
		if err := json.Unmarshal(data, v); err != nil {
			return false, fmt.Errorf("%s answers no listing: %w", bare(response.Request.URL), err)
		}
		return false, nil
	})
	return header, err
}
