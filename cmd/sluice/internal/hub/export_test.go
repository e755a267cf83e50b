package hub

import "net/http"

// SetTransport has a client use a transport, such as one that trusts a test's server.
func (c *Client) SetTransport(t http.RoundTripper) { c.transport = t }
