package kvcache

// Length is the number of positions that slot i holds; 0 if it is free.
func (l *Ledger) Length(i int) int { return l.slots[i].length }
