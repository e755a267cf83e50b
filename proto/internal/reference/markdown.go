package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// reference writes the reference of some files: their services, then their messages and enumerations, in the files' order.
func reference(files []*protogen.File) string {
	var b strings.Builder
	b.WriteString("<!-- Generated from the comments of proto/sluice/v1 by `make generate`. Do not edit. -->\n\n")
	b.WriteString("# API reference\n\nThe services and messages of `sluice.v1`. ")
	b.WriteString("Names are those of gRPC; JSON has them in lowerCamelCase and takes both.\n")
	for _, file := range files {
		for _, service := range file.Services {
			writeService(&b, service)
		}
	}
	for _, file := range files {
		b.WriteString("\n## " + file.Desc.Path() + "\n")
		for _, message := range file.Messages {
			writeMessage(&b, message)
		}
		for _, enum := range file.Enums {
			writeEnum(&b, enum)
		}
	}
	return b.String()
}

func writeService(b *strings.Builder, service *protogen.Service) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n", service.Desc.Name(), paragraphs(service.Comments))
	for _, method := range service.Methods {
		answers := ""
		if method.Desc.IsStreamingServer() {
			answers = "stream of "
		}
		fmt.Fprintf(b, "\n### %s.%s\n\n%s → %s%s\n\n%s\n", service.Desc.Name(), method.Desc.Name(),
			link(method.Input.Desc), answers, link(method.Output.Desc), paragraphs(method.Comments))
	}
}

func writeMessage(b *strings.Builder, message *protogen.Message) {
	if message.Desc.IsMapEntry() {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n%s\n", local(message.Desc), paragraphs(message.Comments))
	if len(message.Fields) > 0 {
		b.WriteString("\n| field | type | |\n|---|---|---|\n")
	}
	for _, field := range message.Fields {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", field.Desc.Name(), fieldType(field), cell(field))
	}
	for _, nested := range message.Messages {
		writeMessage(b, nested)
	}
	for _, enum := range message.Enums {
		writeEnum(b, enum)
	}
}

func writeEnum(b *strings.Builder, enum *protogen.Enum) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n| value | |\n|---|---|\n", local(enum.Desc), paragraphs(enum.Comments))
	for _, value := range enum.Values {
		fmt.Fprintf(b, "| `%s` | %s |\n", value.Desc.Name(), oneLine(value.Comments))
	}
}

// cell describes a field: its own comment, and of which choice it is.
func cell(field *protogen.Field) string {
	text := oneLine(field.Comments)
	if oneof := field.Oneof; oneof != nil && !oneof.Desc.IsSynthetic() {
		text = strings.TrimSpace(fmt.Sprintf("One of `%s`. %s", oneof.Desc.Name(), text))
	}
	return text
}

// fieldType names a field's type, with a link where the reference has it.
func fieldType(field *protogen.Field) string {
	switch {
	case field.Desc.IsMap():
		key, value := field.Message.Fields[0], field.Message.Fields[1]
		return fmt.Sprintf("map of %s to %s", fieldType(key), fieldType(value))
	case field.Desc.IsList():
		return "repeated " + singleType(field)
	case field.Desc.HasOptionalKeyword():
		return "optional " + singleType(field)
	default:
		return singleType(field)
	}
}

func singleType(field *protogen.Field) string {
	switch {
	case field.Enum != nil:
		return link(field.Enum.Desc)
	case field.Message != nil:
		return link(field.Message.Desc)
	default:
		return field.Desc.Kind().String()
	}
}

// link names a message or an enumeration; those of the house have a heading to link to.
func link(desc protoreflect.Descriptor) string {
	if desc.ParentFile().Package() != house {
		return "`" + string(desc.FullName()) + "`"
	}
	name := local(desc)
	return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(strings.ReplaceAll(name, ".", "")))
}

// local is a name without its package.
func local(desc protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(desc.FullName()), string(desc.ParentFile().Package())+".")
}

// paragraphs is a comment as Markdown: lists and paragraphs stay what they are.
func paragraphs(comments protogen.CommentSet) string {
	return strings.TrimSpace(plain(comments))
}

// oneLine is a comment for a table's cell.
func oneLine(comments protogen.CommentSet) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(plain(comments)), " "), "|", `\|`)
}

// plain is a comment's text, without the directives of linters.
func plain(comments protogen.CommentSet) string {
	var b strings.Builder
	for _, text := range []protogen.Comments{comments.Leading, comments.Trailing} {
		for line := range strings.Lines(string(text)) {
			line = strings.TrimPrefix(line, " ")
			if !strings.HasPrefix(line, "buf:lint:") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}
