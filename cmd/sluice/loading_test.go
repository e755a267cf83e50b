package main

import (
	"errors"
	"testing"

	"github.com/sluiceml/sluice/inference"
)

func TestModelsAreUnavailableUntilTheyAreLoaded(t *testing.T) {
	models := &servedModels{names: []string{"small", "large"}}
	for _, name := range []string{"", "default", "small", "large"} {
		_, err := models.Model(name)
		if e, ok := errors.AsType[*inference.UnavailableError](err); !ok || e.Reason != inference.ReasonLoading || e.RetryAfter <= 0 {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := models.Model("other"); !errors.As(err, new(*inference.NotFoundError)) {
		t.Errorf("other: %v", err)
	}
	if got := models.Models(); got != nil {
		t.Errorf("models %v", got)
	}
}
