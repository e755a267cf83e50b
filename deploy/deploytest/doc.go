// Package deploytest holds the tests of what lies under deploy: it renders the Helm chart with the values of testdata,
// has Kubernetes' published schemas and other projects' published types judge the result, and asserts what neither can
// know: that the server takes the arguments, that the drain fits into the grace period, that nothing runs as root. They
// need what `make test-deploy` provides, and its build tag.
package deploytest
