package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// router is a mux that knows which methods its paths take, to say so to who comes with another.
type router struct {
	mux     http.ServeMux
	methods map[string][]string // by path; of paths that take any method, nothing
}

// Handle is http.ServeMux's.
func (r *router) Handle(pattern string, handler http.Handler) {
	if method, path, ok := strings.Cut(pattern, " "); ok {
		if r.methods == nil {
			r.methods = map[string][]string{}
		}
		r.methods[path] = append(r.methods[path], method)
	}
	r.mux.Handle(pattern, handler)
}

// HandleFunc is http.ServeMux's.
func (r *router) HandleFunc(pattern string, handler http.HandlerFunc) { r.Handle(pattern, handler) }

// ServeHTTP implements http.Handler.
func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// refuseOthers adds the answer to whatever there is no route for. It is called once, after the last route.
func (r *router) refuseOthers() {
	for path, methods := range r.methods {
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead) // as the mux has it
		}
		slices.Sort(methods)
		allow := strings.Join(methods, ", ")
		r.mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) { wrongMethod(w, req, allow) })
	}
	r.mux.HandleFunc("/", notFound)
}
