package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// keyPrefix begins every key that NewKey makes, so that scanners for leaked secrets can find it.
const keyPrefix = "slk_"

// minKeyBytes is the length below which a key is not taken to be random: 22 characters can hold 128 bits.
const minKeyBytes = 22

// maxKeyBytes bounds what is hashed for a call.
const maxKeyBytes = 512

// NewKey makes a key: slk_ and 52 characters of base 32, which hold 260 random bits.
func NewKey() string { return keyPrefix + rand.Text() + rand.Text() }

// HashKey is what a policy keeps of a key: its SHA-256 in hexadecimal. A key that is short, long or holds other than
// printable ASCII is an error: it would not survive a header, or somebody made it up.
func HashKey(key string) (string, error) {
	switch {
	case len(key) < minKeyBytes:
		return "", errors.New("the key is shorter than 22 characters: it must be random, as `sluice keys new` makes it")
	case len(key) > maxKeyBytes:
		return "", errors.New("the key is longer than 512 characters")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("the key holds other than printable ASCII without spaces")
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:]), nil
}
