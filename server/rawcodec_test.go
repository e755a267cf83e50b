package server_test

import (
	"errors"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// raw is a message as bytes.
type raw []byte

// rawCodec puts bytes on the wire as they are, in the name of the proto codec.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	bytes, ok := v.(raw)
	if !ok {
		return nil, errors.New("not raw")
	}
	return mem.BufferSlice{mem.SliceBuffer(bytes)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	message, ok := v.(proto.Message)
	if !ok {
		return errors.New("not a message")
	}
	return proto.Unmarshal(data.Materialize(), message) //nolint:wrapcheck // a test's codec
}

func (rawCodec) Name() string { return "proto" }
