package builder

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/quant"
)

// TestCarryIsExact compares d·c + o with the stored values: equal without offsets, and within the rounding of o and
// of the sum with them.
func TestCarryIsExact(t *testing.T) {
	for _, typ := range quant.Types() {
		carry, ok := carrierOf(typ)
		if !ok {
			continue
		}
		t.Run(typ.String(), func(t *testing.T) {
			const width = 512
			data := newRandom(typ.String()).blocks(typ, width/typ.BlockSize())
			want := make([]float32, width)
			if err := model.Dequantize(want, typ, data); err != nil {
				t.Fatal(err)
			}
			c, d, o := make([]int8, width), make([]float32, width/32), make([]float32, width/32)
			carry.row(data, c, d, o)
			least, most := int8(-1<<(carry.bits-1)), int8(1<<(carry.bits-1)-1)
			for i := range want {
				scale, offset := float64(d[i/32]), float64(o[i/32])
				got := scale*float64(c[i]) + offset
				tolerance := 0.0
				if carry.offsets {
					tolerance = 1e-6 * (16*math.Abs(scale) + math.Abs(offset))
				} else if offset != 0 {
					t.Fatalf("value %d has an offset", i)
				}
				if math.Abs(got-float64(want[i])) > tolerance {
					t.Fatalf("value %d is %v, want %v", i, got, want[i])
				}
				if c[i] < least || c[i] > most {
					t.Fatalf("code %d is %d, not of %d bits", i, c[i], carry.bits)
				}
			}
		})
	}
}

func TestRoundRow(t *testing.T) {
	row := make([]float32, 5*32)
	r := newRandom("row")
	for i := range 32 {
		row[i] = r.weight()              // ordinary
		row[64+i] = -0.25                // all alike
		row[96+i] = 1e-45 * float32(i%3) // denormal: the scale rounds to zero
		row[128+i] = math.MaxFloat32 * (2*float32(i%2) - 1)
	}
	c, d := make([]int8, len(row)), make([]float32, 5)
	roundRow(row, codedRow{c: c, d: d}, 8, false)
	for i, v := range row {
		got := float64(d[i/32]) * float64(c[i])
		if math.Abs(got-float64(v)) > float64(d[i/32])*0.5000001+1e-44 {
			t.Errorf("value %d is %v, was %v, scale %v", i, got, v, d[i/32])
		}
		if c[i] < -127 {
			t.Errorf("code %d is %d", i, c[i])
		}
	}
	if d[1] != 0 || d[3] != 0 || c[64] != -127 || c[128] != -127 || c[129] != 127 {
		t.Errorf("scales %v, codes %d %d %d", d, c[64], c[128], c[129])
	}
	// Halves go to the even neighbour.
	row = make([]float32, 32)
	row[0], row[1], row[2], row[3] = 127, 0.5, 1.5, -2.5
	roundRow(row, codedRow{c: c[:32], d: d[:1]}, 8, false)
	if diff := cmp.Diff([]int8{127, 0, 2, -2, 0}, c[:5]); diff != "" {
		t.Errorf("rounded (-want +got):\n%s", diff)
	}
}

// TestPack states the order of MatMulNBits: the first value of a pair is the low nibble, zero is 8 or 128.
func TestPack(t *testing.T) {
	c := []int8{-8, 7, 0, -1, 1, 2, -7, 6}
	got := make([]byte, 4)
	pack4(got, c)
	if diff := cmp.Diff([]byte{0xf0, 0x78, 0xa9, 0xe1}, got); diff != "" {
		t.Errorf("nibbles (-want +got):\n%s", diff)
	}
	got = make([]byte, 4)
	pack8(got, []int8{-128, -1, 0, 127})
	if diff := cmp.Diff([]byte{0, 127, 128, 255}, got); diff != "" {
		t.Errorf("bytes (-want +got):\n%s", diff)
	}
}
