package ort

import "testing"

// TestThreshold: what the environment says of glibc's heap stands.
func TestThreshold(t *testing.T) {
	const variable, tunable, ours = "MALLOC_THRESHOLD_OF_A_TEST_", "glibc.malloc.trim_threshold", 7
	for _, test := range []struct {
		name, variable, tunables string
		want                     int
	}{
		{"another tunable", "", "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold_of=1", ours},
		{"the tunable", "", "glibc.malloc.trim_threshold=131072", 0},
		{"the tunable among others", "", "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=131072", 0},
		{"the variable", "131072", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.variable != "" {
				t.Setenv(variable, test.variable)
			}
			t.Setenv("GLIBC_TUNABLES", test.tunables)
			if got := threshold(variable, tunable, ours); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}
