package chat

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// render is one rendering: the budget, the caller's marked characters and the clock. Its guards are the functions
// that instrument wove into the tree.
type render struct {
	meter   *meter
	aliases *aliases
	now     time.Time
}

// function is a callable of the template language.
type function = func(args []jinja.Value, kwargs map[string]jinja.Value) (jinja.Value, error)

// define adds the guards and our own global functions to the variables. A variable of the caller keeps its name.
func (r *render) define(vars map[string]jinja.Value) {
	passing := map[string]func(jinja.Value) error{
		guardValue:  r.meter.shallow,
		guardDeep:   r.meter.deep,
		guardEach:   r.each,
		guardFormat: r.format,
		guardSmall:  r.small,
		guardShort:  r.short,
	}
	for name, check := range passing {
		vars[name] = jinja.NewCallable(name, func(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
			return args[0], check(args[0])
		})
	}
	functions := map[string]function{
		guardTick:               r.tick,
		guardPlain:              r.plain,
		guardCall:               r.call,
		guardMethod:             r.method,
		guardAdd:                r.add,
		guardFilter + "upper":   filterCase(cases.Upper(language.Und)),
		guardFilter + "lower":   filterCase(cases.Lower(language.Und)),
		guardFilter + "replace": r.filterReplace,
		guardFilter + "trim":    r.filterTrim,
		"raise_exception":       r.raise,
		"range":                 r.rangeOf,
		"strftime_now":          r.strftimeNow,
	}
	for name, f := range functions {
		if _, taken := vars[name]; !taken || name[0] == 0 {
			vars[name] = jinja.NewCallable(strings.TrimLeft(name, "\x00"), f)
		}
	}
}

// tick charges a run of a list of nodes. Its result is printed, so it is the empty text.
func (r *render) tick(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	return jinja.NewString(""), r.meter.spend(turnCost + int(args[0].AsInt()))
}

func (r *render) plain(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	if err := r.meter.deep(args[0]); err != nil {
		return args[0], err
	}
	return r.aliases.plainValue(args[0]), nil
}

func (r *render) each(v jinja.Value) error {
	if v.IsString() {
		return r.meter.spend(len(v.AsString()) * itemCost)
	}
	return r.meter.shallow(v)
}

// maxFormat and maxFactor bound what one operation can make of its input. A width in a format adds at most a
// million bytes, a separator or an indentation at most maxFactor for each item.
const (
	maxFormat = 1 << 12
	maxFactor = 64
)

// format refuses, as the left side of %, what would pad without bound.
func (r *render) format(v jinja.Value) error {
	if v.IsString() {
		s := v.AsString()
		digits := 0
		for i := range len(s) {
			if s[i] < '0' || s[i] > '9' {
				digits = 0
				continue
			}
			if digits++; digits > 3 && strings.Contains(s, "%") {
				return &LimitError{What: "the digits of a width in a format", Limit: 3}
			}
		}
		if len(s) > maxFormat || strings.Contains(s, "*") {
			return &LimitError{What: "the size of a format", Limit: maxFormat}
		}
	}
	return r.meter.deep(v)
}

func (r *render) small(v jinja.Value) error {
	exceeded := false
	switch {
	case v.IsInt():
		exceeded = v.AsInt() > maxFactor
	case v.IsFloat():
		exceeded = !(v.AsFloat() <= maxFactor)
	case v.IsString():
		exceeded = len(v.AsString()) > maxFactor
	case v.IsList():
		if v.AsList().Len() > maxFactor {
			exceeded = true
			break
		}
		for _, item := range v.AsList().Items {
			if item.IsList() {
				return r.meter.deep(v)
			}
			if err := r.small(item); err != nil {
				return err
			}
		}
	}
	if exceeded {
		return &LimitError{What: "a repeated argument of a filter", Limit: maxFactor}
	}
	return r.meter.deep(v)
}

func (r *render) short(v jinja.Value) error {
	const limit = 1 << 12
	n := 0
	switch {
	case v.IsList():
		n = v.AsList().Len()
	case v.IsDict():
		n = v.AsDict().Len()
	case v.IsString():
		n = len(v.AsString())
	}
	if n > limit {
		return &LimitError{What: "the items for a filter that compares them all", Limit: limit}
	}
	if err := r.meter.spend(n * n); err != nil {
		return err
	}
	return r.meter.deep(v)
}

// call gives a function that counts its nesting in place of one, since macros, callers and recursive loops can
// call themselves.
func (r *render) call(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	f := args[0]
	if f.IsDict() {
		if loop, ok := f.AsDict().Get("__call__"); ok {
			f = loop
		}
	}
	if !f.IsCallable() {
		return f, fmt.Errorf("%q is not a function", args[1].AsString())
	}
	callable := f.AsCallable()
	counted := func(args []jinja.Value, kwargs map[string]jinja.Value) (jinja.Value, error) {
		if err := r.meter.enter(); err != nil {
			return jinja.Undefined(), err
		}
		defer r.meter.leave()
		return callable.Fn(args, kwargs)
	}
	return jinja.NewCallable(callable.Name, counted), nil
}

func (r *render) raise(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	message := ""
	if len(args) > 0 {
		message = r.aliases.plain(text(args[0]))
	}
	return jinja.Undefined(), &RaisedError{Message: message}
}

// rangeOf is range([start,] stop[, step]) within the limit on items.
func (r *render) rangeOf(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	bounds := [3]int64{0, 0, 1}
	if len(args) < 1 || len(args) > 3 {
		return jinja.Undefined(), fmt.Errorf("range: expected 1 to 3 arguments, got %d", len(args))
	}
	for i, a := range args {
		if !a.IsInt() {
			return jinja.Undefined(), fmt.Errorf("range: argument %d is not an integer", i+1)
		}
		bounds[i] = a.AsInt()
	}
	if len(args) == 1 {
		bounds[0], bounds[1] = 0, bounds[0]
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step == 0 {
		return jinja.Undefined(), errors.New("range: the step must not be zero")
	}
	var items []jinja.Value
	for i := start; (step > 0 && i < stop) || (step < 0 && i > stop); {
		if len(items) >= r.meter.limits.Items {
			return jinja.Undefined(), &LimitError{What: "the items of a list", Limit: r.meter.limits.Items}
		}
		items = append(items, jinja.NewInt(i))
		next := i + step
		if (step > 0) != (next > i) { // overflow
			break
		}
		i = next
	}
	return jinja.NewList(items), r.meter.spend(len(items) * itemCost)
}

func (r *render) strftimeNow(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	if len(args) != 1 || !args[0].IsString() {
		return jinja.Undefined(), errors.New("strftime_now: expected a format")
	}
	format := args[0].AsString()
	if len(format) > maxFormat {
		return jinja.Undefined(), &LimitError{What: "the size of a format", Limit: maxFormat}
	}
	now := r.now
	if now.IsZero() {
		now = time.Now()
	}
	return jinja.NewString(strftime(format, now)), nil
}

// text is what a value prints as.
func text(v jinja.Value) string {
	switch {
	case v.IsString():
		return v.AsString()
	case v.IsUndefined(), v.IsCallable():
		return ""
	default:
		return v.String()
	}
}
