package inference

import (
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluiceml/sluice/inference/grammar"
)

// TestConstraintsKeepApart: constraints whose texts are the same in a row are not taken for each other.
func TestConstraintsKeepApart(t *testing.T) {
	g, err := newGrammars(sdkmetric.NewMeterProvider(), "toy", nil, nil, newTurns())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []grammar.Constraint{
		{Kind: grammar.KindChoice, Choices: []string{"a", "b"}},
		{Kind: grammar.KindChoice, Choices: []string{"a\x00b"}},
		{Kind: grammar.KindChoice, Choices: []string{"ab"}},
		{Kind: grammar.KindChoice, Choices: []string{"\x01b"}},
		{Kind: grammar.KindChoice, Text: "a", Choices: []string{"b"}},
		{Kind: grammar.KindChoice, Text: "ab"},
		{Kind: grammar.KindRegex, Text: "ab"},
	} {
		if _, mine := g.entry(&Constraint{Constraint: c}); !mine {
			t.Errorf("constraint %d has the grammar of another", i)
		}
		if _, mine := g.entry(&Constraint{Constraint: c, Field: "elsewhere"}); mine {
			t.Errorf("constraint %d is compiled twice", i)
		}
	}
}
