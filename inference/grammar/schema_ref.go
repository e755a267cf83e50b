package grammar

import (
	"net/url"
	"strconv"
	"strings"
)

// resource is a schema with a name of its own, an $id, or the root: what references within it are relative to.
type resource struct {
	root    *value
	base    *url.URL
	anchors map[string]*value // by $anchor and $dynamicAnchor; nil of a name that is given twice
}

// findResources notes where $id, $anchor and $dynamicAnchor name schemas, and which resource each value lies in. A name that is
// given twice names nothing. What is listed by enum or const is data, in which nothing names anything.
func (s *schemas) findResources(v *value, in *resource, data bool) {
	id := v.get("$id")
	switch {
	case data:
	case in == nil:
		in = &resource{root: v, base: &url.URL{}, anchors: map[string]*value{}}
		s.resources[""] = in
		if id == nil {
			id = v.get("id") // of draft 4
		}
		s.openResource(in, id)
	case id != nil && id.kind == isString && !strings.HasPrefix(id.text, "#"):
		in = &resource{root: v, base: in.base, anchors: map[string]*value{}}
		s.openResource(in, id)
	}
	v.resource = in
	for _, keyword := range []string{"$anchor", "$dynamicAnchor", "$id"} {
		name := v.get(keyword)
		if name == nil || name.kind != isString || data {
			continue
		}
		anchor := name.text
		if keyword == "$id" { // of older drafts
			if !strings.HasPrefix(anchor, "#") {
				continue
			}
			anchor = anchor[1:]
		}
		if keyword == "$dynamicAnchor" {
			s.dynamic[anchor]++
		}
		if other, taken := in.anchors[anchor]; taken && other != v {
			in.anchors[anchor] = nil
		} else {
			in.anchors[anchor] = v
		}
	}
	for _, m := range v.members {
		s.findResources(m.value, in, data || m.name == "enum" || m.name == "const")
	}
	for _, item := range v.items {
		s.findResources(item, in, data)
	}
}

// openResource names a resource.
func (s *schemas) openResource(r *resource, id *value) {
	if id == nil || id.kind != isString {
		return
	}
	s.fail(s.budget.spend(len(id.text)))
	base, err := r.base.Parse(id.text)
	if err != nil {
		return // so that no reference leads there
	}
	base.Fragment, base.RawFragment = "", ""
	r.base = base
	name := base.String()
	s.fail(s.budget.keep(200 + len(name)))
	if _, taken := s.resources[name]; taken {
		s.resources[name] = nil
	} else {
		s.resources[name] = r
	}
}

// resolve is the schema that a reference names. A dynamic one may name another schema in each place that it is reached
// from: where only one schema has its name, it names that.
func (s *schemas) resolve(at *value, keyword string, ref *value) *value {
	if ref.kind != isString {
		s.refuse(at, keyword, "must be a string")
		return nil
	}
	base, fragment, _ := strings.Cut(ref.text, "#")
	in := at.resource
	if base != "" && in != nil {
		in = nil
		if to, err := at.resource.base.Parse(base); err == nil {
			in = s.resources[to.String()]
		}
	}
	if in == nil {
		s.refuse(at, keyword, "only references within the schema are supported")
		return nil
	}
	to := in.root
	switch {
	case fragment == "":
		return to
	case !strings.HasPrefix(fragment, "/"):
		name := unescapePercent(fragment)
		if to = in.anchors[name]; to == nil {
			s.refuse(at, keyword, "it leads nowhere")
			return nil
		}
		if anchor := to.get("$dynamicAnchor"); keyword == "$dynamicRef" && anchor != nil && anchor.text == name && s.dynamic[name] > 1 {
			s.refuse(at, keyword, "it may lead to several schemas")
			return nil
		}
		return to
	}
	for name := range strings.SplitSeq(fragment[1:], "/") {
		if to = to.step(unescapePointer(unescapePercent(name))); to == nil {
			s.refuse(at, keyword, "it leads nowhere")
			return nil
		}
	}
	return to
}

// step is where a part of a pointer leads from a value; nil: nowhere.
func (v *value) step(name string) *value {
	switch v.kind {
	case isObject:
		return v.get(name)
	case isArray:
		return index(v.items, name)
	case isNull, isBool, isNumber, isString:
	}
	return nil
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
