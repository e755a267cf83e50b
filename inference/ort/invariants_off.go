//go:build !race && !invariants

package ort

// invariants says whether errors of the caller's program panic instead of being returned.
const invariants = false
