package onnx

// Layout gives tensors their places in a data file, one after another. The zero value with a Location is ready to
// use. It holds numbers only: the bytes are written by whoever asked for the place, in any order.
//
// A tensor of a page or more starts on a page of 4096 bytes, so that ONNX Runtime can map it instead of copying it
// (it maps initializers of the CPU that it doesn't repack); a smaller one on 64 bytes, a cache line and the widest
// vector.
type Layout struct {
	Location string
	end      int64
}

const (
	pageSize = 4096
	lineSize = 64
)

// Place reserves length bytes and returns where.
func (l *Layout) Place(length int64) *External {
	align := int64(lineSize)
	if length >= pageSize {
		align = pageSize
	}
	offset := (l.end + align - 1) / align * align
	l.end = offset + length
	return &External{Location: l.Location, Offset: offset, Length: length}
}

// Size is the length of the data file: the end of the last tensor.
func (l *Layout) Size() int64 { return l.end }
