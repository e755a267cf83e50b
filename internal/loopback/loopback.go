// Package loopback tells which addresses can be reached from this machine only.
package loopback

import "net"

// Host reports whether a host, without a port, is this machine: "localhost" or a loopback address. It asks no name server.
func Host(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Addr reports whether only this machine reaches the address of a TCP listener.
func Addr(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
