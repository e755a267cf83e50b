package sluice_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	sluice "github.com/sluiceml/sluice/clients/go"
)

// TestWindows reads from the wire what a client takes before it is read, and that it does not measure the connection, by
// pings, as data come.
func TestWindows(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := sluice.New(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Conn().(interface{ Connect() }).Connect()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // against a client that says nothing
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	mark := [8]byte{'m', 'a', 'r', 'k'}
	if err := errors.Join(
		framer.WriteSettings(), framer.WriteData(1, false, []byte("of a stream that is over")), framer.WritePing(false, mark),
	); err != nil {
		t.Fatal(err)
	}
	const asByDefault = 65535 // a connection's window, which no setting changes
	stream, whole := 0, asByDefault
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if size, ok := frame.Value(http2.SettingInitialWindowSize); ok {
				stream = int(size)
			}
		case *http2.WindowUpdateFrame:
			if frame.StreamID == 0 {
				whole += int(frame.Increment)
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				t.Error("data made the client send a ping")
				continue
			}
			if frame.Data != mark {
				t.Errorf("an answer to %q", frame.Data)
			}
			if stream != 2<<20 || whole != 8<<20 {
				t.Errorf("the window of a stream has %d bytes, that of a connection %d", stream, whole)
			}
			return
		}
	}
}
