// Package bpe merges symbols by byte-pair encoding: of all neighbouring pairs in a word that have a merge, the one of
// the lowest rank, and of equals the leftmost, is replaced by its merged symbol until none is left.
//
// A [Model] is built once and never changes. A [Scratch] holds the buffers and the bounded word cache of one encoding
// goroutine. Short words are merged by repeated scans, long ones through a heap, very long ones window by window
// (see windows.go), so a word of n bytes costs O(n log n) at worst and there is no input that costs quadratic time.
// Words are first cut where no merge can join two characters (see cuts.go), so that text without spaces is many short
// pieces. The naive twin that judges all of it lives in the tests.
package bpe
