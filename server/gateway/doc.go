// Package gateway lets HTTP in: the OpenAI-compatible routes, the native API as Connect, gRPC-Web and JSON with
// server-sent events, and the one route of the article that the project grew from.
//
// It holds no model and decides nothing. A request becomes a gRPC call on a connection within the process, so that the
// same code checks it, bounds it, charges it and traces it, whatever protocol it came by; an answer's status becomes the
// error that the users of that protocol know.
package gateway
