package grammar

import (
	"strconv"
	"strings"
)

// findAnchors notes where $anchor and $id name schemas, and what lies within a schema that has an $id of its own. A name
// that is given twice names nothing.
func (s *schemas) findAnchors(v *value, embedded bool) {
	v.embedded = embedded
	for _, m := range v.members {
		if m.value.kind == isString && (m.name == "$anchor" || m.name == "$id") {
			name := m.value.text
			switch {
			case m.name == "$anchor":
				name = "#" + name
			case !strings.HasPrefix(name, "#"):
				name = strings.TrimSuffix(name, "#")
				v.embedded = v != s.root
			}
			if _, taken := s.anchors[name]; taken {
				s.anchors[name] = nil
			} else {
				s.anchors[name] = v
			}
		}
	}
	for _, m := range v.members {
		if m.name != "enum" && m.name != "const" {
			s.findAnchors(m.value, v.embedded)
		}
	}
	for _, item := range v.items {
		s.findAnchors(item, v.embedded)
	}
}

// resolve is the schema that a $ref names.
func (s *schemas) resolve(at, ref *value) *value {
	if ref.kind != isString {
		s.refuse(at, "$ref", "must be a string")
		return nil
	}
	if at.embedded {
		s.refuse(at, "$ref", "references within a schema that has an $id of its own are not supported")
		return nil
	}
	base, fragment, _ := strings.Cut(ref.text, "#")
	to := s.root
	if base != "" {
		if to = s.anchors[base]; to == nil {
			s.refuse(at, "$ref", "only references within the schema are supported")
			return nil
		}
	}
	switch {
	case fragment == "":
		return to
	case !strings.HasPrefix(fragment, "/"):
		if to = s.anchors["#"+fragment]; to == nil {
			s.refuse(at, "$ref", "it leads nowhere")
		}
		return to
	}
	for name := range strings.SplitSeq(fragment[1:], "/") {
		name = unescapePointer(unescapePercent(name))
		switch to.kind {
		case isObject:
			to = to.get(name)
		case isArray:
			to = index(to.items, name)
		default:
			to = nil
		}
		if to == nil {
			s.refuse(at, "$ref", "it leads nowhere")
			return nil
		}
	}
	return to
}

func index(items []*value, name string) *value {
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(items) && itoa(i) == name {
		return items[i]
	}
	return nil
}

// unescapePercent reads %XX in the fragment of a reference; what is no such escape stays.
func unescapePercent(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if hi, lo := unhex(text[i+1]), unhex(text[i+2]); hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

func unhex(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return int(b|0x20-'a') + 10
	}
	return -1
}
