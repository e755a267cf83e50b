package main

import (
	"encoding/json"
	"fmt"

	"github.com/sluiceml/sluice/cmd/sluice/internal/buildinfo"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/ort"
)

type versionCmd struct {
	JSON        bool   `help:"Print one JSON object." name:"json"`
	ONNXRuntime string `help:"ONNX Runtime library to report on instead of the one in the cache." name:"onnxruntime" placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (versionCmd) Help() string {
	return `Examples:

  sluice version
  sluice version --json | jq -r .commit`
}

// versions is what version prints.
type versions struct {
	buildinfo.Info

	ONNXRuntime string `json:"onnxruntime"` // "" if it is not set up
}

// Run prints the versions. A missing ONNX Runtime is not an error here.
func (c *versionCmd) Run(p *process) error {
	v := versions{Info: build()}
	library, err := setup.FindLibrary(c.ONNXRuntime, setup.CPU)
	switch {
	case err == nil:
		v.ONNXRuntime = libraryVersion(library)
	case c.ONNXRuntime != "":
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	}
	modified := ""
	if v.Modified {
		modified = " (modified)"
	}
	onnx := v.ONNXRuntime
	if onnx == "" {
		onnx = "not set up (run sluice setup)"
	}
	_, err = fmt.Fprintf(p.stdout, "sluice %s\ncommit %s%s\n%s %s\nONNX Runtime %s\n",
		v.Version, v.Commit, modified, v.Go, v.Platform, onnx)
	return err
}

// build is this binary's.
func build() buildinfo.Info { return buildinfo.Read(version) }

// libraryVersion asks the library itself; "" if it cannot be loaded.
func libraryVersion(path string) string {
	environment, err := ort.OpenEnvironment(path)
	if err != nil {
		return ""
	}
	defer func() { _ = environment.Close() }() // nothing was run
	return environment.Version()
}
