package main

// maxTypos is how many letters may be wrong, missing, too many or exchanged with the next for a name to be taken for another.
const maxTypos = 2

// nearest is the known name that a name is probably meant to be; "" if it resembles none.
func nearest(name string, known []string) string {
	best, least := "", maxTypos+1
	for _, other := range known {
		if d := typos(name, other); d < least && d < len(name)/2 {
			best, least = other, d
		}
	}
	return best
}

// typos is the distance of optimal string alignment: how many single bytes to insert, delete, replace or exchange with the next
// make one text of the other. It keeps three rows of the table.
func typos(a, b string) int {
	var before []int // two rows up
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
