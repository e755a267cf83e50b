// Package onnx writes and reads ONNX models: the graph of a model.onnx file, with its weights in a data file beside
// it.
//
// The messages are encoded by hand with protowire. Generated code would register the names of onnx.proto, which may
// exist once in a process only, and would hold every weight in memory. Field numbers are those of onnx.proto; only
// what a decoder-only transformer needs is here. A model is planned first ([Layout] gives every large tensor its
// place in the data file), so that the weights can be written in any order and by several goroutines, and the
// graph's message stays small.
package onnx
