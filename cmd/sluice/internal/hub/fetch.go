package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
)

const (
	partSuffix = ".part" // of what is not whole yet
	lockName   = ".lock"
	parallel   = 3       // files at once
	reserve    = 1 << 28 // bytes that a file system keeps free
)

// Fetch puts files of a snapshot into a folder of the cache and gives the folder. Files that are there are kept.
func (c *Client) Fetch(ctx context.Context, s *Snapshot, files []File) (dir string, err error) {
	dir = filepath.Join(c.Dir, strings.ReplaceAll(s.Repository, "/", "--"), s.Commit)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("fetch %s: %w", s.Repository, err)
	}
	lock := flock.New(filepath.Join(dir, lockName))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return "", fmt.Errorf("fetch %s: wait for another process that fetches it: %w", s.Repository, err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if err := checkSpace(dir, files); err != nil {
		return "", fmt.Errorf("fetch %s: %w", s.Repository, err)
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, f := range files {
		group.Go(func() error {
			if err := c.file(working, s, f, dir); err != nil {
				return fmt.Errorf("fetch %s of %s: %w", f.Path, s.Repository, err)
			}
			return nil
		})
	}
	return dir, group.Wait()
}

// checkSpace says that the file system has no room for what is missing.
func checkSpace(dir string, files []File) error {
	var missing int64
	for _, f := range files {
		missing += f.Size
		for _, suffix := range []string{"", partSuffix} {
			if info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Path)) + suffix); err == nil {
				missing -= min(info.Size(), f.Size)
			}
		}
		if missing < 0 {
			return errors.New("the listing's sizes are too large")
		}
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("look for room at %s: %w", dir, err)
	}
	free := int64(stat.Bavail) * int64(stat.Bsize) //nolint:unconvert,gosec // the types differ between systems
	if missing > 0 && missing > free-reserve {
		return fmt.Errorf("%d MB are missing and %s has room for %d MB", missing>>20, dir, max(0, free-reserve)>>20)
	}
	return nil
}

// download is one file on its way.
type download struct {
	client   *Client
	snapshot *Snapshot
	file     File
	part     string
	task     setup.Task
	shown    int64 // bytes that task knows of
	most     int64 // bytes that part has had
}

// file fetches one file, unless it is there.
func (c *Client) file(ctx context.Context, s *Snapshot, f File, dir string) (err error) {
	if err := checkName(f.Path); err != nil {
		return err
	}
	final := filepath.Join(dir, filepath.FromSlash(f.Path))
	if info, err := os.Lstat(final); err == nil {
		if info.Mode().IsRegular() && info.Size() == f.Size {
			return nil // it got its name because it was whole
		}
		return fmt.Errorf("%s is in the way: remove it", final)
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o700); err != nil {
		return err
	}
	d := &download{client: c, snapshot: s, file: f, part: final + partSuffix, task: c.Progress.Start("fetching "+f.Path, f.Size)}
	defer func() { d.task.Done(err) }()
	for attempt := 1; ; attempt++ {
		err = d.reuse()
		if err != nil {
			err = c.retry(ctx, func() (bool, error) { return d.more(ctx) })
		}
		if err != nil {
			return c.refusal(s.Repository, fmt.Sprintf("file %s in %s", f.Path, s.Repository), err)
		}
		if err = verify(d.part, f); err == nil {
			return d.settle(final)
		}
		// Whatever came, it is not the file: begin again, once.
		if _, ok := errors.AsType[*HashError](err); !ok || attempt == 2 {
			return errors.Join(err, os.Remove(d.part))
		}
		if err := os.Remove(d.part); err != nil {
			return err
		}
		d.most = 0
	}
}

// settle gives the whole file its name. If the machine stops, the file has all its bytes or not that name.
func (d *download) settle(final string) error {
	durable := d.client.fsync
	if durable == nil {
		durable = fsync
	}
	if err := durable(d.part); err != nil {
		return err
	}
	if err := os.Rename(d.part, final); err != nil {
		return err
	}
	return durable(filepath.Dir(final))
}

// fsync makes what a file or a folder holds durable.
func fsync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// reuse takes the file from the cache of huggingface_hub. An error says that it has to be fetched.
func (d *download) reuse() (err error) {
	c := d.client
	if _, partial := os.Lstat(d.part); c.Reuse == "" || partial == nil {
		return errors.New("nothing to copy")
	}
	path := filepath.Join(c.Reuse, "models--"+strings.ReplaceAll(d.snapshot.Repository, "/", "--"), "snapshots", d.snapshot.Commit,
		filepath.FromSlash(d.file.Path))
	if err := verify(path, d.file); err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // read only
	to, err := os.OpenFile(d.part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(to, io.LimitReader(from, d.file.Size))
	d.show(n)
	return errors.Join(err, to.Close())
}

// show tells people how much of the file is here.
func (d *download) show(size int64) {
	d.task.Add(size - d.shown)
	d.shown = size
}

// more asks for what is missing of the file and appends what comes. It is progress if the file has become longer than it
// has been: a server that begins again each time would make no other.
func (d *download) more(ctx context.Context) (progress bool, err error) {
	out, err := os.OpenFile(d.part, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	if have > d.file.Size {
		have = 0
	}
	d.most = max(d.most, have)
	if have == d.file.Size && have > 0 {
		d.show(have)
		return false, nil
	}
	reading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, have, err := d.open(reading, have)
	if err != nil {
		return false, err
	}
	defer body.Close() //nolint:errcheck // read only
	if err := out.Truncate(have); err != nil {
		return false, err
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return false, err
	}
	d.show(have)
	stall := time.AfterFunc(stallTimeout, func() { cancel(errStalled) })
	defer stall.Stop()
	n, err := io.Copy(out, &watched{ctx: reading, r: io.LimitReader(body, d.file.Size-have), read: func(n int) {
		stall.Reset(stallTimeout)
		d.show(d.shown + int64(n))
	}})
	if errors.Is(context.Cause(reading), errStalled) {
		err = errStalled
	}
	if err == nil && have+n < d.file.Size {
		err = io.ErrUnexpectedEOF
	}
	progress = have+n > d.most
	d.most = max(d.most, have+n)
	return progress, err
}

// open asks for the file from a byte on; the answer may begin before that, at the returned byte.
func (d *download) open(ctx context.Context, from int64) (io.ReadCloser, int64, error) {
	header := http.Header{"Accept-Encoding": {"identity"}} // the hash is that of the bytes as they lie there
	if from > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	s := d.snapshot
	response, err := d.client.get(ctx, d.client.url(s.Repository, "resolve", s.Commit, escapePath(d.file.Path)), header)
	if err != nil {
		return nil, 0, err
	}
	if err := d.announced(response); err != nil {
		return nil, 0, errors.Join(err, response.Body.Close())
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, 0, nil
	}
	var first, last, total int64
	if _, err := fmt.Sscanf(response.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total); err != nil ||
		first != from || total != d.file.Size {
		return nil, 0, errors.Join(fmt.Errorf("it answers the range %.80q, not %d to the end of %d bytes",
			response.Header.Get("Content-Range"), from, d.file.Size), response.Body.Close())
	}
	return response.Body, from, nil
}

// announced compares the hash that the hub's redirect announces with that of the listing, before much is fetched.
func (d *download) announced(response *http.Response) error {
	for r := response; r != nil; r = r.Request.Response { // back through the redirects
		tag := strings.Trim(strings.TrimPrefix(r.Header.Get("X-Linked-Etag"), "W/"), `"`)
		if tag != "" && d.file.SHA256 != "" && tag != d.file.SHA256 {
			return &HashError{File: d.file.Path, Got: tag, Want: d.file.SHA256}
		}
		if commit := r.Header.Get("X-Repo-Commit"); commit != "" && commit != d.snapshot.Commit {
			return fmt.Errorf("the hub answers with the commit %.80q, not %s", commit, d.snapshot.Commit)
		}
	}
	return nil
}

// watched tells of each read of an answer, and marks its errors.
type watched struct {
	ctx  context.Context //nolint:containedctx // that of the request whose answer it reads
	r    io.Reader
	read func(n int)
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.read(n)
	return n, broken(w.ctx, err)
}

// errStalled says that a server has sent nothing for a long time.
var errStalled = errors.New("the hub sends nothing any more")

// isConnection says whether a connection broke, or could not be made for now.
func isConnection(err error) bool {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.IsTemporary || e.IsTimeout
	}
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}
