package hub

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluiceml/sluice/internal/loopback"
)

// defaultEndpoint is the hub that references mean unless HF_ENDPOINT says otherwise.
const defaultEndpoint = "https://huggingface.co"

// maxToken is the limit of a token's bytes.
const maxToken = 4096

// FromEnvironment makes a client as the variables HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HOME and HF_HUB_CACHE say,
// with the meaning that they have for huggingface_hub. dir is the folder of our own cache. Progress is left to the caller.
func FromEnvironment(getenv func(string) string, dir string) (*Client, error) {
	c := &Client{Endpoint: strings.TrimSuffix(cmp.Or(getenv("HF_ENDPOINT"), defaultEndpoint), "/"), Dir: dir}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("HF_ENDPOINT is %.200q, which is not the URL of a hub", c.Endpoint)
	}
	home := getenv("HF_HOME")
	if home == "" {
		if cache := cmp.Or(getenv("XDG_CACHE_HOME"), under(getenv("HOME"), ".cache")); cache != "" {
			home = filepath.Join(cache, "huggingface")
		}
	}
	c.Reuse = cmp.Or(getenv("HF_HUB_CACHE"), under(home, "hub"))
	c.Token, err = token(getenv, home)
	if err != nil {
		return nil, err
	}
	if c.Token != "" && u.Scheme == "http" && !loopback.Host(u.Hostname()) {
		return nil, fmt.Errorf("HF_ENDPOINT %s is not encrypted and would get your token: use https, or unset HF_TOKEN", c.Endpoint)
	}
	return c, nil
}

// under is a path below dir, "" if there is no dir.
func under(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// token is the user's token: HF_TOKEN, or what is in the file that `hf auth login` writes. "": there is none.
func token(getenv func(string) string, home string) (string, error) {
	text := getenv("HF_TOKEN")
	from := "HF_TOKEN"
	if text == "" {
		from = cmp.Or(getenv("HF_TOKEN_PATH"), under(home, "token"))
		if from == "" {
			return "", nil
		}
		data, err := os.ReadFile(from)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("read the hub's token: %w", err)
		}
		text = string(data)
	}
	text = strings.TrimSpace(text)
	if len(text) > maxToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("%s holds no token", from)
	}
	return text, nil
}
