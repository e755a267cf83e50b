// Package model knows what a model is on disk: a checkpoint to convert (Source, Spec, Tensor) and a folder to serve
// (Folder, Manifest).
package model
