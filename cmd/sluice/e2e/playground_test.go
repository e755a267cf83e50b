package e2e_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// The playground is at "/" of the HTTP address, unless one of two options says otherwise.
func TestPlayground(t *testing.T) {
	for _, c := range []struct {
		options []string
		status  int
	}{
		{nil, http.StatusOK},
		{[]string{"--no-playground"}, http.StatusNotFound},
		{[]string{"--no-gateway"}, http.StatusNotFound},
	} {
		s := serve(t, nil, c.options...)
		for _, path := range []string{"/", "/playground/app.js"} {
			res, err := http.Get("http://" + s.http + path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != c.status || c.status == http.StatusOK && !strings.Contains(strings.ToLower(string(text)), "playground") {
				t.Errorf("%v: %s: %s: %.80s", c.options, path, res.Status, text)
			}
		}
	}
}
