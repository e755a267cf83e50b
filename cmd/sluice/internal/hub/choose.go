package hub

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Choose gives the files that a conversion needs, and the one to open in place of the folder, "" if the folder is. file
// is that of the reference.
func (s *Snapshot) Choose(file string) (needed []File, open string, err error) {
	ggufs := s.match(func(name string) bool { return strings.HasSuffix(name, ".gguf") })
	weights := s.match(isSafetensors)
	switch {
	case file != "":
		if !slices.ContainsFunc(s.Files, func(f File) bool { return f.Path == file }) {
			return nil, "", &NotFoundError{What: fmt.Sprintf("file %s in %s", file, s.Repository)}
		}
		if !strings.HasSuffix(file, ".gguf") {
			return nil, "", fmt.Errorf("%s of %s cannot be converted alone: name a GGUF file, or the model", file, s.Repository)
		}
		open = file
	case len(weights) > 0:
		needed = slices.Concat(weights, s.match(isBeside))
	case len(ggufs) == 0:
		return nil, "", fmt.Errorf("%s holds neither safetensors nor GGUF files", s.Repository)
	default:
		whole := firsts(ggufs)
		switch len(whole) {
		case 0:
			return nil, "", fmt.Errorf("%s holds GGUF files and none that is a model or the first part of one", s.Repository)
		case 1:
			open = whole[0].Path
		default:
			return nil, "", fmt.Errorf("%s holds %d GGUF files: name one, such as %s%s/%s", s.Repository, len(whole), Scheme, s.Repository, whole[0].Path)
		}
	}
	if open != "" {
		needed = append(parts(ggufs, open), s.match(isLicence)...)
	}
	for _, f := range needed {
		if err := checkName(f.Path); err != nil {
			return nil, "", err
		}
	}
	return needed, open, nil
}

// match lists the files whose path has a property.
func (s *Snapshot) match(property func(string) bool) []File {
	var list []File
	for _, f := range s.Files {
		if property(f.Path) {
			list = append(list, f)
		}
	}
	return list
}

var (
	weightsName = regexp.MustCompile(`^model(-\d{5}-of-\d{5})?\.safetensors$`)
	partName    = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)
)

// isSafetensors says whether a path is that of a model's weights. Adapters and copies of the weights in other folders
// are not.
func isSafetensors(name string) bool {
	return weightsName.MatchString(name) || name == "model.safetensors.index.json"
}

// isBeside says whether a path is that of a file which a conversion reads or copies.
func isBeside(name string) bool {
	switch name {
	case "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
		"chat_template.jinja", "tokenizer.model", "tekken.json":
		return true
	}
	return isLicence(name)
}

// isLicence says whether a path is that of a licence.
func isLicence(name string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	return stem == "LICENSE" || stem == "LICENCE" || stem == "NOTICE"
}

// split is what the name of a part of a GGUF says: the model, the number of the part, and how many there are; nil if it is
// the name of a whole one.
func split(name string) []string { return partName.FindStringSubmatch(name) }

// firsts leaves out all but the first part of each GGUF.
func firsts(ggufs []File) []File {
	return slices.DeleteFunc(slices.Clone(ggufs), func(f File) bool {
		part := split(f.Path)
		return part != nil && part[2] != "00001" || strings.HasPrefix(path.Base(f.Path), "mmproj")
	})
}

// parts are the files of the GGUF that begins with the named one.
func parts(ggufs []File, first string) []File {
	of := split(first)
	var list []File
	for _, f := range ggufs {
		part := split(f.Path)
		if f.Path == first || of != nil && part != nil && part[1] == of[1] && part[3] == of[3] {
			list = append(list, f)
		}
	}
	return list
}
