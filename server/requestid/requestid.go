// Package requestid says which names a caller may give a request: those that lines of logs and headers can hold.
package requestid

import (
	"errors"
	"fmt"
)

// Max is the length of the longest name, in bytes.
const Max = 128

// Check says what is wrong with a name, in words that go on from that of its field. The empty name, which is none, is right.
func Check(id string) error {
	if len(id) > Max {
		return fmt.Errorf("must have at most %d characters", Max)
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return errors.New("must be printable ASCII")
		}
	}
	return nil
}
