// Package grammar says which tokens may come next so that a text conforms to a JSON Schema, a regular expression, a
// context-free grammar or a list of choices. It is pure.
//
// # How it works
//
// Compile turns a constraint into rules over bytes. What is regular (strings, numbers, patterns) becomes a deterministic
// automaton, a terminal; what nests is a graph of nodes that call rules and terminals. A state of the recogniser is a set
// of configurations, each a place and a stack of places to return to: a pushdown automaton that follows all its choices
// at once. States are interned and their steps remembered, so that what is visited often is a table look-up. The
// recogniser reads bytes: a token may end inside of a character, a symbol or a rule, and the next goes on there.
//
// The tokens that a state allows are found on a walk through the vocabulary's trie. Inside of a terminal, where most of
// the vocabulary may be allowed, the walk is done once for each state of the terminal, whoever called it: the tokens that
// stay inside are the same everywhere, and of those that leave it the rests behind the terminal are kept in a trie of their
// own, which is short and is walked for each caller. The terminals of JSON belong to the vocabulary, so that all schemas
// share that work, and the names but for those that a schema names take it from that of all names. The others' is done by
// Prepare, or when a mask needs it. A state's mask is remembered too.
//
// # Bounds
//
// Compile is bounded by the constants of limits.go, for each part of a constraint and for all parts together, and says
// which one a constraint exceeds. What a Grammar remembers is bounded in bytes; it forgets everything and goes on when that
// is reached. A state has at most maxConfigs configurations, and finding one mask, or the way of one token, takes at most
// maxStep steps (some tens of milliseconds) and maxRemembered bytes: only grammars that are highly ambiguous, or that remember
// each character of what they have read, exceed that, and their output ends with ErrAmbiguous.
package grammar
