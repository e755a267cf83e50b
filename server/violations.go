package server

import (
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference"
)

// violations collects what is wrong with one request, so that its caller learns all of it at once.
type violations struct{ list []inference.Violation }

// addf notes that a field is wrong. The description says what is allowed and never repeats the caller's text.
func (v *violations) addf(field, format string, args ...any) {
	v.list = append(v.list, inference.Violation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// unsupported notes, if set, that a field asks for something that Sluice does not do yet.
func (v *violations) unsupported(field string, set bool) {
	if set {
		v.addf(field, "not supported yet")
	}
}

// err returns the *inference.InvalidError of all violations; nil if there are none.
func (v *violations) err() error {
	if len(v.list) == 0 {
		return nil
	}
	return &inference.InvalidError{Violations: v.list}
}

// interval is a range of numbers, closed above.
type interval struct {
	low, high float32 // high may be +Inf
	open      bool    // low itself is not in it
}

// String names the interval as descriptions do.
func (i interval) String() string {
	switch {
	case math.IsInf(float64(i.high), 1) && i.open:
		return fmt.Sprintf("above %g", i.low)
	case i.open:
		return fmt.Sprintf("above %g and at most %g", i.low, i.high)
	default:
		return fmt.Sprintf("between %g and %g", i.low, i.high)
	}
}

// check notes a value that is not finite or lies outside the interval.
func (v *violations) check(field string, value float32, in interval) bool {
	switch {
	case math.IsNaN(float64(value)) || math.IsInf(float64(value), 0):
		v.addf(field, "must be a finite number %s", in)
	case value < in.low || value > in.high || in.open && value == in.low:
		v.addf(field, "must be %s", in)
	default:
		return true
	}
	return false
}

// number is the value of an optional field: value if it is set and in the interval, otherwise def.
func (v *violations) number(field string, value *float32, def float32, in interval) float32 {
	if value == nil || !v.check(field, *value, in) {
		return def
	}
	return *value
}
