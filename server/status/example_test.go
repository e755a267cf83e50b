package status_test

import (
	"context"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/server/status"
)

// An error of the house becomes a status whose details a program can read.
func ExampleOf() {
	err := fmt.Errorf("generate: %w", inference.Invalid("sampling.top_p", "must be above 0 and at most 1"))
	st := status.Of(context.Background(), err)
	fmt.Println(st.Code(), status.HTTP(st.Code()))
	for _, detail := range st.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			fmt.Println(bad.GetFieldViolations()[0].GetField())
		}
	}
	// Output:
	// InvalidArgument 400
	// sampling.top_p
}
