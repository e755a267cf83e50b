package builder

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/quant"
)

// TestGraph lays models out and dumps their graphs. The command is "plan"; its arguments change tinySpec and the
// types of the weights:
//
//	quantize=auto|none|int8|row8
//	layout=sluice|genai
//	layers=N hidden=N intermediate=N untied bias calibrated
//	type=T             of all matrices
//	type.PART=T        of the matrices whose names hold PART
func TestGraph(t *testing.T) {
	datadriven.Walk(t, "testdata/graph", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			spec, opts := tinySpec(), Options{Version: "test"}
			var types [][2]string
			for _, arg := range d.CmdArgs {
				switch {
				case arg.Key == "quantize":
					opts.Quantize = Form(arg.Vals[0])
				case arg.Key == "layout":
					opts.Layout = Layout(arg.Vals[0])
				case arg.Key == "calibrated":
					opts.Calibration = [][]uint32{{1, 2, 3}}
				case arg.Key == "layers":
					arg.Scan(t, 0, &spec.Layers)
				case arg.Key == "hidden":
					arg.Scan(t, 0, &spec.HiddenSize)
				case arg.Key == "intermediate":
					arg.Scan(t, 0, &spec.IntermediateSize)
				case arg.Key == "untied":
					spec.TiedEmbeddings = false
				case arg.Key == "bias":
					spec.AttentionBias, spec.MLPBias = true, true
				case strings.HasPrefix(arg.Key, "type"):
					_, part, _ := strings.Cut(arg.Key, ".")
					types = append(types, [2]string{part, arg.Vals[0]})
				default:
					d.Fatalf(t, "unknown argument %s", arg.Key)
				}
			}
			p, err := layOut(t.Context(), newMemory(spec, func(name string) model.Type { return typeOf(t, types, name) }), opts)
			if err != nil {
				return err.Error()
			}
			return fmt.Sprintf("quantization %s, %d bytes of weights\n%s", p.quantization(), p.dataSize(), p.model.Dump())
		})
	})
}

// typeOf finds the type by the last rule whose part the name holds.
func typeOf(tb testing.TB, rules [][2]string, name string) model.Type {
	tb.Helper()
	var found model.Type
	for _, rule := range rules {
		if !strings.Contains(name, rule[0]) {
			continue
		}
		i := slices.IndexFunc(quant.Types(), func(t model.Type) bool { return t.String() == rule[1] })
		if i < 0 {
			tb.Fatalf("no type %s", rule[1])
		}
		found = quant.Types()[i]
	}
	return found
}
