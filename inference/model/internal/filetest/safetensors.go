package filetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Safetensors collects the tensors of a safetensors file. The zero value is an empty one.
type Safetensors struct {
	header, data bytes.Buffer
}

// Tensor adds a tensor.
func (s *Safetensors) Tensor(name, dtype string, shape []int, data []byte) {
	var dims bytes.Buffer
	for i, n := range shape {
		if i > 0 {
			dims.WriteByte(',')
		}
		fmt.Fprint(&dims, n)
	}
	at := s.data.Len()
	s.data.Write(data)
	s.Entry(name, fmt.Sprintf(`{"dtype":%q,"shape":[%s],"data_offsets":[%d,%d]}`, dtype, &dims, at, s.data.Len()))
}

// Entry adds a member of the header: its name, and its value as JSON.
func (s *Safetensors) Entry(name, value string) {
	if s.header.Len() > 0 {
		s.header.WriteByte(',')
	}
	fmt.Fprintf(&s.header, "%q:%s", name, value)
}

// Bytes gives the file, its header padded to a multiple of 8 as the reference implementation does.
func (s *Safetensors) Bytes() []byte {
	header := "{" + s.header.String() + "}"
	for len(header)%8 != 0 {
		header += " "
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), s.data.Bytes()...)
}
