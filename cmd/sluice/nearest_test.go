package main

import "testing"

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"SLOTS", "QUEUE", "QUEUE_TIME", "GRPC_ADDR"}
	for name, want := range map[string]string{
		"SLOT": "SLOTS", "SOLTS": "SLOTS", "GRCP_ADRR": "GRPC_ADDR", "QUEUES": "QUEUE",
		"PORT": "", "SERVICE_HOST": "", "PORT_50051_TCP_ADDR": "", // Kubernetes' of a service
		"": "", "ab": "", "S": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "acb", 1}, {"ca", "abc", 3}, {"kitten", "sitting", 3}} {
		if got := typos(test.a, test.b); got != test.want {
			t.Errorf("%q and %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
