package gateway

import "net/http"

// requestIDHeader is where proxies name a request, and where OpenAI's API answers with its name for it.
const requestIDHeader = "X-Request-ID"

// maxRequestID is the length of a name that the native API takes, in bytes.
const maxRequestID = 128

// requestID is the name that the caller, or a proxy before us, has given a request, and repeats it in the answer, whatever that
// is. It is "" if there is none, or one that the native API would refuse: nobody asked for a request to fail by its name.
func requestID(w http.ResponseWriter, r *http.Request) string {
	id := r.Header.Get(requestIDHeader)
	if len(id) > maxRequestID {
		return ""
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return ""
		}
	}
	nameAnswer(w, id)
	return id
}

// nameAnswer says which request an answer is of. It is for before the answer's first byte.
func nameAnswer(w http.ResponseWriter, id string) {
	if id != "" {
		w.Header().Set(requestIDHeader, id)
	}
}
