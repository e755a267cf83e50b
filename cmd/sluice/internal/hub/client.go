package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
)

// Client fetches from one hub. It is safe for concurrent use.
type Client struct {
	// Endpoint is the hub's address, without a slash at the end: "https://huggingface.co".
	Endpoint string
	// Token is sent to the hub's host and to no other; "": none.
	Token string
	// Dir is the folder of the cache that files are put into, Reuse the cache of huggingface_hub, of which files are
	// copied instead of fetched; "": there is none.
	Dir, Reuse string

	Progress  setup.Progress
	UserAgent string

	// Attempts is how often something is tried that makes no progress, Wait how long before the second time; it doubles
	// from one to the next. Zero values are 6 and a second.
	Attempts int
	Wait     time.Duration

	transport http.RoundTripper       // nil: patientTransport; for tests
	fsync     func(path string) error // nil: fsync; for tests
}

const (
	defaultAttempts = 6
	defaultWait     = time.Second
	maxWait         = 2 * time.Minute
	maxRedirects    = 8
	stallTimeout    = time.Minute // without a byte
	headerTimeout   = time.Minute
)

// http is the client of one request. Headers that prove who asks do not follow a redirect to another host, and what was
// asked for safely is not asked for unsafely.
func (c *Client) http() *http.Client {
	transport := c.transport
	if transport == nil {
		transport = patientTransport()
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return fmt.Errorf("a redirect from https to %s", r.URL.Scheme)
			}
			if r.URL.Host != via[0].URL.Host {
				r.Header.Del("Authorization")
			}
			return nil
		},
	}
}

// patientTransport is http.DefaultTransport with a bound on the wait for an answer. It is one for all requests, which share
// its connections.
//
//nolint:gochecknoglobals // as http.DefaultTransport is
var patientTransport = sync.OnceValue(func() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok { // somebody replaced it
		return http.DefaultTransport
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = headerTimeout
	return t
})

// url is an address on the hub; parts are escaped, but for slashes in those of a file.
func (c *Client) url(parts ...string) string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(c.Endpoint, "/"))
	for _, part := range parts {
		b.WriteByte('/')
		b.WriteString(part)
	}
	return b.String()
}

// escapePath escapes each part of a path.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// get asks once. An answer that is no success is an error, and may be worth another try (see retriable).
func (c *Client) get(ctx context.Context, address string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	request.Header.Set("User-Agent", cmp.Or(c.UserAgent, "sluice"))
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	response, err := c.http().Do(request)
	if err != nil {
		return nil, withoutQuery(err)
	}
	if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusPartialContent {
		return response, nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<16)) // so that the connection can be used again
	_ = response.Body.Close()
	return nil, &answer{response: response, Code: response.StatusCode, URL: bare(request.URL)}
}

// answer is a StatusError with the headers that came with it.
type answer struct {
	StatusError
	response *http.Response
}

// Unwrap gives what callers may know.
func (a *answer) Unwrap() error { return &a.StatusError }

// bare is an address without what may be secret in it.
func bare(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// withoutQuery takes the query out of the address that an error of net/http holds: that of a redirect is signed.
func withoutQuery(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if u, parse := url.Parse(e.URL); parse == nil {
			e.URL = bare(u)
		}
	}
	return err
}

// refusal makes of an answer what a person can act on.
func (c *Client) refusal(repository, what string, err error) error {
	a, ok := errors.AsType[*answer](err)
	if !ok {
		return err
	}
	code := a.response.Header.Get("X-Error-Code")
	switch {
	case a.Code == http.StatusUnauthorized || a.Code == http.StatusForbidden:
		return &AccessError{
			Repository: repository, Page: c.url(repository), HasToken: c.Token != "", Gated: code == "GatedRepo",
		}
	case a.Code == http.StatusNotFound && code == "RevisionNotFound":
		return &NotFoundError{What: "such revision of " + repository}
	case a.Code == http.StatusNotFound:
		return &NotFoundError{What: what}
	default:
		return err
	}
}

// retry calls f until it succeeds, fails for good, or has failed so often in a row without progress. f says whether it
// made progress.
func (c *Client) retry(ctx context.Context, f func() (progress bool, err error)) error {
	wait := cmp.Or(c.Wait, defaultWait)
	next := wait
	for attempt := 1; ; attempt++ {
		progress, err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if progress {
			attempt, next = 1, wait
		}
		if !retriable(err) || attempt >= cmp.Or(c.Attempts, defaultAttempts) {
			return err
		}
		pause := next/2 + rand.N(next/2+1) //nolint:gosec // so that clients do not come back together
		next = min(2*next, maxWait)
		if asked, ok := retryAfter(err); ok {
			pause = min(asked, maxWait)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// errBroken says that an answer ended before its end.
var errBroken = errors.New("the answer broke off")

// broken marks an error of reading an answer: whatever the protocol calls it (a reset stream of HTTP/2 has its own type), it
// may go away by itself, unless the request was given up.
func broken(ctx context.Context, err error) error {
	if err == nil || err == io.EOF || ctx.Err() != nil { //nolint:errorlint // a Reader returns it bare
		return err
	}
	return fmt.Errorf("%w: %w", errBroken, err)
}

// retriable says whether an error may go away by itself.
func retriable(err error) bool {
	if errors.Is(err, errBroken) {
		return true
	}
	if a, ok := errors.AsType[*answer](err); ok {
		return a.Code == http.StatusTooManyRequests || a.Code == http.StatusRequestTimeout || a.Code >= 500
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		// A name that does not exist, or a certificate that is not right, stays so.
		return e.Timeout() || e.Temporary() || errors.Is(e, io.EOF) || errors.Is(e, io.ErrUnexpectedEOF) || isConnection(e)
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled) || isConnection(err)
}

// retryAfter is how long a server asks to wait, in seconds or until a date.
func retryAfter(err error) (time.Duration, bool) {
	a, ok := errors.AsType[*answer](err)
	if !ok {
		return 0, false
	}
	text := a.response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 3600)) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}
