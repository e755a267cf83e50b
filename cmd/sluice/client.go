package main

import (
	client "github.com/sluiceml/sluice/clients/go"
)

// clientFlags say which server to call.
type clientFlags struct {
	Addr   string `help:"Address of the server." default:"127.0.0.1:50051" placeholder:"HOST:PORT"`
	TLSCA  string `help:"Connect with TLS and trust the certificate authorities of this PEM file." name:"tls-ca" placeholder:"FILE"`
	APIKey string `help:"Key to send with each call; better given as a variable." name:"api-key" placeholder:"KEY"`
}

// connect makes a client. It does no I/O yet.
func (f *clientFlags) connect() (*client.Client, error) {
	var options []client.Option
	if f.TLSCA != "" {
		options = append(options, client.WithCAFile(f.TLSCA))
	}
	if f.APIKey != "" {
		options = append(options, client.WithAPIKey(f.APIKey))
	}
	c, err := client.New(f.Addr, options...)
	if err != nil {
		return nil, &usageError{err: err}
	}
	return c, nil
}
