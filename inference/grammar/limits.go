package grammar

import (
	"errors"
	"fmt"
)

// MaxSource is the longest schema, expression or grammar that Compile takes, in bytes.
const MaxSource = 1 << 20

// The bounds of a constraint. What exceeds one is refused with an *Error that names it.
const (
	maxNesting     = 200       // of parentheses, of a schema's objects, and of references that resolve to references
	maxRules       = 20_000    // rules and schemas
	maxNodes       = 400_000   // places of all rules
	maxAnalysis    = 100 << 20 // steps to analyse all places
	maxNFA         = 100_000   // places of one regular expression
	maxDFA         = 20_000    // states of one terminal
	maxDFAWork     = 8 << 20   // steps to determine or to combine terminals
	maxSteps       = 2 << 20   // of an automaton whose states are merged
	maxLift        = 16 << 20  // steps to look for terminals in the rules of GBNF, which stay rules beyond that
	maxWork        = 48 << 20  // steps of all automata and combinations of schemas
	maxKept        = 64 << 20  // bytes of all automata, rules of schemas and lists of values
	maxRepeat      = 1 << 20   // repetitions that an expression of a grammar or a schema counts
	maxChoices     = 100_000   // values of an enum, texts of a choice
	maxMerges      = 2_000     // pairs of schemas that have to be combined
	maxLeftInlines = 2_000     // rules that are copied to free a grammar of left recursion
)

// The bounds of running.
const (
	maxConfigs    = 4_000    // configurations of a state
	maxRemembered = 24 << 20 // bytes that a Grammar remembers of states and masks
	maxKnown      = 48 << 20 // bytes that it keeps of what tokens do in its own terminals; Prepare fills half of that
	maxStep       = 4 << 20  // steps of one mask or one token: a node of a trie is one
	closingSteps  = 16       // steps that a configuration counts for
	warmNodes     = 6 << 20  // nodes of the trie that are visited to prepare terminals
	prepareNodes  = 1 << 18  // and by one call of Prepare, one state's more
)

// ErrAmbiguous says that a grammar can read a text in too many ways at once, or that what may come next takes too many
// steps or too much memory to find.
var ErrAmbiguous = errors.New("grammar: the text can be read in too many ways")

// Error says why a constraint can't be imposed.
type Error struct {
	// Reason is what is wrong, in words that repeat nothing of the constraint but the names of standard keywords.
	Reason string
	// Where is the place: a JSON pointer into a schema, a line of a grammar. It may repeat names of the constraint.
	Where string
}

func (e *Error) Error() string {
	if e.Where == "" {
		return "grammar: " + e.Reason
	}
	return "grammar: " + e.Reason + " (at " + e.Where + ")"
}

// errorf makes an Error without a place.
func errorf(format string, args ...any) *Error { return &Error{Reason: fmt.Sprintf(format, args...)} }
