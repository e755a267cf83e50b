// Package auth decides who may call what, and how much: API keys and certificate identities, the methods and models
// that each may use, and its quotas. It knows no transport: the interceptors and the HTTP listener ask it.
//
// A [Guard] holds the [Policy] in force, read from a file that the operator may change while the server runs. Each
// call is checked once, by its headers and the identity of its connection, and gets a [Principal], which travels in the
// call's context; what depends on the request (the model, the tokens) is asked of the Principal later. Whatever is
// refused is counted by its [Reason].
//
// Keys are random and long, so that a plain SHA-256 keeps them: no one can try that many. A key is looked up by its
// hash, which a caller cannot steer towards a stored one byte by byte, so the time of the look-up tells nothing; the
// hash that was found is compared in constant time all the same.
package auth
