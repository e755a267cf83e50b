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

// Digits of numbers with bounds.
const (
	maxWhole    = 19
	maxFraction = 19
)

// digits is how far a number has been read, and how it compares with the limits so far.
type digits struct {
	phase    byte // 0: nothing, '-', '0': a zero, '1': digits, '.', 'f': digits of the fraction
	negative bool
	count    int8 // digits of this phase
	least    int8 // as the digits compare with the least magnitude's of the same places
	most     int8
	rest     int32 // of the division by multiple, as if there were no point
	except   int32 // of the division by except
	fraction bool  // a digit behind the point is not 0
}

// automaton is the automaton of the numbers, written without exponents.
//
//nolint:gocognit // one machine: what it reads in each phase, and which numbers it accepts
func (n *numbers) automaton(limit *budget) (*dfa, error) {
	var least, most [2]*magnitude
	var some [2]bool
	for i, negative := range []bool{false, true} {
		least[i], most[i], some[i] = n.limits(negative)
	}
	multiple, except := remainderOf(n.multiple), remainderOf(n.except)
	decimals := int8(maxFraction)
	switch {
	case n.of == typeInteger:
		decimals = 0
	case n.multiple != nil:
		decimals = int8(multiple.scale)
	}
	side := func(d digits) int {
		if d.negative {
			return 1
		}
		return 0
	}
	within := func(d digits) bool { // of a complete number
		i := side(d)
		read := 0
		if d.phase == 'f' {
			read = int(d.count)
		}
		switch {
		case !some[i] || multiple.of(d.rest, read) != 0 || n.of == typeNumber && !d.fraction:
			return false
		case n.except != nil && d.except != noMultiple && except.of(d.except, read) == 0:
			return false
		}
		if m := least[i]; m != nil {
			if c := d.compare(m, d.least); c < 0 || c == 0 && m.open {
				return false
			}
		}
		if m := most[i]; m != nil {
			if c := d.compare(m, d.most); c > 0 || c == 0 && m.open {
				return false
			}
		}
		return true
	}
	step := func(d digits, b byte) (digits, bool) {
		digit := b >= '0' && b <= '9'
		switch {
		case b == '-':
			return digits{phase: '-', negative: true}, d.phase == 0
		case digit && (d.phase == 0 || d.phase == '-' || d.phase == '1'):
			if d.phase == '1' && d.count >= maxWhole {
				return d, false
			}
			if b == '0' && d.phase != '1' {
				d.phase = '0'
			} else {
				d.phase = '1'
			}
			i := side(d)
			d.least = compareDigit(d.least, least[i], false, int(d.count), b)
			d.most = compareDigit(d.most, most[i], false, int(d.count), b)
			d.count++
			d.rest, d.except = multiple.add(d.rest, b), except.add(d.except, b)
			return d, true
		case b == '.' && decimals > 0 && (d.phase == '0' || d.phase == '1'):
			i := side(d)
			d.least = d.wholeOf(least[i], d.least)
			d.most = d.wholeOf(most[i], d.most)
			d.phase, d.count = '.', 0
			return d, true
		case digit && (d.phase == '.' || d.phase == 'f') && d.count < decimals:
			i := side(d)
			d.least = compareDigit(d.least, least[i], true, int(d.count), b)
			d.most = compareDigit(d.most, most[i], true, int(d.count), b)
			d.phase = 'f'
			d.count++
			d.rest, d.fraction = multiple.add(d.rest, b), d.fraction || b != '0'
			if int(d.count) <= except.scale {
				d.except = except.add(d.except, b)
			} else if b != '0' {
				d.except = noMultiple
			}
			return d, true
		}
		return d, false
	}
	return explore(limit, []byte("-.0123456789"), digits{}, nil, step, func(d digits) bool {
		return (d.phase == '0' || d.phase == '1' || d.phase == 'f') && within(d)
	})
}

// compareDigit compares the next digit with a limit's, if those before are the same.
func compareDigit(so int8, m *magnitude, fraction bool, at int, b byte) int8 {
	if m == nil || so != 0 {
		return so
	}
	limit := m.whole
	if fraction {
		limit = m.fraction
	}
	other := byte('0')
	if at < len(limit) {
		other = limit[at]
	} else if !fraction {
		return 0 // the number has more digits, which wholeOf sees
	}
	switch {
	case b < other:
		return -1
	case b > other:
		return 1
	}
	return 0
}

// wholeOf compares whole parts of which all digits are known, with a limit's.
func (d *digits) wholeOf(m *magnitude, so int8) int8 {
	switch {
	case m == nil:
		return 0
	case int(d.count) < len(m.whole):
		return -1
	case int(d.count) > len(m.whole):
		return 1
	}
	return so
}

// compare compares a complete number with a limit.
func (d *digits) compare(m *magnitude, so int8) int8 {
	read := 0
	if d.phase == 'f' {
		read = int(d.count)
	} else {
		so = d.wholeOf(m, so)
	}
	if so == 0 && read < len(m.fraction) {
		return -1 // its digits do not end in zeros
	}
	return so
}
