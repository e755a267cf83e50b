package grammartest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Logic is the i-th schema of an endless list, the same on every machine, of keywords that depend on what a value is, that
// exclude, count or compare.
func Logic(i int) string {
	m := maker{rand.New(rand.NewPCG(uint64(i), 0x109C))} //nolint:gosec // to be repeated, not to be secret
	n := m.names(4)
	enum := func(k int) string { return `["` + strings.Join(m.names(k), `","`) + `"]` }
	switch i % 12 {
	case 0:
		return fmt.Sprintf(`{"type":"object","properties":{"kind":{"enum":["a","b"]},"value":{}},"required":["kind","value"],"additionalProperties":false,"if":{"properties":{"kind":{"const":"a"}}},"then":{"properties":{"value":%s}},"else":{"properties":{"value":%s}}}`, m.scalar(), m.scalar())
	case 1:
		return fmt.Sprintf(`{"type":"string","maxLength":12,"not":{"enum":%s}}`, enum(5))
	case 2:
		return fmt.Sprintf(`{"type":"array","items":{"type":"integer","minimum":0,"maximum":99},"contains":{"multipleOf":%d},"minContains":%d,"maxItems":5}`, 2+m.IntN(9), 1+m.IntN(3))
	case 3:
		return fmt.Sprintf(`{"type":"array","items":{"enum":%s},"uniqueItems":true,"minItems":%d}`, enum(3+m.IntN(10)), m.IntN(4))
	case 4:
		return fmt.Sprintf(`{"type":"object","properties":{%[1]q:{"type":"integer"},%[2]q:{"type":"boolean"},%[3]q:{"type":"null"}},"additionalProperties":false,"dependentRequired":{%[1]q:[%[2]q]},"dependentSchemas":{%[2]q:{"required":[%[3]q]}}}`, n[0], n[1], n[2])
	case 5:
		return fmt.Sprintf(`{"type":"object","allOf":[{"properties":{%q:%s},"required":[%q]}],"anyOf":[{"properties":{%q:{"const":1},%q:{"type":"boolean"}},"required":[%q]},{"properties":{%q:{"const":2}}}],"unevaluatedProperties":false}`, n[0], m.scalar(), n[0], n[1], n[2], n[1], n[1])
	case 6:
		return fmt.Sprintf(`{"type":"object","properties":{%[1]q:{"type":"integer"},%[2]q:{"type":"boolean"},%[3]q:{"type":"null"}},"additionalProperties":false,"oneOf":[{"required":[%[1]q]},{"required":[%[2]q]},{"required":[%[3]q]}]}`, n[0], n[1], n[2])
	case 7:
		return fmt.Sprintf(`{"type":"object","propertyNames":{"pattern":"^[a-z]+$","maxLength":8,"not":{"enum":[%q]}},"additionalProperties":{"type":"integer"},"minProperties":1,"maxProperties":3}`, n[0])
	case 8:
		return fmt.Sprintf(`{"type":"number","multipleOf":%s,"minimum":%d,"maximum":1000,"not":{"multipleOf":3}}`, m.pick("0.5", "0.25", "2.5", "1.5"), m.IntN(50))
	case 9:
		return fmt.Sprintf(`{"type":"object","properties":{%[1]q:{"type":"integer"},%[2]q:{"type":"boolean"}},"additionalProperties":false,"minProperties":1,"not":{"required":[%[1]q,%[2]q]}}`, n[0], n[1])
	case 10:
		return fmt.Sprintf(`{"type":"object","patternProperties":{"^a":{"type":"integer"},"^b":{"type":"null"},"c$":{"type":["integer","null"]},"^d":{"type":"boolean"},"^e":false},"additionalProperties":false,"maxProperties":2,"not":{"required":[%q]}}`, n[0])
	}
	return fmt.Sprintf(`{"oneOf":[{"type":"integer","minimum":%d,"maximum":99},{"type":"integer","multipleOf":7,"minimum":0,"maximum":200},{"type":"string","pattern":"^[a-c]{1,6}$"},{"type":"string","pattern":"^c","maxLength":4}]}`, m.IntN(90))
}
