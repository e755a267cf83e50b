// Package pattern runs the regular expressions of a tokenizer.json that have no hand-written scanner. They are
// Oniguruma's in its Ruby syntax; [Compile] translates them for package regexp2 and spells every class of characters
// out from Oniguruma's own tables (classes.txt, made by probe.py: Unicode 16), so that a match ends at the same
// character. What it does not translate is refused by name.
//
// regexp2 backtracks: a pattern can take time that is more than linear in the text, as it can in Oniguruma. A search has a
// bound in time and memory, and fails beyond it.
package pattern
