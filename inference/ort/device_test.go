package ort

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDevices(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][]Device{
		"cpu":              {{Provider: CPU}},
		"cpu:threads=2":    {{Provider: CPU, Threads: 2}},
		"cpu:threads=1024": {{Provider: CPU, Threads: 1024}},
		"cuda":             {{Provider: CUDA}},
		"cuda:0":           {{Provider: CUDA}},
		"cuda:3":           {{Provider: CUDA, ID: 3}},
		// A replica of the model goes on each GPU, in the order given.
		"cuda:1,0":           {{Provider: CUDA, ID: 1}, {Provider: CUDA, ID: 0}},
		"cuda:0,1:threads=2": {{Provider: CUDA, Threads: 2}, {Provider: CUDA, ID: 1, Threads: 2}},
		"cuda:threads=2":     {{Provider: CUDA, Threads: 2}},
	} {
		got, err := ParseDevices(spec)
		if err != nil {
			t.Errorf("%q: %v", spec, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", spec, diff)
		}
	}
	for _, spec := range []string{
		"", "CPU", "gpu", "cpu:0", "cpu:", "cpu:threads", "cpu:threads=", "cpu:threads=0", "cpu:threads=-1",
		"cpu:threads=+2", "cpu:threads=1025", "cpu:threads=99999999999999999999", "cpu:threads=2:threads=3", "cpu:cores=2",
		"cuda:", "cuda:x", "cuda:-1", "cuda:0,", "cuda:0,0", "cuda:256", "cuda:0:1", "cuda:threads=2:0", "cuda:0:threads=0",
	} {
		got, err := ParseDevices(spec)
		var bad *DeviceSpecError
		if !errors.As(err, &bad) || bad.Spec != spec || got != nil {
			t.Errorf("%q: got %v, %v, want a DeviceSpecError", spec, got, err)
		}
	}
}

// FuzzParseDevices checks that what is accepted reads the same after being written.
func FuzzParseDevices(f *testing.F) {
	for _, spec := range []string{"cpu:threads=2", "cuda:0,1:threads=4", "cuda", "cuda:,"} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		devices, err := ParseDevices(spec)
		if err != nil {
			return
		}
		if len(devices) == 0 {
			t.Fatalf("%q: no device and no error", spec)
		}
		for _, d := range devices {
			again, err := ParseDevices(d.String())
			if err != nil {
				t.Fatalf("%q: %q: %v", spec, d, err)
			}
			if diff := cmp.Diff([]Device{d}, again); diff != "" {
				t.Fatalf("%q: %q (-want +got):\n%s", spec, d, diff)
			}
		}
	})
}

func TestDivide(t *testing.T) {
	t.Parallel()
	cpu := func(threads ...int) (devices []Device) {
		for _, n := range threads {
			devices = append(devices, Device{Provider: CPU, Threads: n})
		}
		return devices
	}
	gpu := Device{Provider: CUDA}
	for _, test := range []struct {
		devices []Device
		cores   int
		want    []Device
	}{
		{cpu(0), 8, cpu(0)},
		{cpu(3), 8, cpu(3)},
		{cpu(0, 0), 8, cpu(4, 4)},
		{cpu(0, 0), 2, cpu(1, 1)},
		{cpu(0, 0, 0), 8, cpu(3, 3, 2)},
		{cpu(0, 0, 0), 2, cpu(1, 1, 1)},
		{cpu(0, 5, 0), 8, cpu(2, 5, 1)},
		{cpu(0, 9), 8, cpu(1, 9)},
		{cpu(2, 2), 16, cpu(2, 2)},
		{append(cpu(0), gpu), 8, append(cpu(0), gpu)},
		{[]Device{gpu, gpu}, 8, []Device{gpu, gpu}},
	} {
		given := slices.Clone(test.devices)
		if got := divide(test.devices, test.cores); !slices.Equal(got, test.want) {
			t.Errorf("%v on %d cores: %v, want %v", test.devices, test.cores, got, test.want)
		}
		if !slices.Equal(given, test.devices) {
			t.Errorf("%v was changed", given)
		}
	}
}
