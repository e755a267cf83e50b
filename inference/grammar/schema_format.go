package grammar

// formatPattern is the expression of a format; "" of one that is not known.
func formatPattern(name string) string {
	const (
		// A year is not 0000, which readers of dates refuse. Then the days that every month has, and those that some have.
		year  = `(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)`
		date  = `(?:` + year + `-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)`
		time  = `(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])`
		octet = `(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])`
		ipv4  = octet + `(?:\.` + octet + `){3}`
		h16   = `[0-9a-fA-F]{1,4}`
		ipv6  = `(?:(?:` + h16 + `:){7}` + h16 + `|(?:` + h16 + `:){1,7}:|(?:` + h16 + `:){1,6}:` + h16 +
			`|(?:` + h16 + `:){1,5}(?::` + h16 + `){1,2}|(?:` + h16 + `:){1,4}(?::` + h16 + `){1,3}|(?:` + h16 + `:){1,3}(?::` + h16 + `){1,4}` +
			`|(?:` + h16 + `:){1,2}(?::` + h16 + `){1,5}|` + h16 + `:(?::` + h16 + `){1,6}|:(?:(?::` + h16 + `){1,7}|:)|::(?:ffff:)?` + ipv4 + `)`
		label  = `[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?`
		host   = label + `(?:\.` + label + `){0,2}`
		pchar  = `(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})`
		number = `[0-9]+`
		// What a template of URIs has besides expressions, and a JSON pointer.
		literals = `[a-zA-Z0-9._~!$&()*+,;=:@-]`
		pointer  = `(?:/(?:[^/~]|~[01])*)*`
	)
	switch name {
	case "date":
		return date
	case "time":
		return time
	case "date-time":
		return date + `T` + time
	case "duration":
		return `P(?:` + number + `W|` + number + `Y(?:` + number + `M(?:` + number + `D)?)?|` + number + `M(?:` + number + `D)?|` + number + `D|(?:` + number + `D)?T(?:` + number + `H(?:` + number + `M(?:` + number + `S)?)?|` + number + `M(?:` + number + `S)?|` + number + `S))`
	case "uuid":
		return `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`
	case "email", "idn-email":
		return `[a-zA-Z0-9_+-]{1,32}(?:\.[a-zA-Z0-9_+-]{1,15}){0,2}@` + host
	case "hostname":
		return host
	case "ipv4":
		return ipv4
	case "ipv6":
		return ipv6
	case "uri", "iri", "url":
		return `[a-zA-Z][a-zA-Z0-9+.-]*:(?://` + host + `(?::[0-9]{1,5})?(?:/` + pchar + `*)*|` + pchar + `(?:` + pchar + `|/)*)(?:\?(?:` + pchar + `|[/?])*)?(?:#(?:` + pchar + `|[/?])*)?`
	case "uri-reference", "iri-reference":
		return `(?:/` + pchar + `*)+(?:\?(?:` + pchar + `|[/?])*)?(?:#(?:` + pchar + `|[/?])*)?`
	case "uri-template":
		return `(?:/(?:` + literals + `|%[0-9A-Fa-f]{2}|\{[a-zA-Z][a-zA-Z0-9_]*(?:,[a-zA-Z][a-zA-Z0-9_]*)*\})*)+`
	case "idn-hostname":
		return `[a-z]{1,30}(?:\.[a-z]{1,30}){0,2}`
	case "json-pointer":
		return pointer
	case "relative-json-pointer":
		return `(?:0|[1-9][0-9]{0,8})(?:#|` + pointer + `)`
	case "regex": // without groups
		return `\^?(?:(?:[A-Za-z0-9 _-]|\\[dwsDWS.]|\.|\[\^?(?:a-z|A-Z|0-9|_){1,4}\])[*+?]?)*\$?`
	case "byte": // of OpenAPI: base64
		return `(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?`
	}
	return ""
}

// isNumberFormat says whether a format is one of OpenAPI's that say nothing about which strings are valid.
func isNumberFormat(name string) bool {
	switch name {
	case "int32", "int64", "float", "double", "uint32", "uint64", "int", "integer", "number", "password":
		return true
	}
	return false
}

// format is the automaton of the JSON strings of a format; nil of one that says nothing about strings.
func (d *jsonDFAs) format(format *value) (*dfa, error) {
	if format.kind != isString {
		return nil, errorf("must be a string")
	}
	pattern := formatPattern(format.text)
	if pattern == "" {
		if isNumberFormat(format.text) {
			return nil, nil //nolint:nilnil // it says nothing about strings
		}
		return nil, errorf("this format is not supported")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.formats[format.text]; known != nil {
		return known, nil
	}
	e, err := parseRegexp(`^(?:` + pattern + `)$`)
	if err != nil {
		return nil, err
	}
	made, err := contentDFA(nil, e)
	if err != nil {
		return nil, err
	}
	d.formats[format.text] = made.share(",:]} \n")
	return made, nil
}
