package chat

import (
	"reflect"

	"github.com/ardanlabs/jinja"
)

// wrap rewrites the expression at e and wraps it into a guard. A literal is no more than the source, and a bare
// variable costs nothing by itself, so neither is wrapped for its extent alone.
func (rw *rewriter) wrap(e reflect.Value, guard string, depth int) error {
	if e.IsNil() {
		return nil
	}
	if depth > maxTree {
		return &LimitError{What: "expressions inside expressions", Limit: maxTree}
	}
	inner := e.Elem().Elem()
	switch {
	case inner.Type() == rw.lit:
		if guard != guardSmall && guard != guardCall && guard != guardFormat {
			return nil
		}
	case inner.Type() == rw.name:
		if guard == guardValue {
			return nil
		}
	default:
		if err := rw.exprFields(inner, depth+1); err != nil {
			return err
		}
		if inner.Type().Name() == "attrExpr" && ownMethods().has(field(inner, "attr").String()) {
			name := rw.literal(jinja.NewString(field(inner, "attr").String()))
			e.Set(rw.makeCall(guardMethod, field(inner, "obj").Elem(), name))
		}
		if inner.Type().Name() == "binExpr" && field(inner, "op").String() == "+" {
			e.Set(rw.makeCall(guardAdd, field(inner, "left").Elem(), field(inner, "right").Elem()))
		}
	}
	args := []reflect.Value{e.Elem()}
	if guard == guardCall {
		args = append(args, rw.literal(jinja.NewString(rw.nameOf(inner))))
	}
	e.Set(rw.makeCall(guard, args...))
	return nil
}

func (rw *rewriter) wrapAll(list reflect.Value, guard string, depth int) error {
	for i := range list.Len() {
		if err := rw.wrap(list.Index(i), guard, depth); err != nil {
			return err
		}
	}
	return nil
}

// wrapKeywords wraps the values of keyword arguments, or of a dict's pairs.
func (rw *rewriter) wrapKeywords(list reflect.Value, guard string, depth int) error {
	for i := range list.Len() {
		if err := rw.wrap(field(list.Index(i), "value"), guard, depth); err != nil {
			return err
		}
	}
	return nil
}

// exprFields rewrites the operands of an expression by what the evaluator does with them.
func (rw *rewriter) exprFields(e reflect.Value, depth int) error {
	switch e.Type().Name() {
	case "binExpr":
		return rw.binary(e, depth)
	case "compareExpr":
		return rw.wrapAll(field(e, "operands"), guardPlain, depth)
	case "filterExpr":
		return rw.filter(e, depth)
	case "testExpr":
		guard := guardPlain
		if shallowTests().has(field(e, "name").String()) {
			guard = guardValue
		}
		if err := rw.wrap(field(e, "expr"), guard, depth); err != nil {
			return err
		}
		return rw.wrapAll(field(e, "args"), guard, depth)
	case "callExpr":
		return rw.callFields(e, depth)
	case "itemExpr", "sliceExpr":
		return rw.subscript(e, depth)
	case "dictExpr":
		pairs := field(e, "pairs")
		for i := range pairs.Len() {
			if err := rw.wrap(field(pairs.Index(i), "key"), guardDeep, depth); err != nil {
				return err
			}
		}
		return rw.wrapKeywords(pairs, guardValue, depth)
	default:
		return rw.generic(e, depth)
	}
}

func (rw *rewriter) binary(e reflect.Value, depth int) error {
	left, right := guardDeep, guardDeep
	switch op := field(e, "op").String(); {
	case op == "and" || op == "or":
		left, right = guardValue, guardValue
	case op == "%":
		left = guardFormat
	case comparisons().has(op):
		left, right = guardPlain, guardPlain
	}
	if err := rw.wrap(field(e, "left"), left, depth); err != nil {
		return err
	}
	return rw.wrap(field(e, "right"), right, depth)
}

func (rw *rewriter) filter(e reflect.Value, depth int) error {
	name := field(e, "name").String()
	input, args := guardDeep, guardDeep
	switch {
	case shallowFilters().has(name):
		input, args = guardEach, guardValue
	case smallFilters().has(name):
		args = guardSmall
	case shortFilters().has(name):
		input = guardShort
	case ownFilters().has(name):
		field(e, "name").SetString(guardFilter + name)
	}
	if err := rw.wrap(field(e, "expr"), input, depth); err != nil {
		return err
	}
	if err := rw.wrapAll(field(e, "args"), args, depth); err != nil {
		return err
	}
	return rw.wrapKeywords(field(e, "kwargs"), args, depth)
}

func (rw *rewriter) callFields(e reflect.Value, depth int) error {
	fn, args := field(e, "fn"), guardDeep
	if method := fn.Elem().Elem(); method.Type().Name() == "attrExpr" && plainMethods().has(field(method, "attr").String()) {
		args = guardPlain
		if err := rw.wrap(field(method, "obj"), guardPlain, depth); err != nil {
			return err
		}
		fn.Set(rw.makeCall(guardCall, fn.Elem(), rw.literal(jinja.NewString(rw.nameOf(method)))))
	} else if err := rw.wrap(fn, guardCall, depth); err != nil {
		return err
	}
	if err := rw.wrapAll(field(e, "args"), args, depth); err != nil {
		return err
	}
	return rw.wrapKeywords(field(e, "kwargs"), args, depth)
}

// subscript charges for the whole of a string, of which the evaluator makes a list of characters.
func (rw *rewriter) subscript(e reflect.Value, depth int) error {
	if err := rw.wrap(field(e, "obj"), guardEach, depth); err != nil {
		return err
	}
	for _, name := range []string{"key", "start", "stop", "step"} {
		if !e.FieldByName(name).IsValid() {
			continue
		}
		if err := rw.wrap(field(e, name), guardDeep, depth); err != nil {
			return err
		}
	}
	return nil
}

// nameOf is what a message calls a function.
func (rw *rewriter) nameOf(e reflect.Value) string {
	switch e.Type().Name() {
	case "nameExpr":
		return field(e, "name").String()
	case "attrExpr":
		return field(e, "attr").String()
	default:
		return "the expression"
	}
}
