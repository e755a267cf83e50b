package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
)

func TestTheDefaultModelsLicenceGoesWithIt(t *testing.T) {
	got := licencesOf(setup.DefaultModel(), filepath.Join("downloads", "model.gguf"))
	if diff := cmp.Diff([]string{filepath.Join("downloads", "LICENSE")}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
