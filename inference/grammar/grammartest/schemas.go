// Package grammartest makes JSON Schemas to test constrained decoding with.
package grammartest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// levels is how many levels of difficulty there are.
const levels = 6

// Schema is the i-th schema of an endless list, the same on every machine. Difficulty rises with i modulo Levels: scalars
// with bounds; flat objects; optional members, enums, formats and patterns; nested arrays and objects; references,
// recursion and choices; all of it together.
func Schema(i int) string {
	m := maker{rand.New(rand.NewPCG(uint64(i), 0x5C4E3A))} //nolint:gosec // to be repeated, not to be secret
	level := i % levels
	switch level {
	case 0:
		return m.scalar()
	case 1:
		return m.object(1+m.IntN(4), 0, false)
	case 2:
		return m.object(2+m.IntN(5), 0, true)
	case 3:
		return m.object(1+m.IntN(3), 2, true)
	case 4:
		return m.references()
	}
	return m.everything()
}

type maker struct{ *rand.Rand }

func (m maker) pick(list ...string) string { return list[m.IntN(len(list))] }

// words are names of members, and values of enums.
const words = "id name title city country price amount color size email status note tags items score rank unit year month address street owner author version language level width height depth weight age first_name last_name is_active created updated"

// names are n different names.
func (m maker) names(n int) []string {
	all := strings.Fields(words)
	m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n]
}

func (m maker) scalar() string {
	low := m.IntN(200) - 100
	switch m.IntN(12) {
	case 0:
		return `{"type":"boolean"}`
	case 1:
		return fmt.Sprintf(`{"type":"integer","minimum":%d,"maximum":%d}`, low, low+m.IntN(2000))
	case 2:
		return fmt.Sprintf(`{"type":"integer","exclusiveMinimum":%d,"multipleOf":%d}`, low, 1+m.IntN(9))
	case 3:
		return fmt.Sprintf(`{"type":"number","minimum":%d.5,"exclusiveMaximum":%d}`, low, low+1+m.IntN(50))
	case 4:
		return fmt.Sprintf(`{"type":"string","minLength":%d,"maxLength":%d}`, m.IntN(5), 5+m.IntN(60))
	case 5:
		return `{"type":"string","maxLength":` + m.pick("8", "20", "64") + `}`
	case 6:
		return `{"enum":["` + strings.Join(m.names(2+m.IntN(6)), `","`) + `"]}`
	case 7:
		return `{"enum":[null,true,1,2.5,"` + strings.Join(m.names(2), `","`) + `"]}`
	case 8:
		return `{"type":"string","format":"` + m.pick("date", "time", "date-time", "uuid", "ipv4", "email", "hostname") + `"}`
	case 9:
		return `{"type":"string","pattern":"` + m.pick(`^[A-Z]{2}-[0-9]{3,5}$`, `^(red|green|blue)(, (red|green|blue)){0,2}$`, `^[a-z]+(-[a-z]+)*$`, `^\\+?[0-9 ]{6,12}$`, `^#[0-9a-f]{6}$`, `^[^@ ]{1,10}@[a-z]{2,8}\\.com$`) + `","maxLength":40}`
	case 10:
		return `{"type":["string","null"],"maxLength":16}`
	}
	return `{"const":"` + m.pick(m.names(3)...) + `"}`
}

// value is a scalar, or something that nests.
func (m maker) value(depth int) string {
	if depth == 0 {
		return m.scalar()
	}
	switch m.IntN(4) {
	case 0:
		return m.object(1+m.IntN(3), depth-1, true)
	case 1:
		return fmt.Sprintf(`{"type":"array","items":%s,"minItems":%d,"maxItems":%d}`, m.value(depth-1), m.IntN(3), 2+m.IntN(3))
	}
	return m.scalar()
}

func (m maker) object(members, depth int, optional bool) string {
	names := m.names(members)
	var properties, required []string
	for _, name := range names {
		properties = append(properties, fmt.Sprintf(`%q:%s`, name, m.value(depth)))
		if !optional || m.IntN(3) > 0 {
			required = append(required, fmt.Sprintf("%q", name))
		}
	}
	return fmt.Sprintf(`{"type":"object","properties":{%s},"required":[%s],"additionalProperties":false}`,
		strings.Join(properties, ","), strings.Join(required, ","))
}

func (m maker) references() string {
	if m.IntN(5) == 0 { // a tree
		return fmt.Sprintf(`{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"value":%s,"children":{"type":"array","items":{"$ref":"#/$defs/node"},"maxItems":2}},"required":["value"],"additionalProperties":false}}}`, m.scalar())
	}
	return m.choices()
}

func (m maker) choices() string {
	switch m.IntN(4) {
	case 0: // one of several, told apart by a member
		return fmt.Sprintf(`{"oneOf":[{"type":"object","properties":{"kind":{"const":"a"},"value":%s},"required":["kind","value"],"additionalProperties":false},{"type":"object","properties":{"kind":{"const":"b"},"other":%s},"required":["kind","other"],"additionalProperties":false}]}`, m.scalar(), m.scalar())
	case 1:
		return fmt.Sprintf(`{"anyOf":[%s,%s,{"type":"null"}]}`, m.object(2, 0, false), m.scalar())
	case 2: // what two schemas ask together
		n := m.names(3)
		return fmt.Sprintf(`{"allOf":[{"type":"object","properties":{%q:{"type":"number"},%q:{"type":"string","maxLength":20}},"required":[%q]},{"properties":{%q:{"type":"integer","minimum":0,"maximum":999},%q:{"type":"boolean"},%q:{"type":"string","minLength":2}},"required":[%q],"maxProperties":3}]}`, n[0], n[2], n[0], n[0], n[1], n[2], n[1])
	}
	return fmt.Sprintf(`{"type":"object","patternProperties":{"^[a-c]{1,3}$":%s,"^x_":{"type":"integer","minimum":0,"maximum":99}},"additionalProperties":false,"minProperties":1,"maxProperties":3}`, m.scalar())
}

func (m maker) everything() string {
	n := m.names(5)
	return fmt.Sprintf(`{"$defs":{"part":%s,"list":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/part"},%s]},"maxItems":3}},"type":"object","properties":{%q:{"$ref":"#/$defs/list"},%q:{"$ref":"#/$defs/part"},%q:%s,%q:{"type":"array","prefixItems":[%s,%s],"items":false,"minItems":1},%q:%s},"required":[%q,%q],"additionalProperties":false}`,
		m.object(2, 1, true), m.scalar(), n[0], n[1], n[2], m.value(2), n[3], m.scalar(), m.scalar(), n[4], m.choices(), n[0], n[3])
}
