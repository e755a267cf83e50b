package gateway

import (
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/sluiceml/sluice/server/requestid"
)

// requestIDHeader is where proxies name a request, and where OpenAI's API answers with its name for it.
const requestIDHeader = "X-Request-ID"

// withRequestIDs gives every request an id, which its answer carries, whatever that is: the one that its caller, or a proxy before
// us, has given it, or else a new one. One that the native API would refuse is replaced: nobody asked for a request to fail by its
// name.
func withRequestIDs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if id == "" || requestid.Check(id) != nil {
			id = "req-" + rand.Text()
			r.Header.Set(requestIDHeader, id)
		}
		nameAnswer(w, id)
		next.ServeHTTP(w, r)
	})
}

// requestID is a request's id.
func requestID(r *http.Request) string { return r.Header.Get(requestIDHeader) }

// partID is the id of one of the native requests that a request becomes, counted from 0: the request's own where it becomes one
// alone.
func partID(id string, part, parts int) string {
	if parts == 1 {
		return id
	}
	number := fmt.Sprintf("-%d", part+1)
	return id[:min(len(id), requestid.Max-len(number))] + number
}

// nameAnswer says which request an answer is of. It is for before the answer's first byte.
func nameAnswer(w http.ResponseWriter, id string) { w.Header().Set(requestIDHeader, id) }
