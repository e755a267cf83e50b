package hub

import (
	"fmt"
	"net/http"
)

// AccessError says that the hub refuses access: to those who have no token, or whose token does not count here.
type AccessError struct {
	Repository string
	Page       string // where a person can ask for access
	Gated      bool   // the owner gives access to those who ask
	HasToken   bool
}

func (e *AccessError) Error() string {
	switch {
	case e.Gated && e.HasToken:
		return fmt.Sprintf("%s is gated and your token has no access: ask for it at %s", e.Repository, e.Page)
	case e.Gated:
		return fmt.Sprintf("%s is gated: ask for access at %s and set HF_TOKEN", e.Repository, e.Page)
	case e.HasToken:
		return fmt.Sprintf("the hub refuses your token for %s: is HF_TOKEN right, and may it read this model?", e.Repository)
	default:
		return fmt.Sprintf("the hub gives %s to nobody without a token: is the name right? If so, set HF_TOKEN", e.Repository)
	}
}

// NotFoundError says that there is no such model, revision or file.
type NotFoundError struct{ What string }

func (e *NotFoundError) Error() string { return "the hub has no " + e.What }

// StatusError is an answer of the hub that is none of the above.
type StatusError struct {
	Code int
	URL  string // without its query, which may hold a signature
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answers %d %s", e.URL, e.Code, http.StatusText(e.Code))
}

// HashError says that a file has other bytes than the hub's listing says.
type HashError struct{ File, Got, Want string }

func (e *HashError) Error() string {
	return fmt.Sprintf("%s has the hash %s, the hub's listing says %s", e.File, e.Got, e.Want)
}
