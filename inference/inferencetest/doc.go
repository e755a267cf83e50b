// Package inferencetest helps to test what lies on either side of runner.Session: Toy is a session on integers that
// shows every mistake of a scheduler as a wrong token or a panic, and TestSession checks that an implementation
// keeps the contract.
package inferencetest
