package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// The configuration file is YAML. A key is an option's name without the dashes; under the name of a command are the
// options of that command alone:
//
//	log-level: debug
//	serve:
//	  grpc-addr: 0.0.0.0:50051
//	  model: [small=/models/small, large=/models/large]
//
// The command line wins over the environment, that over the file, and the file over the defaults.

// configFile is a parsed configuration file. It implements kong.Resolver.
type configFile struct {
	path     string // "" if it is not known
	options  map[string]*yaml.Node
	commands map[string]map[string]*yaml.Node
}

// configError says where a configuration file is wrong.
type configError struct {
	path   string // "" if it is not known
	line   int
	reason string
}

func (e *configError) Error() string {
	return fmt.Sprintf("%s, line %d: %s", describeConfig(e.path), e.line, e.reason)
}

// describeConfig names the configuration file, which a variable may have named.
func describeConfig(path string) string {
	if path == "" {
		return "configuration file"
	}
	return "configuration file " + path
}

// maxConfigBytes bounds the file: it is written by hand.
const maxConfigBytes = 1 << 20

// loadConfig reads a configuration file. Which keys exist is checked in Validate, when the commands are known.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	path := ""
	if named, ok := r.(*os.File); ok {
		path = named.Name()
	}
	file, err := parseConfig(path, r)
	if fault, ok := errors.AsType[*configError](err); ok {
		fault.path = path
	}
	if err != nil {
		return nil, err
	}
	return file, nil
}

// parseConfig is loadConfig, but for the file's name in a *configError.
func parseConfig(path string, r io.Reader) (*configFile, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", describeConfig(path), err)
	}
	if len(data) > maxConfigBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", describeConfig(path), maxConfigBytes)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", describeConfig(path), err)
	}
	file := &configFile{path: path, options: map[string]*yaml.Node{}, commands: map[string]map[string]*yaml.Node{}}
	if document.Kind == 0 { // empty
		return file, nil
	}
	err = eachKey(document.Content[0], func(key, value *yaml.Node) error {
		if value.Kind != yaml.MappingNode {
			return addOption(file.options, key, value)
		}
		if _, taken := file.commands[key.Value]; taken {
			return &configError{line: key.Line, reason: fmt.Sprintf("%q is set twice", key.Value)}
		}
		options := map[string]*yaml.Node{}
		file.commands[key.Value] = options
		// The line of the command itself, for Validate.
		options[""] = key
		return eachKey(value, func(key, value *yaml.Node) error { return addOption(options, key, value) })
	})
	return file, err
}

// eachKey calls f with the keys and values of a mapping.
func eachKey(node *yaml.Node, f func(key, value *yaml.Node) error) error {
	if node.Kind != yaml.MappingNode {
		return &configError{line: node.Line, reason: "expected a mapping of options"}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if err := f(node.Content[i], node.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func addOption(options map[string]*yaml.Node, key, value *yaml.Node) error {
	if _, taken := options[key.Value]; taken {
		return &configError{line: key.Line, reason: fmt.Sprintf("%q is set twice", key.Value)}
	}
	if value.Kind == yaml.SequenceNode {
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				return &configError{line: item.Line, reason: fmt.Sprintf("%q must be a list of plain values", key.Value)}
			}
		}
	} else if value.Kind != yaml.ScalarNode {
		return &configError{line: value.Line, reason: fmt.Sprintf("%q must be a plain value or a list", key.Value)}
	}
	options[key.Value] = value
	return nil
}

// Validate implements kong.Resolver: every key must be an option or a command.
func (f *configFile) Validate(app *kong.Application) error {
	var faults []error
	fault := func(line int, format string, args ...any) {
		faults = append(faults, &configError{path: f.path, line: line, reason: fmt.Sprintf(format, args...)})
	}
	check := func(key string, line int, known bool, nodes ...*kong.Node) {
		if known {
			return
		}
		prefix, name := "", key
		if i := strings.LastIndexByte(key, '.'); i >= 0 {
			prefix, name = key[:i+1], key[i+1:]
		}
		if meant := nearest(name, namesOf(nodes)); meant != "" {
			fault(line, "unknown option %q, did you mean %q?", key, prefix+meant)
			return
		}
		fault(line, "unknown option %q", key)
	}
	commands := map[string]*kong.Node{}
	for _, command := range app.Children {
		commands[command.Name] = command
	}
	isOption := func(key string) bool {
		return hasFlag(app.Node, key) ||
			slices.ContainsFunc(app.Children, func(command *kong.Node) bool { return hasFlag(command, key) })
	}
	for key, value := range f.options {
		if _, is := commands[key]; is && !isOption(key) {
			if value.Tag != "!!null" { // a section that is empty
				fault(value.Line, "%q is a command: under it belong its options", key)
			}
			continue
		}
		check(key, value.Line, isOption(key), append(slices.Clone(app.Children), app.Node)...)
	}
	for name, options := range f.commands {
		command, known := commands[name]
		switch {
		case !known && isOption(name):
			fault(options[""].Line, "%q must be a plain value or a list", name)
			continue
		case !known:
			check(name, options[""].Line, false, app.Node)
			continue
		}
		for key, value := range options {
			check(name+"."+key, value.Line, key == "" || hasFlag(command, key) || hasFlag(app.Node, key), command, app.Node)
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// notInFile are flags that are about one invocation.
func notInFile(name string) bool {
	return slices.Contains([]string{"help", "config", "print-config", "version"}, name)
}

func hasFlag(node *kong.Node, name string) bool {
	return !notInFile(name) && slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool { return f.Name == name })
}

// namesOf are the names of commands' options and, of the application itself, of its commands: those alone may have options in the
// file.
func namesOf(nodes []*kong.Node) []string {
	var names []string
	for _, node := range nodes {
		for _, flag := range node.Flags {
			if !notInFile(flag.Name) {
				names = append(names, flag.Name)
			}
		}
		for _, command := range node.Children {
			if node.Type != kong.ApplicationNode {
				break
			}
			names = append(names, command.Name)
		}
	}
	return names
}

// Resolve implements kong.Resolver.
func (f *configFile) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if notInFile(flag.Name) {
		return nil, nil //nolint:nilnil // kong's way to say that there is no value
	}
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil //nolint:nilnil // as above; the environment wins
		}
	}
	value := f.options[flag.Name]
	for node := ctx.Selected(); node != nil; node = node.Parent { // models of models list
		if own, ok := f.commands[node.Name][flag.Name]; ok {
			value = own
			break
		}
	}
	if value == nil || value.Tag == "!!null" {
		return nil, nil //nolint:nilnil // as above
	}
	plain, err := plainNode(flag, value)
	if err != nil {
		return nil, &configError{path: f.path, line: value.Line, reason: err.Error()}
	}
	return plain, nil
}

// plainNode is the value of a node as kong takes it, if the flag can have it.
func plainNode(flag *kong.Flag, node *yaml.Node) (any, error) {
	var plain any = node.Value
	if node.Kind == yaml.SequenceNode {
		if flag.Target.Kind() != reflect.Slice {
			return nil, fmt.Errorf("%q must be a plain value", flag.Name)
		}
		items := make([]any, len(node.Content))
		for i, item := range node.Content {
			items[i] = item.Value
		}
		plain = items
	}
	// kong would say the same without the line.
	trial := reflect.New(flag.Target.Type()).Elem()
	if trial.Kind() == reflect.Pointer {
		trial.Set(reflect.New(trial.Type().Elem()))
	}
	decoding := &kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(plain, kong.FlagValueToken)}
	if err := flag.Mapper.Decode(decoding, trial); err != nil {
		return nil, fmt.Errorf("%q: %w", flag.Name, err)
	}
	return plain, nil
}

// printConfig writes the options in force as a configuration file that sets them. Secrets are left out.
func printConfig(w io.Writer, parsed *kong.Context) error {
	document := &yaml.Node{Kind: yaml.MappingNode}
	own := &yaml.Node{Kind: yaml.MappingNode}
	selected := parsed.Selected()
	for _, flag := range parsed.Flags() {
		if notInFile(flag.Name) || flag.Hidden {
			continue
		}
		target := document
		if selected != nil && hasFlag(selected, flag.Name) {
			target = own
		}
		plain := plainValue(flag.Target)
		if plain == nil || flag.Name == "api-key" { // unset, or a secret
			continue
		}
		value := new(yaml.Node)
		if err := value.Encode(plain); err != nil {
			return fmt.Errorf("print configuration: --%s: %w", flag.Name, err)
		}
		target.Content = append(target.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: flag.Name}, value)
	}
	if len(own.Content) > 0 {
		document.Content = append(document.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: selected.Name}, own)
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}
