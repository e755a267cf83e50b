package builder

import (
	"fmt"
	"slices"
	"strings"
)

// census counts the values of the projections by the form that they are stored in.
type census struct {
	names  []string
	values map[string]int
}

func (c *census) add(t *part, bits, values int) {
	name := "float32"
	switch {
	case t.perToken:
		name = "row8"
	case bits != 0 && t.exact:
		name = strings.ToLower(t.weight.Type.String())
	case bits == 16:
		name = "float16"
	case bits != 0:
		name = fmt.Sprintf("int%d", bits)
	}
	if c.values == nil {
		c.values = map[string]int{}
	}
	if c.values[name] == 0 {
		c.names = append(c.names, name)
	}
	c.values[name] += values
}

// name lists the forms, that of most values first.
func (c *census) name() string {
	names := slices.Clone(c.names)
	slices.SortStableFunc(names, func(a, b string) int { return c.values[b] - c.values[a] })
	return strings.Join(names, "+")
}
