package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// object is a JSON object. Its keys are written in order, so that a document has the same bytes each time.
type object = map[string]any

// readParts reads the part of an OpenAPI document that is written by hand: the files of a folder, which together are one object.
func readParts(folder string) (object, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	whole := object{}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // of the folder that the developer names
		if err != nil {
			return nil, err
		}
		part := object{}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber() // a float64 does not hold the bounds of an int64
		if err := decoder.Decode(&part); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := join(whole, part); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return whole, nil
}

// join adds what part has to whole. Only objects may be in both.
func join(whole, part object) error {
	for key, value := range part {
		there, found := whole[key]
		if !found {
			whole[key] = value
			continue
		}
		into, ok := there.(object)
		more, also := value.(object)
		if !ok || !also {
			return fmt.Errorf("%s is in another part too", key)
		}
		if err := join(into, more); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// addSchemas adds the paths of the unary methods and the schemas of the messages to an OpenAPI document, and returns its text.
func addSchemas(whole object, files []*protogen.File) ([]byte, error) {
	paths, _ := whole["paths"].(object)
	components, _ := whole["components"].(object)
	schemas, _ := components["schemas"].(object)
	if paths == nil || schemas == nil {
		return nil, errors.New("the document's base has no paths or no schemas")
	}
	maps.Copy(schemas, scalars())
	for _, file := range files {
		for _, service := range file.Services {
			for _, method := range service.Methods {
				if !method.Desc.IsStreamingServer() {
					paths[fmt.Sprintf("/%s/%s", service.Desc.FullName(), method.Desc.Name())] = operation(method)
				}
			}
		}
		for _, enum := range file.Enums {
			schemas[string(enum.Desc.FullName())] = enumeration(enum)
		}
		for _, message := range file.Messages {
			addMessage(schemas, message)
		}
	}
	var written bytes.Buffer
	encoder := json.NewEncoder(&written)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(whole); err != nil {
		return nil, err
	}
	return written.Bytes(), nil
}

// operation is a unary method as Connect has it: a post of JSON.
func operation(method *protogen.Method) object {
	content := func(message *protogen.Message) object {
		return object{"application/json": object{"schema": schemaOf(message.Desc)}}
	}
	return object{"post": object{
		"operationId": string(method.Parent.Desc.Name()) + "_" + string(method.Desc.Name()),
		"tags":        []string{"native"},
		"description": paragraphs(method.Comments),
		"requestBody": object{"required": true, "content": content(method.Input)},
		"responses": object{
			"200": object{"description": "The answer.", "content": content(method.Output)},
			"4XX": object{"$ref": "#/components/responses/native"},
			"5XX": object{"$ref": "#/components/responses/native"},
		},
	}}
}

func addMessage(schemas object, message *protogen.Message) {
	if message.Desc.IsMapEntry() {
		return
	}
	properties := object{}
	for _, field := range message.Fields {
		schema := fieldSchema(field)
		if text := cell(field); text != "" {
			schema["description"] = text
		}
		properties[field.Desc.JSONName()] = schema
	}
	schemas[string(message.Desc.FullName())] = object{
		"type": []string{"object", "null"}, "description": paragraphs(message.Comments), "properties": properties,
	}
	for _, nested := range message.Messages {
		addMessage(schemas, nested)
	}
	for _, enum := range message.Enums {
		schemas[string(enum.Desc.FullName())] = enumeration(enum)
	}
}

// fieldSchema is the schema of a field's value. Null is what is not there, for any field.
func fieldSchema(field *protogen.Field) object {
	switch {
	case field.Desc.IsMap():
		return object{"type": []string{"object", "null"}, "additionalProperties": singleSchema(field.Message.Fields[1])}
	case field.Desc.IsList():
		return object{"type": []string{"array", "null"}, "items": singleSchema(field)}
	default:
		return singleSchema(field)
	}
}

func singleSchema(field *protogen.Field) object {
	switch {
	case field.Enum != nil:
		return schemaOf(field.Enum.Desc)
	case field.Message != nil:
		return schemaOf(field.Message.Desc)
	default:
		return object{"$ref": "#/components/schemas/" + field.Desc.Kind().String()}
	}
}

func schemaOf(desc protoreflect.Descriptor) object {
	return object{"$ref": "#/components/schemas/" + string(desc.FullName())}
}

// enumeration is an enumeration's schema: names, or numbers as well.
func enumeration(enum *protogen.Enum) object {
	names := []string{}
	for _, value := range enum.Values {
		names = append(names, string(value.Desc.Name()))
	}
	return object{
		"description": paragraphs(enum.Comments),
		"anyOf":       []object{{"type": "string", "enum": names}, {"type": []string{"integer", "null"}}},
	}
}

// scalars are the types of fields as protobuf's JSON has them: 64 bits as strings, and numbers written as strings taken too.
// The well-known types that the API uses are among them.
func scalars() object {
	number := func(kind, format, digits string) object {
		return object{"anyOf": []object{
			{"type": []string{kind, "null"}, "format": format},
			{"type": "string", "pattern": digits},
		}}
	}
	const whole, decimal = `^-?[0-9]+$`, `^(-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?|NaN|-?Infinity)$`
	return object{
		"bool":   object{"type": []string{"boolean", "null"}},
		"string": object{"type": []string{"string", "null"}},
		"bytes":  object{"type": []string{"string", "null"}, "contentEncoding": "base64"},
		"int32":  number("integer", "int32", whole), "uint32": number("integer", "uint32", whole),
		"int64": number("integer", "int64", whole), "uint64": number("integer", "uint64", whole),
		"float": number("number", "float", decimal), "double": number("number", "double", decimal),
		"google.protobuf.Duration": object{
			"type": []string{"string", "null"}, "pattern": `^-?[0-9]+([.][0-9]{1,9})?s$`, "description": "Seconds, such as \"1.5s\".",
		},
		"google.protobuf.Timestamp": object{"type": []string{"string", "null"}, "format": "date-time"},
	}
}
