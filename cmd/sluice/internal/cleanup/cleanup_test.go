package cleanup

import (
	"errors"
	"slices"
	"testing"
)

// TestStack: the last is undone first, one that fails keeps none from being undone, and nothing is undone twice.
func TestStack(t *testing.T) {
	t.Parallel()
	var stack Stack
	var undone []int
	first, third := errors.New("first"), errors.New("third")
	for i, err := range []error{first, nil, third} {
		stack.Add(func() error {
			undone = append(undone, i)
			return err
		})
	}
	before := errors.New("before")
	err := before
	stack.CloseInto(&err)
	if !slices.Equal(undone, []int{2, 1, 0}) {
		t.Errorf("undone: %v", undone)
	}
	for _, want := range []error{before, first, third} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not among %v", want, err)
		}
	}
	if err := stack.Close(); err != nil || len(undone) != 3 {
		t.Errorf("again: %v, %v", err, undone)
	}
}
