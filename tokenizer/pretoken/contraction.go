package pretoken

// fold says which letters a pattern's English contractions take.
type fold uint8

const (
	noContraction fold = iota // the pattern has none
	foldASCII                 // 's and 'S: [sS]
	foldUnicode               // (?i:…): 's, 'S and 'ſ (U+017F), whose upper case is S too
)

// contraction returns how many bytes of rest, the text after an apostrophe, belong to one of the English contractions
// 's, 't, 're, 've, 'm, 'll, 'd.
func contraction(rest string) int {
	if rest == "" {
		return 0
	}
	switch rest[0] {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v':
		if len(rest) > 1 && rest[1] == 'e' {
			return 2
		}
	case 'l':
		if len(rest) > 1 && rest[1] == 'l' {
			return 2
		}
	}
	return 0
}

// folded is contraction for letters of either case.
func (f fold) folded(rest string) int {
	if rest == "" || f == noContraction {
		return 0
	}
	const lower = 'a' - 'A'
	switch rest[0] | lower {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v':
		if len(rest) > 1 && rest[1]|lower == 'e' {
			return 2
		}
	case 'l':
		if len(rest) > 1 && rest[1]|lower == 'l' {
			return 2
		}
	case "ſ"[0] | lower:
		if f == foldUnicode && len(rest) > 1 && rest[:2] == "ſ" {
			return 2
		}
	}
	return 0
}
