package grammar

import (
	"math/big"
	"strings"
)

// bound is a limit of numbers.
type bound struct {
	value *big.Rat
	open  bool // the limit itself is beyond it
}

// numbers is the numbers that satisfy schemas.
type numbers struct {
	low, high *bound   // nil: none
	multiple  *big.Rat // nil: of nothing
	except    *big.Rat // no multiple of it either; nil: of anything
	of        types    // integers, numbers that are none, or both
}

// number is the expression of the numbers that satisfy schemas. It is made once for the same keywords.
func (s *schemas) number(set []part, of types) expr {
	return s.once(set, "number "+itoa(int(of)), typeNumber, func(set []part) expr { return s.newNumber(set, of) })
}

func (s *schemas) newNumber(set []part, of types) expr {
	n := numbers{of: of}
	for _, p := range set {
		for _, k := range numberBounds() {
			v := p.schema.get(k.keyword)
			if v == nil {
				continue
			}
			r := v.rational()
			if r == nil || !hasDecimals(r) {
				s.refuse(p.schema, k.keyword, "must be a number of at most 40 digits; a boolean is of an older draft")
				return nothing{}
			}
			n.limit(&bound{r, k.open}, k.low)
		}
		for _, keyword := range []string{"multipleOf", keyNotMultiple} {
			v := p.schema.get(keyword)
			if v == nil {
				continue
			}
			r := v.rational()
			if r == nil || r.Sign() <= 0 || !n.multiply(r, keyword == keyNotMultiple) {
				s.refuse(p.schema, "multipleOf", "only numbers above 0 of up to "+itoa(maxScale)+" decimals can be enforced whose digits are at most "+itoa(maxMultiple))
				return nothing{}
			}
		}
	}
	excluded := s.excluded(set)
	if n.low == nil && n.high == nil && n.multiple == nil && n.except == nil && len(excluded) == 0 && of&typeInteger != 0 {
		if of == typeInteger {
			return token{s.json.integer}
		}
		return token{s.json.number}
	}
	d, err := n.automaton(s.budget)
	if err != nil {
		s.refuseError(set[0].schema, "minimum", err)
		return nothing{}
	}
	if d, err = withoutNumbers(s.budget, d, excluded); err != nil {
		s.refuseError(set[0].schema, "enum", err)
		return nothing{}
	}
	if d.empty() {
		return nothing{}
	}
	return token{&terminal{dfa: d}}
}

// numberBound is a keyword of a bound.
type numberBound struct {
	keyword   string
	low, open bool
}

func numberBounds() []numberBound {
	return []numberBound{{"minimum", true, false}, {"exclusiveMinimum", true, true}, {"maximum", false, false}, {"exclusiveMaximum", false, true}}
}

// maxDecimals bounds the digits of a bound, before and behind its point.
const maxDecimals = 20

// hasDecimals says whether a number has a finite decimal form within the bounds.
func hasDecimals(r *big.Rat) bool {
	whole, fraction, exact := decimals(r)
	return exact && len(whole) <= maxDecimals && len(fraction) <= maxDecimals
}

// decimals is the digits of a number's magnitude, and whether they are all.
func decimals(r *big.Rat) (whole, fraction string, exact bool) {
	text := new(big.Rat).Abs(r).FloatString(maxDecimals + 1)
	whole, fraction, _ = strings.Cut(text, ".")
	back, ok := new(big.Rat).SetString(text)
	return whole, strings.TrimRight(fraction, "0"), ok && back.Cmp(new(big.Rat).Abs(r)) == 0
}

// limit narrows the numbers.
func (n *numbers) limit(b *bound, low bool) {
	at := &n.high
	if low {
		at = &n.low
	}
	if *at == nil {
		*at = b
		return
	}
	switch c := b.value.Cmp((*at).value); {
	case c == 0:
		(*at).open = (*at).open || b.open
	case c > 0 == low:
		*at = b
	}
}

// magnitude is a limit of what follows the sign.
type magnitude struct {
	whole, fraction string
	open            bool
}

// limits is the least and the greatest magnitude of the numbers of a sign; nil: none. They are false if there are no such
// numbers.
func (n *numbers) limits(negative bool) (least, greatest *magnitude, some bool) {
	low, high := n.low, n.high
	if negative {
		low, high = negated(high), negated(low)
		if high != nil && high.value.Sign() == 0 {
			return nil, nil, false // or a zero with a sign
		}
	}
	if high != nil {
		if high.value.Sign() < 0 {
			return nil, nil, false
		}
		greatest = magnitudeOf(high)
	}
	if low != nil && low.value.Sign() >= 0 {
		least = magnitudeOf(low)
	}
	return least, greatest, true
}

func negated(b *bound) *bound {
	if b == nil {
		return nil
	}
	return &bound{new(big.Rat).Neg(b.value), b.open}
}

func magnitudeOf(b *bound) *magnitude {
	whole, fraction, _ := decimals(b.value)
	return &magnitude{whole, fraction, b.open}
}
