// Package filetest writes checkpoint files for tests: small ones of any content, sound or not.
package filetest

import (
	"encoding/binary"
	"math"
)

// GGML's numbers of the metadata kinds.
const (
	kindUint32  = 4
	kindInt32   = 5
	kindFloat32 = 6
	kindBool    = 7
	kindString  = 8
	kindArray   = 9
	kindUint64  = 10
)

// GGUF collects the parts of a GGUF file of version 3. The zero value is an empty one.
type GGUF struct {
	Alignment int // of the tensors' data; 0: 32

	values, tensors []byte
	data            []byte
	valueCount      uint64
	tensorCount     uint64
}

// key begins a metadata value.
func (g *GGUF) key(key string, kind uint32) {
	g.valueCount++
	g.values = text(g.values, key)
	g.values = binary.LittleEndian.AppendUint32(g.values, kind)
}

// text appends a string in GGUF's form.
func text(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// Raw adds a metadata value of any kind, encoded by the caller.
func (g *GGUF) Raw(key string, kind uint32, value []byte) {
	g.key(key, kind)
	g.values = append(g.values, value...)
}

// Text adds a string.
func (g *GGUF) Text(key, value string) {
	g.key(key, kindString)
	g.values = text(g.values, value)
}

// Uint32 adds a uint32.
func (g *GGUF) Uint32(key string, value uint32) {
	g.key(key, kindUint32)
	g.values = binary.LittleEndian.AppendUint32(g.values, value)
}

// Uint64 adds a uint64.
func (g *GGUF) Uint64(key string, value uint64) {
	g.key(key, kindUint64)
	g.values = binary.LittleEndian.AppendUint64(g.values, value)
}

// Float32 adds a float32.
func (g *GGUF) Float32(key string, value float32) {
	g.key(key, kindFloat32)
	g.values = binary.LittleEndian.AppendUint32(g.values, math.Float32bits(value))
}

// Bool adds a bool.
func (g *GGUF) Bool(key string, value bool) {
	g.key(key, kindBool)
	b := byte(0)
	if value {
		b = 1
	}
	g.values = append(g.values, b)
}

// Texts adds an array of strings.
func (g *GGUF) Texts(key string, values ...string) {
	g.array(key, kindString, len(values))
	for _, v := range values {
		g.values = text(g.values, v)
	}
}

// Int32s adds an array of int32.
func (g *GGUF) Int32s(key string, values ...int32) {
	g.array(key, kindInt32, len(values))
	for _, v := range values {
		g.values = binary.LittleEndian.AppendUint32(g.values, uint32(v))
	}
}

// Float32s adds an array of float32.
func (g *GGUF) Float32s(key string, values ...float32) {
	g.array(key, kindFloat32, len(values))
	for _, v := range values {
		g.values = binary.LittleEndian.AppendUint32(g.values, math.Float32bits(v))
	}
}

// array begins an array.
func (g *GGUF) array(key string, element uint32, n int) {
	g.key(key, kindArray)
	g.values = binary.LittleEndian.AppendUint32(g.values, element)
	g.values = binary.LittleEndian.AppendUint64(g.values, uint64(n))
}

// Tensor adds a tensor of GGML's type number and of shape, outermost dimension first, at the next aligned offset.
func (g *GGUF) Tensor(name string, number uint32, shape []int, data []byte) {
	for len(g.data)%g.alignment() != 0 {
		g.data = append(g.data, 0)
	}
	g.Entry(name, number, shape, uint64(len(g.data)))
	g.data = append(g.data, data...)
}

// Entry adds a tensor's description without data.
func (g *GGUF) Entry(name string, number uint32, shape []int, offset uint64) {
	g.tensorCount++
	g.tensors = text(g.tensors, name)
	g.tensors = binary.LittleEndian.AppendUint32(g.tensors, uint32(len(shape)))
	for i := range shape {
		g.tensors = binary.LittleEndian.AppendUint64(g.tensors, uint64(shape[len(shape)-1-i]))
	}
	g.tensors = binary.LittleEndian.AppendUint32(g.tensors, number)
	g.tensors = binary.LittleEndian.AppendUint64(g.tensors, offset)
}

func (g *GGUF) alignment() int {
	if g.Alignment == 0 {
		return 32
	}
	return g.Alignment
}

// Bytes gives the file.
func (g *GGUF) Bytes() []byte {
	b := []byte("GGUF\x03\x00\x00\x00")
	b = binary.LittleEndian.AppendUint64(b, g.tensorCount)
	b = binary.LittleEndian.AppendUint64(b, g.valueCount)
	b = append(b, g.values...)
	b = append(b, g.tensors...)
	for len(b)%g.alignment() != 0 {
		b = append(b, 0)
	}
	return append(b, g.data...)
}
