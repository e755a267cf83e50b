package hub

import "net/http"

// SetTransport has a client use a transport, such as one that trusts a test's server.
func (c *Client) SetTransport(t http.RoundTripper) { c.transport = t }

// SetFsync has a client call f where it makes a file or a folder durable.
func (c *Client) SetFsync(f func(path string) error) { c.fsync = f }

// Fsync is what a client calls without SetFsync.
func Fsync(path string) error { return fsync(path) }
