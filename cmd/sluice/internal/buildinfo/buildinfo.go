// Package buildinfo reports how the binary was built.
package buildinfo

import (
	"runtime"
	"runtime/debug"
)

// Info is a build.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // "unknown" if the build did not know it
	Modified bool   `json:"modified"` // built from a tree with changes
	Go       string `json:"go"`
	Platform string `json:"platform"` // linux/amd64
}

// Read is the build of this binary. Linked is the version that the linker has set; if it is empty, it is the module's.
func Read(linked string) Info {
	b := Info{Version: linked, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
