package chat

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"github.com/ardanlabs/jinja"
)

// The template library evaluates without any limit and has no hook to stop it. So the parsed tree is rewritten once,
// at Parse: expressions are wrapped into calls of guards, functions that are defined per render (guards.go), charge the
// render's budget and hand the value on. What the text says does not change.
//
// The library does not export its tree, hence the reflection. It is pinned by go.mod; a version whose tree has another
// shape fails in newRewriter or in the tests of hostile templates, and never renders unguarded.

// Guards are variables whose names no template can spell.
const (
	guardTick   = "\x00tick"    // (bytes): a list of nodes is about to run and to write bytes of its own text
	guardValue  = "\x00value"   // (v) → v: charge the value's extent
	guardDeep   = "\x00deep"    // (v) → v: charge the value as if written out
	guardPlain  = "\x00plain"   // (v) → v as deep, with the caller's marked characters restored
	guardEach   = "\x00each"    // (v) → v: charge a visit of each item or character
	guardFormat = "\x00format"  // (v) → v as deep; a string is the left side of %
	guardSmall  = "\x00small"   // (v) → v: a number or text by which the operation multiplies its input
	guardShort  = "\x00short"   // (v) → v as deep: a list on which the operation takes quadratic time
	guardCall   = "\x00call"    // (f, name) → f that counts its nesting
	guardAdd    = "\x00add"     // (a, b) → a + b, by Python's rules for types
	guardMethod = "\x00method"  // (v, name) → v.name for a name in ownMethods
	guardFilter = "\x00filter." // + name: our own form of a filter
)

// sets of names, by what their arguments need.
type nameSet []string

func (s nameSet) has(name string) bool { return slices.Contains(s, name) }

// ownMethods are string methods that multiply their input, that must see through marked characters and keep them, or
// in which the library differs from Python.
func ownMethods() nameSet {
	return nameSet{"split", "replace", "format", "strip", "lstrip", "rstrip", "upper", "lower"}
}

// plainMethods return a number or a truth, so that they may see the caller's text as it was written.
func plainMethods() nameSet { return nameSet{"startswith", "endswith", "find", "count"} }

// ownFilters are filters with a form of our own in strings.go.
func ownFilters() nameSet { return nameSet{"replace", "trim", "upper", "lower"} }

// smallFilters multiply their input by an argument.
func smallFilters() nameSet { return nameSet{"join", "indent", "batch", "tojson", "map"} }

// shortFilters take quadratic time.
func shortFilters() nameSet { return nameSet{"unique", "sum"} }

// shallowFilters look no deeper than the entries of a list or dict.
func shallowFilters() nameSet {
	return nameSet{"length", "count", "first", "last", "list", "items", "default", "d", "reverse"}
}

// shallowTests look at a value's kind only.
func shallowTests() nameSet {
	return nameSet{
		"defined", "undefined", "none", "boolean", "integer", "float", "number", "string", "mapping", "iterable",
		"sequence", "callable", "true", "false", "sameas",
	}
}

// comparisons yield a truth.
func comparisons() nameSet { return nameSet{"==", "!=", "<", ">", "<=", ">=", "in", "not in"} }

// errTree says that the library's tree is not the one that this file knows.
var errTree = errors.New("the template library's tree has an unknown shape")

// rewriter wraps the expressions of one tree.
type rewriter struct {
	node, expr              reflect.Type // interface types
	output, call, name, lit reflect.Type // struct types
}

// newRewriter takes the types of the tree from a template that has one of each that it makes.
func newRewriter() (rw *rewriter, err error) {
	defer func() {
		if p := recover(); p != nil {
			rw, err = nil, fmt.Errorf("%w: %v", errTree, p)
		}
	}()
	sample, err := jinja.Compile("{{ f(1) }}")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTree, err)
	}
	nodes := treeOf(sample)
	output := nodes.Index(0).Elem().Elem()
	expression := field(output, "expression")
	call := expression.Elem().Elem()
	rw = &rewriter{
		node:   nodes.Type().Elem(),
		expr:   expression.Type(),
		output: output.Type(),
		call:   call.Type(),
		name:   field(call, "fn").Elem().Elem().Type(),
		lit:    field(call, "args").Index(0).Elem().Elem().Type(),
	}
	return rw, nil
}

// instrument rewrites a compiled template in place.
func instrument(t *jinja.Template) (err error) {
	rw, err := newRewriter()
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errTree, p)
		}
	}()
	return rw.list(treeOf(t), 0)
}

func treeOf(t *jinja.Template) reflect.Value { return field(reflect.ValueOf(t).Elem(), "nodes") }

// field is an unexported field, readable and settable.
func field(structure reflect.Value, name string) reflect.Value {
	f := structure.FieldByName(name)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem() //nolint:gosec // see the head of this file
}

// list rewrites a list of nodes and puts a tick with the list's own text before them.
func (rw *rewriter) list(nodes reflect.Value, depth int) error {
	if depth > maxTree {
		return &LimitError{What: "blocks inside blocks", Limit: maxTree}
	}
	text := 0
	for i := range nodes.Len() {
		n := nodes.Index(i).Elem().Elem()
		if n.Type().Name() == "textNode" {
			text += field(n, "text").Len()
			continue
		}
		if err := rw.nodeFields(n, depth+1); err != nil {
			return err
		}
	}
	tick := reflect.New(rw.output)
	field(tick.Elem(), "expression").Set(rw.makeCall(guardTick, rw.literal(jinja.NewInt(int64(text)))))
	grown := reflect.MakeSlice(nodes.Type(), 0, nodes.Len()+1)
	nodes.Set(reflect.AppendSlice(reflect.Append(grown, tick), nodes))
	return nil
}

// nodeFields rewrites the expressions and bodies of a node.
func (rw *rewriter) nodeFields(n reflect.Value, depth int) error {
	switch n.Type().Name() {
	case "outputNode":
		return rw.wrap(field(n, "expression"), guardDeep, depth)
	case "filterBlockNode":
		if err := rw.wrap(field(n, "filter"), guardDeep, depth); err != nil {
			return err
		}
		return rw.list(field(n, "body"), depth)
	case "forNode":
		if err := rw.wrap(field(n, "iter"), guardEach, depth); err != nil {
			return err
		}
		if err := rw.wrap(field(n, "filterExpr"), guardValue, depth); err != nil {
			return err
		}
		if err := rw.list(field(n, "body"), depth); err != nil {
			return err
		}
		// An absent else must stay absent: an empty list of nodes is not nil.
		if field(n, "elseBody").IsNil() {
			return nil
		}
		return rw.list(field(n, "elseBody"), depth)
	case "callNode":
		// The evaluator wants to find the call itself here, so only what is inside it is wrapped.
		if e := field(n, "expr"); e.Elem().Elem().Type() == rw.call {
			if err := rw.exprFields(e.Elem().Elem(), depth); err != nil {
				return err
			}
		} else if err := rw.wrap(e, guardCall, depth); err != nil {
			return err
		}
		return rw.list(field(n, "body"), depth)
	default:
		return rw.generic(n, depth)
	}
}

// generic rewrites whatever expressions and lists of nodes a struct holds, at any level.
func (rw *rewriter) generic(v reflect.Value, depth int) error {
	for i := range v.NumField() {
		f := field(v, v.Type().Field(i).Name)
		switch {
		case f.Type() == rw.expr:
			if err := rw.wrap(f, guardValue, depth); err != nil {
				return err
			}
		case f.Kind() == reflect.Slice && f.Type().Elem() == rw.node:
			if err := rw.list(f, depth); err != nil {
				return err
			}
		case f.Kind() == reflect.Slice && f.Type().Elem() == rw.expr:
			if err := rw.wrapAll(f, guardValue, depth); err != nil {
				return err
			}
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			for j := range f.Len() {
				if err := rw.generic(f.Index(j), depth); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// makeCall is the expression guard(args…).
func (rw *rewriter) makeCall(guard string, args ...reflect.Value) reflect.Value {
	name := reflect.New(rw.name)
	field(name.Elem(), "name").SetString(guard)
	call := reflect.New(rw.call)
	field(call.Elem(), "fn").Set(name)
	list := field(call.Elem(), "args")
	list.Set(reflect.Append(list, args...))
	return call
}

func (rw *rewriter) literal(v jinja.Value) reflect.Value {
	lit := reflect.New(rw.lit)
	field(lit.Elem(), "val").Set(reflect.ValueOf(v))
	return lit
}
