package httpserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// The public address has nothing of the admin's.
func TestPublicHasNoProfiles(t *testing.T) {
	handler := Public(http.NotFoundHandler(), func() bool { return true }, nil)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/log-level"} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if recorder.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, recorder.Code)
		}
	}
}
