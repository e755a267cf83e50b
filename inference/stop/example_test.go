package stop_test

import (
	"fmt"

	"github.com/sluiceml/sluice/inference/stop"
)

// What could still become a stop string is held back.
func ExampleMatcher() {
	set, err := stop.Compile([]string{"\nUser:", "###"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := stop.NewMatcher(set, false)
	for _, piece := range []string{"Hi", "!\nUs", "ers\nUser", ": and more"} {
		fmt.Printf("%q ", m.Append(nil, piece))
	}
	match, found := m.Match()
	fmt.Printf("%q %t\n", match, found)
	// Output: "Hi" "!" "\nUsers" "" "\nUser:" true
}
