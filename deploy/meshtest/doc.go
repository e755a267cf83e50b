// Package meshtest holds the tests of Sluice behind other people's proxies: a real Envoy and a real nginx, with the
// configurations of deploy/envoy and deploy/nginx, before two real server processes on loopback. They need what
// `make test-mesh` provides, and its build tag.
package meshtest
