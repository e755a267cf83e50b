package browsertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ask makes a unary call of the gateway's API, to compare the page with.
func ask[T any](t *testing.T, method, request string) T {
	t.Helper()
	res, err := http.Post(address+"/sluice.v1."+method, "application/json", strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v: %s", method, res.Status, err, text)
	}
	var out T
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

type generated struct {
	Outputs []struct{ Text string }
	Usage   struct{ CompletionTokens int }
}

// replica is how busy the server's model is.
type replicas struct {
	Models []struct {
		Replicas []struct{ Slots, Running, Waiting int }
	}
}

func (r replicas) running() int { return r.Models[0].Replicas[0].Running }

// keys makes a file of two clients' keys: one may do what clients may, the other metrics too.
func keys(t *testing.T) (file, client, operator string) {
	t.Helper()
	client, first := newKey(t, "client")
	operator, second := newKey(t, "operator", "--allow", "inference,tokenizer,models,metrics")
	return keyFile(t, first, second), client, operator
}

// newKey makes a key and its entry in the file of keys.
func newKey(t *testing.T, name string, options ...string) (key, entry string) {
	t.Helper()
	made, err := exec.Command(binary, "keys", "new").Output()
	if err != nil {
		t.Fatal(err)
	}
	hash := exec.Command(binary, append([]string{"keys", "hash", name}, options...)...)
	hash.Stdin = bytes.NewReader(made)
	hashed, err := hash.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(made)), string(hashed)
}

// keyFile writes entries into a file of keys.
func keyFile(t *testing.T, entries ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(file, []byte("clients:\n"+strings.Join(entries, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// quoted is a text as JSON, and so as JavaScript.
func quoted(text any) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return string(out)
}
