// Package browsertest holds the tests of the playground in a real browser, before a real server process.
package browsertest
