package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// draining is the address of a server that goes away: it still holds a stream, refuses new calls, and is gone once the
// stream ends. Since such a server does not last, there is one only while somebody is connected: the first connection
// starts it, the end of the last one lets it go, and the next finds another.
type draining struct {
	binary     string
	grpc, http net.Listener
	cancel     context.CancelFunc // ends a start that takes place
	tasks      sync.WaitGroup

	mu    sync.Mutex
	users int      // guarded by mu: connections
	now   *leaving // guarded by mu; nil: none
	err   error    // guarded by mu: what went wrong
}

// leaving is a server that drains.
type leaving struct {
	server *process
	held   *exec.Cmd // the client whose stream keeps it there
}

func newDraining(ctx context.Context, binary string) (_ *draining, err error) {
	d := &draining{binary: binary}
	if d.grpc, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if d.http, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, d.grpc.Close())
	}
	ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it ends by stop
	d.forward(ctx, d.grpc, func(p *process) string { return p.addr })
	d.forward(ctx, d.http, func(p *process) string { return p.http })
	return d, nil
}

// forward passes the connections of a listener on to an address of the server, until it is closed.
func (d *draining) forward(ctx context.Context, listener net.Listener, addr func(*process) string) {
	d.tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			d.tasks.Go(func() { d.serve(ctx, conn, addr) })
		}
	})
}

// stop ends the server, and with it the connections that clients have not closed.
func (d *draining) stop() error {
	err := errors.Join(d.grpc.Close(), d.http.Close())
	d.cancel()
	d.mu.Lock()
	d.let()
	d.mu.Unlock()
	d.tasks.Wait()
	return errors.Join(err, d.err)
}

// serve passes a connection on to the server.
func (d *draining) serve(ctx context.Context, conn net.Conn, addr func(*process) string) {
	defer func() { _ = conn.Close() }() // to be through with it
	to, err := d.enter(ctx)
	defer d.leave()
	if err != nil {
		return
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", addr(to))
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }() // as above
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{server, conn}, {conn, server}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // whichever side ends first ends both
			ended <- struct{}{}
		}()
	}
	<-ended
}

// enter counts a connection and returns the server that it is for.
func (d *draining) enter(ctx context.Context) (_ *process, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users++
	if d.now == nil {
		if d.now, err = leave(ctx, d.binary); err != nil {
			if ctx.Err() != nil {
				return nil, err // stopped: nobody is to be served any more
			}
			fmt.Fprintln(os.Stderr, "servers: draining:", err)
			d.err = errors.Join(d.err, err)
			return nil, err
		}
	}
	return d.now.server, nil
}

func (d *draining) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users--; d.users == 0 {
		d.let()
	}
}

// let lets the server go, if there is one. The caller holds mu.
func (d *draining) let() {
	if d.now != nil {
		d.err = errors.Join(d.err, d.now.end())
		d.now = nil
	}
}

// leave starts a server, has it work on a long answer, and tells it to go. When it returns, the server refuses calls, or the
// context or startTimeout has ended what kept it from that.
func leave(ctx context.Context, binary string) (*leaving, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	server, err := start(ctx, binary, []string{"--drain-timeout", "1h"})
	if err != nil {
		return nil, err
	}
	held := exec.CommandContext(context.WithoutCancel(ctx), binary, //nolint:gosec // the developer's own binary
		"generate", "--addr", server.addr, "--raw", "--max-tokens", "8000", "--ignore-eos", "The capital of France is")
	text, err := held.StdoutPipe()
	if err == nil {
		err = held.Start()
	}
	if err != nil {
		return nil, errors.Join(err, server.stop())
	}
	l := &leaving{server: server, held: held}
	first := bufio.NewReader(text)
	begun := context.AfterFunc(ctx, func() { _ = held.Process.Kill() })
	if _, err := first.ReadByte(); err != nil {
		return nil, errors.Join(fmt.Errorf("the stream to be held does not begin: %w", err), held.Wait(), server.stop())
	}
	begun()
	go func() { _, _ = first.WriteTo(io.Discard) }()
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, errors.Join(err, l.end())
	}
	if err := server.untilItRefuses(ctx, binary); err != nil {
		return nil, errors.Join(err, l.end())
	}
	return l, nil
}

// untilItRefuses waits until a server that was told to go refuses calls.
func (p *process) untilItRefuses(ctx context.Context, binary string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		said, err := exec.CommandContext(ctx, binary, "models", "--addr", p.addr).CombinedOutput() //nolint:gosec // as above
		if err != nil && strings.Contains(string(said), "drain") {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.drained:
			return fmt.Errorf("the server has not drained but ended: %s", said)
		case <-ctx.Done():
			return fmt.Errorf("the server refuses no call: %w: %s", context.Cause(ctx), said)
		}
	}
}

// end ends the stream, and with it the server. That has its signal already: another one would break its drain off.
func (l *leaving) end() error {
	_ = l.held.Process.Kill() // it may have ended
	_ = l.held.Wait()         // killed
	return l.server.wait()
}
