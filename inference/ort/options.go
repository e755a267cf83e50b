package ort

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	onnx "github.com/yalue/onnxruntime_go"
)

// sessionOptions are ONNX Runtime's options for a device.
//
// Threads of the pool spin between operators of a run: waiting in the kernel instead makes decoding 1.3 to 1.9 times
// slower. force_spinning_stop ends the spinning with the run; by default a core burns for another 26 ms. One that has found
// nothing for spinDuration waits in the kernel: where others want the cores, the thread that has the work may be waiting for
// the one that spins.
//
// A library that does not know an entry ignores it without a word. Of these, the limit of the spinning came with ONNX Runtime
// 1.26: 1.24 and 1.25, which are taken too, spin for as long as they always did, and give the same numbers.
//
// Denormals are left alone. session.set_denormal_as_zero sets the processor's mode on the thread that runs, which here
// is any thread of Go's: parts of a run would compute in one mode or the other, and Go code after it too. (It was
// measured to gain nothing.)
//
// The memory arena stays on: without it a session of the default model peaks 75 MB higher, from fragments. Memory
// patterns make no difference.
func sessionOptions(device Device) (*onnx.SessionOptions, error) {
	options, err := onnx.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("making session options: %w", err)
	}
	if err := setOptions(options, device); err != nil {
		return nil, errors.Join(err, options.Destroy())
	}
	return options, nil
}

// Entries of onnxruntime_session_options_config_keys.h.
const (
	allowSpinning      = "session.intra_op.allow_spinning"
	forceSpinningStop  = "session.force_spinning_stop"
	spinDurationMicros = "session.intra_op.spin_duration_us"
)

// spinDuration is several times what lies between two operators of a run that need the threads, and a small part of the
// milliseconds for which the kernel lets a thread have a core.
const spinDuration = 100 * time.Microsecond

func setOptions(options *onnx.SessionOptions, device Device) error {
	threads := device.Threads
	if threads == 0 {
		threads = PhysicalCores()
	}
	if err := errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1), // operators run one after the other
		options.SetExecutionMode(onnx.ExecutionModeSequential),
		options.SetGraphOptimizationLevel(onnx.GraphOptimizationLevelEnableAll),
		options.SetLogSeverityLevel(onnx.LoggingLevelError),
		options.AddSessionConfigEntry(allowSpinning, "1"),
		options.AddSessionConfigEntry(forceSpinningStop, "1"),
		options.AddSessionConfigEntry(spinDurationMicros, strconv.FormatInt(spinDuration.Microseconds(), 10)),
	); err != nil {
		return fmt.Errorf("setting session options: %w", err)
	}
	if device.Provider == CUDA {
		if err := appendCUDA(options, device.ID); err != nil {
			return &DeviceError{Device: device, Err: err}
		}
	}
	return nil
}

// appendCUDA asks for a GPU. ONNX Runtime answers with an error where its build has no CUDA provider, where CUDA's own
// libraries are missing, and where there is no such GPU.
func appendCUDA(options *onnx.SessionOptions, id int) (err error) {
	cuda, err := onnx.NewCUDAProviderOptions()
	if err != nil {
		return fmt.Errorf("asking for CUDA: %w", err)
	}
	defer func() { err = errors.Join(err, cuda.Destroy()) }()
	if err := cuda.Update(map[string]string{"device_id": strconv.Itoa(id)}); err != nil {
		return fmt.Errorf("asking for CUDA: %w", err)
	}
	if err := options.AppendExecutionProviderCUDA(cuda); err != nil {
		return fmt.Errorf("asking for CUDA: %w", err)
	}
	return nil
}
