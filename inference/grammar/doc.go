// Package grammar says which tokens may come next so that a text conforms to a JSON Schema, a regular expression, a
// context-free grammar or a list of choices. It is pure.
//
// # How it works
//
// Compile turns a constraint into rules over bytes. Regular parts (strings, numbers, patterns) become deterministic
// automata, called terminals; nested parts become a graph of nodes that call rules and terminals. A state of the recognizer
// is a set of configurations, each of which is a place and a stack of places to return to: a pushdown automaton that follows
// all its choices at once. States are interned and their transitions cached, so that common ones become table look-ups. The
// recognizer reads bytes, so a token may end inside a character, a symbol or a rule, and the next one continues there.
//
// The tokens that a state allows are found by walking the vocabulary's trie. Inside a terminal, where most of the
// vocabulary may be allowed, the walk is done once for each state of the terminal, whoever calls it. The tokens that stay
// inside are the same for every caller. For those that leave the terminal, the rests behind it are kept in a short trie of
// their own, which is walked for each caller. The terminals of JSON belong to the vocabulary, so that all schemas share
// that work; property names share it too, except those that a schema lists. Prepare does the work for the other terminals
// in advance; otherwise a mask does it when it needs it. The mask of a state is cached as well.
//
// # Limits
//
// The constants of limits.go limit each part of a constraint and all parts together, and the error of Compile names the
// limit that is exceeded. The cache of a Grammar is limited in bytes and is emptied when it reaches the limit. A state has
// at most maxConfigs configurations, and finding one mask, or following one token, takes at most maxStep steps (some tens of
// milliseconds) and maxRemembered bytes. Only highly ambiguous grammars, or ones that remember each character of what they
// have read, exceed that; their output ends with ErrAmbiguous.
package grammar
