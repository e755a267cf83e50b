package ort

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Provider is the part of ONNX Runtime that computes.
type Provider string

// The providers that a session can use.
const (
	CPU  Provider = "cpu"
	CUDA Provider = "cuda"
)

// Device is where one session runs. The zero value is not one: see [ParseDevices].
type Device struct {
	Provider Provider
	ID       int // which GPU; 0 on the CPU
	Threads  int // threads of the CPU's operators, the engine's own counted; 0: one per physical core that this process may use
}

// String is the device in the form that [ParseDevices] reads.
func (d Device) String() string {
	text := string(d.Provider)
	if d.Provider == CUDA {
		text += ":" + strconv.Itoa(d.ID)
	}
	if d.Threads > 0 {
		text += ":threads=" + strconv.Itoa(d.Threads)
	}
	return text
}

// maxThreads and maxDeviceID bound what people may ask for, against slips of the keyboard.
const (
	maxThreads  = 1024
	maxDeviceID = 255
)

// DeviceSpecError says that the description of a device is wrong.
type DeviceSpecError struct{ Spec, Reason string }

func (e *DeviceSpecError) Error() string {
	return fmt.Sprintf("device %q: %s (examples: cpu, cpu:threads=4, cuda:0, cuda:0,1)", e.Spec, e.Reason)
}

// ParseDevices reads a device as people write it: "cpu", "cpu:threads=N", "cuda", "cuda:0", "cuda:0:threads=2". Several
// GPUs, "cuda:0,1", are several devices: a replica of the model goes on each. It looks at no hardware; whether the
// device exists is found out when a session is opened on it. The error is a [DeviceSpecError].
func ParseDevices(spec string) ([]Device, error) {
	fail := func(format string, args ...any) error {
		return &DeviceSpecError{Spec: spec, Reason: fmt.Sprintf(format, args...)}
	}
	parts := strings.Split(spec, ":")
	device := Device{Provider: Provider(parts[0])}
	if device.Provider != CPU && device.Provider != CUDA {
		return nil, fail("unknown provider %q", parts[0])
	}
	ids := []int{0}
	for i, part := range parts[1:] {
		key, value, isOption := strings.Cut(part, "=")
		switch {
		case isOption && key == "threads" && device.Threads == 0:
			n, ok := parseNumber(value, maxThreads)
			if !ok || n == 0 {
				return nil, fail("threads must be 1 to %d", maxThreads)
			}
			device.Threads = n
		case isOption:
			return nil, fail("unknown or repeated option %q", key)
		case i > 0 || device.Provider != CUDA:
			return nil, fail("%q is no option; options are threads=N", part)
		default:
			ids = ids[:0]
			for text := range strings.SplitSeq(part, ",") {
				id, ok := parseNumber(text, maxDeviceID)
				if !ok {
					return nil, fail("a GPU's number must be 0 to %d", maxDeviceID)
				}
				if slices.Contains(ids, id) {
					return nil, fail("GPU %d is named twice", id)
				}
				ids = append(ids, id)
			}
		}
	}
	devices := make([]Device, len(ids))
	for i, id := range ids {
		devices[i] = device
		devices[i].ID = id
	}
	return devices, nil
}

// DivideCores gives each device on the CPU that has no number of threads its share of the physical cores that the
// others leave, at least one: together, replicas that spin must not outnumber the cores. A single one is left as it is.
func DivideCores(devices []Device) []Device { return divide(devices, PhysicalCores()) }

func divide(devices []Device, cores int) []Device {
	var unset []int
	onCPU := 0
	for i, d := range devices {
		if d.Provider != CPU {
			continue
		}
		onCPU++
		cores -= d.Threads
		if d.Threads == 0 {
			unset = append(unset, i)
		}
	}
	if onCPU < 2 {
		return devices
	}
	divided := slices.Clone(devices)
	for k, i := range unset { // the first ones take what does not divide
		left := len(unset) - k
		divided[i].Threads = max(1, (cores+left-1)/left)
		cores -= divided[i].Threads
	}
	return divided
}

// parseNumber reads plain decimal digits.
func parseNumber(text string, most int) (int, bool) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n <= most
}
