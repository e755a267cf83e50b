package sampling_test

import (
	"fmt"

	"github.com/sluiceml/sluice/inference/sampling"
)

// A draw depends on the row, the parameters and the position, and on nothing else.
func ExampleSampler() {
	p := sampling.Params{Temperature: 1, TopK: 2, TopP: 1, RepetitionPenalty: 1, Seed: 42}
	s, scratch := sampling.New(p, 0, nil, 8), sampling.NewScratch(4)
	for position := range 8 {
		id, err := s.Sample([]float32{1, 3, -2, 2.5}, scratch, position)
		if err != nil {
			fmt.Println(err)
			return
		}
		s.Accept(id)
		fmt.Print(id, " ")
	}
	// Output: 1 1 3 3 3 1 3 1
}
