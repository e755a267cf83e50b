package sampling

// The selections are Hoare's FIND (quickselect) with a pivot that is the median of three and a partition in three
// parts, so that equal values cost nothing: linear time on average. They reorder their argument.

// kthLargest is the k-th largest of the values, for k from 1 to len(values).
func kthLargest(values []float32, k int) float32 {
	for {
		if len(values) == 1 {
			return values[0]
		}
		pivot := medianOfThree(values)
		below, above := partition(values, pivot)
		switch {
		case k <= len(values)-above:
			values = values[above:]
		case k <= len(values)-below:
			return pivot
		default:
			k -= len(values) - below
			values = values[:below]
		}
	}
}

// lightest removes values from the smallest up as long as their sum is at most budget, and says where it stops: at
// the value cut, of which equal ones remain, at least one. values is not empty; neither a value nor budget is negative.
func lightest(values []float32, budget float64) (cut float32, equal int) {
	for {
		pivot := medianOfThree(values)
		below, above := partition(values, pivot)
		var light float64
		for _, v := range values[:below] {
			light += float64(v)
		}
		if light > budget {
			values = values[:below]
			continue
		}
		same := above - below
		sum := light + float64(pivot)*float64(same)
		if sum > budget {
			removed := int((budget - light) / float64(pivot))
			return pivot, same - min(removed, same-1)
		}
		if above == len(values) { // nothing larger: one must stay
			return pivot, 1
		}
		budget -= sum
		values = values[above:]
	}
}

// crossing is the least distance within which the pairs weigh at least need; the greatest if all weigh less. There is
// at least one pair.
func crossing(pairs []pair, need float64) float32 {
	for {
		pivot := max(min(pairs[0].distance, pairs[len(pairs)-1].distance),
			min(max(pairs[0].distance, pairs[len(pairs)-1].distance), pairs[len(pairs)/2].distance))
		below, above := partitionPairs(pairs, pivot)
		var near, here float64
		for _, p := range pairs[:below] {
			near += float64(p.weight)
		}
		if below > 0 && near >= need {
			pairs = pairs[:below]
			continue
		}
		for _, p := range pairs[below:above] {
			here += float64(p.weight)
		}
		if near+here >= need || above == len(pairs) {
			return pivot
		}
		need -= near + here
		pairs = pairs[above:]
	}
}

func medianOfThree(values []float32) float32 {
	a, b, c := values[0], values[len(values)/2], values[len(values)-1]
	return max(min(a, b), min(max(a, b), c))
}

// partition orders values into those below the pivot, [0:below], those equal to it, and those above, [above:].
func partition(values []float32, pivot float32) (below, above int) {
	above = len(values)
	for i := 0; i < above; {
		switch v := values[i]; {
		case v < pivot:
			values[i], values[below] = values[below], v
			below++
			i++
		case v > pivot:
			above--
			values[i], values[above] = values[above], v
		default:
			i++
		}
	}
	return below, above
}

// partitionPairs is partition by distance.
func partitionPairs(pairs []pair, pivot float32) (below, above int) {
	above = len(pairs)
	for i := 0; i < above; {
		switch p := pairs[i]; {
		case p.distance < pivot:
			pairs[i], pairs[below] = pairs[below], p
			below++
			i++
		case p.distance > pivot:
			above--
			pairs[i], pairs[above] = pairs[above], p
		default:
			i++
		}
	}
	return below, above
}
