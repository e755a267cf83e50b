// Command reference is a plugin of protoc that writes what people and programs read of the API: docs/api.md, from the
// comments of the protos, and the schemas of the messages in the gateway's OpenAPI document.
//
// Its options are api=FILE, the reference; base=FOLDER, the parts of the OpenAPI document that are written by hand;
// and openapi=FILE, the document. `buf generate` runs it; `make checkgenerate` fails if its files are not up to date.
package main

import (
	"errors"
	"flag"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/pluginpb"
)

// house is the package that is described. The protocols of others have descriptions of their own.
const house = "sluice.v1"

func main() {
	var flags flag.FlagSet
	api := flags.String("api", "", "file of the reference")
	base := flags.String("base", "", "folder of the hand-written parts of the OpenAPI document")
	openapi := flags.String("openapi", "", "file of the OpenAPI document")
	protogen.Options{ParamFunc: flags.Set}.Run(func(plugin *protogen.Plugin) error {
		plugin.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		if *api == "" || *base == "" || *openapi == "" {
			return errors.New("the options api, base and openapi are required")
		}
		var files []*protogen.File
		for _, file := range plugin.Files {
			if file.Generate && file.Desc.Package() == house {
				files = append(files, file)
			}
		}
		if _, err := plugin.NewGeneratedFile(*api, "").Write([]byte(reference(files))); err != nil {
			return err
		}
		written, err := readParts(*base)
		if err != nil {
			return err
		}
		document, err := addSchemas(written, files)
		if err != nil {
			return err
		}
		_, err = plugin.NewGeneratedFile(*openapi, "").Write(document)
		return err
	})
}
