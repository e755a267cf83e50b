package grammar

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
func (n *numbers) automaton(limit *budget) (*dfa, error) {
	m := &numberMachine{
		numbers: n, remainder: remainderOf(n.multiple), exception: remainderOf(n.except), decimals: maxFraction,
	}
	for i, negative := range []bool{false, true} {
		m.least[i], m.most[i], m.some[i] = n.limits(negative)
	}
	switch {
	case n.of == typeInteger:
		m.decimals = 0
	case n.multiple != nil:
		m.decimals = int8(m.remainder.scale)
	}
	return explore(limit, []byte("-.0123456789"), digits{}, nil, m.step, m.accepts)
}

// numberMachine reads the numbers that satisfy schemas, digit by digit.
type numberMachine struct {
	*numbers

	// The limits of the magnitudes without a sign and with one, and whether there are such numbers.
	least, most [2]*magnitude
	some        [2]bool

	remainder remainder // of the division by multiple
	exception remainder // of the division by except
	decimals  int8      // digits behind the point, at most
}

// sign is where the limits of a number are.
func (d *digits) sign() int {
	if d.negative {
		return 1
	}
	return 0
}

// step reads a byte; false: no number goes on with it.
func (m *numberMachine) step(d digits, b byte) (digits, bool) {
	digit := b >= '0' && b <= '9'
	switch {
	case b == '-':
		return digits{phase: '-', negative: true}, d.phase == 0
	case digit && (d.phase == 0 || d.phase == '-' || d.phase == '1'):
		return m.wholeDigit(d, b)
	case b == '.' && m.decimals > 0 && (d.phase == '0' || d.phase == '1'):
		d.least = d.wholeOf(m.least[d.sign()], d.least)
		d.most = d.wholeOf(m.most[d.sign()], d.most)
		d.phase, d.count = '.', 0
		return d, true
	case digit && (d.phase == '.' || d.phase == 'f') && d.count < m.decimals:
		return m.decimal(d, b), true
	}
	return d, false
}

// wholeDigit reads a digit before the point. Nothing but a point follows a zero that comes first.
func (m *numberMachine) wholeDigit(d digits, b byte) (digits, bool) {
	if d.phase == '1' && d.count >= maxWhole {
		return d, false
	}
	if b == '0' && d.phase != '1' {
		d.phase = '0'
	} else {
		d.phase = '1'
	}
	d.least = compareDigit(d.least, m.least[d.sign()], false, int(d.count), b)
	d.most = compareDigit(d.most, m.most[d.sign()], false, int(d.count), b)
	d.count++
	d.rest, d.except = m.remainder.add(d.rest, b), m.exception.add(d.except, b)
	return d, true
}

// decimal reads a digit behind the point.
func (m *numberMachine) decimal(d digits, b byte) digits {
	d.least = compareDigit(d.least, m.least[d.sign()], true, int(d.count), b)
	d.most = compareDigit(d.most, m.most[d.sign()], true, int(d.count), b)
	d.phase = 'f'
	d.count++
	d.rest, d.fraction = m.remainder.add(d.rest, b), d.fraction || b != '0'
	if int(d.count) <= m.exception.scale {
		d.except = m.exception.add(d.except, b)
	} else if b != '0' {
		d.except = noMultiple
	}
	return d
}

// accepts says whether what has been read is one of the numbers.
func (m *numberMachine) accepts(d digits) bool {
	read := 0
	switch d.phase {
	case '0', '1':
	case 'f':
		read = int(d.count)
	default:
		return false
	}
	i := d.sign()
	switch {
	case !m.some[i] || m.remainder.of(d.rest, read) != 0 || m.of == typeNumber && !d.fraction:
		return false
	case m.except != nil && d.except != noMultiple && m.exception.of(d.except, read) == 0:
		return false
	}
	if limit := m.least[i]; limit != nil {
		if c := d.compare(limit, d.least); c < 0 || c == 0 && limit.open {
			return false
		}
	}
	if limit := m.most[i]; limit != nil {
		if c := d.compare(limit, d.most); c > 0 || c == 0 && limit.open {
			return false
		}
	}
	return true
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
