package grammar

import (
	"math/big"
	"slices"
	"strings"
)

// maxMultiple bounds the digits of multipleOf, since an automaton has a state for every remainder, and maxScale its decimals.
const (
	maxMultiple = 1000
	maxScale    = 9
)

// multiply narrows the numbers to multiples of m too, or to others. It says whether that can be enforced.
func (n *numbers) multiply(m *big.Rat, except bool) bool {
	at := &n.multiple
	if except {
		if at = &n.except; *at != nil {
			return false
		}
	}
	if *at != nil { // the least common multiple, over their common denominator
		a, b := (*at), m
		denominator := new(big.Int).Mul(a.Denom(), b.Denom())
		x := new(big.Int).Mul(a.Num(), b.Denom())
		y := new(big.Int).Mul(b.Num(), a.Denom())
		gcd := new(big.Int).GCD(nil, nil, x, y)
		m = new(big.Rat).SetFrac(x.Mul(x, y.Div(y, gcd)), denominator)
	}
	*at = m
	digits, _, ok := scaled(m)
	return ok && digits <= maxMultiple
}

// scaled is the digits of a number without its point, and how many of them are behind it.
func scaled(r *big.Rat) (digits int64, scale int, ok bool) {
	_, fraction, exact := decimals(r)
	if scale = len(fraction); !exact || scale > maxScale {
		return 0, 0, false
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	whole := new(big.Rat).Mul(r, new(big.Rat).SetInt(power))
	return whole.Num().Int64(), scale, whole.IsInt() && whole.Num().IsInt64()
}

// noMultiple is the rest of a number that has a digit where a multiple has none.
const noMultiple = -1

// remainder is a divisor of what a number's digits are without its point.
type remainder struct {
	by    int32
	scale int // digits behind the point that count: a complete number has as many
}

func remainderOf(r *big.Rat) remainder {
	if r == nil {
		return remainder{1, 0}
	}
	digits, scale, _ := scaled(r)
	return remainder{int32(digits), scale} //nolint:gosec // multiply has seen to it
}

// add is the rest behind another digit.
func (m remainder) add(rest int32, digit byte) int32 { return (rest*10 + int32(digit-'0')) % m.by }

// of is the rest of a number of which so many digits behind the point were read.
func (m remainder) of(rest int32, read int) int32 {
	for ; read < m.scale; read++ {
		rest = m.add(rest, '0')
	}
	return rest
}

// withoutNumbers takes numbers out of an automaton, in all spellings that it has.
func withoutNumbers(limit *budget, d *dfa, excluded map[string]bool) (*dfa, error) {
	var patterns []string
	for text := range excluded {
		if r := (&value{kind: isNumber, text: text}).rational(); r != nil && text[0] != '"' {
			whole, fraction, exact := decimals(r)
			switch {
			case !exact: // which it does not have
				continue
			case r.Sign() == 0:
				patterns = append(patterns, `-?0(?:\.0+)?`)
			case r.Sign() < 0:
				whole = "-" + whole
				fallthrough
			case fraction == "":
				patterns = append(patterns, whole+`(?:\.0+)?`)
			default:
				patterns = append(patterns, whole+`\.`+fraction+`0*`)
			}
		}
	}
	if len(patterns) == 0 || d.empty() {
		return d, nil
	}
	slices.Sort(patterns)
	without, err := compileRegexp(limit, strings.Join(patterns, "|"))
	if err != nil {
		return nil, err
	}
	return subtract(limit, d, without)
}
