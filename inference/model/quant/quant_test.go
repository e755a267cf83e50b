package quant_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model/quant"
)

// TestDequantizeGoldens holds every type to gguf-py's values, bit for bit. testdata/make_goldens.py made them.
func TestDequantizeGoldens(t *testing.T) {
	t.Parallel()
	for _, typ := range quant.Types() {
		t.Run(typ.String(), func(t *testing.T) {
			t.Parallel()
			blocks := readFile(t, typ.String()+".blocks")
			golden := readFile(t, typ.String()+".f32")
			got := make([]float32, len(golden)/4)
			if err := quant.Dequantize(got, typ, blocks); err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				want := math.Float32frombits(binary.LittleEndian.Uint32(golden[4*i:]))
				if math.Float32bits(v) != math.Float32bits(want) && (v == v || want == want) { // NaNs of any sort are equal
					t.Fatalf("value %d is %v, want %v", i, v, want)
				}
			}
		})
	}
}

// TestFloat16 compares every half with its definition.
func TestFloat16(t *testing.T) {
	t.Parallel()
	for h := range 1 << 16 {
		sign, exponent, fraction := 1.0, h>>10&0x1f, float64(h&0x3ff)/1024
		if h&0x8000 != 0 {
			sign = -1
		}
		var want float64
		switch {
		case exponent == 0x1f && fraction != 0:
			if got := quant.Float16(uint16(h)); got == got {
				t.Fatalf("Float16(%#04x) = %v, want a NaN", h, got)
			}
			continue
		case exponent == 0x1f:
			want = math.Inf(int(sign))
		case exponent == 0:
			want = math.Copysign(math.Ldexp(fraction, -14), sign)
		default:
			want = sign * math.Ldexp(1+fraction, exponent-15)
		}
		if got := quant.Float16(uint16(h)); math.Float32bits(got) != math.Float32bits(float32(want)) {
			t.Fatalf("Float16(%#04x) = %v, want %v", h, got, want)
		}
	}
}

func TestDequantizeRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		typ    quant.Type
		values int
		bytes  int
		want   string
	}{
		{"no type", 0, 32, 18, "no such type of weights: Type(0)"},
		{"unknown type", 200, 32, 18, "no such type of weights: Type(200)"},
		{"half a block of values", quant.Q4_0, 16, 9, "16 values are not a whole number of Q4_0 blocks of 32"},
		{"too few bytes", quant.Q4_0, 64, 35, "35 bytes of Q4_0 for 64 values, want 2 blocks of 18 bytes"},
		{"too many bytes", quant.F32, 1, 8, "8 bytes of F32 for 1 values, want 1 blocks of 4 bytes"},
		{"no bytes", quant.Q6_K, 256, 0, "0 bytes of Q6_K for 256 values"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := quant.Dequantize(make([]float32, test.values), test.typ, make([]byte, test.bytes))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		typ   quant.Type
		shape []int
		want  int    // if err is empty
		err   string // part of the error
	}{
		{quant.F32, []int{3}, 12, ""},
		{quant.Q4_1, []int{2, 3, 64}, 2 * 3 * 2 * 20, ""},
		{quant.Q6_K, []int{5, 256}, 5 * 210, ""},
		{quant.Q4_0, []int{64, 31}, 0, "a row of 31 values is not a whole number of Q4_0 blocks of 32"},
		{quant.F16, nil, 0, "a shape without dimensions"},
		{quant.F16, []int{0, 4}, 0, "a dimension below 1"},
		{quant.F16, []int{4, -1}, 0, "a dimension below 1"},
		{quant.F16, []int{math.MaxInt, 2}, 0, "is too large"},
		{quant.F16, []int{math.MaxInt}, 0, "is too large"},
		{0, []int{1}, 0, "no such type of weights"},
	} {
		got, err := test.typ.Bytes(test.shape)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v.Bytes(%v): got error %v, want %q", test.typ, test.shape, err, test.err)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%v.Bytes(%v) = %d, %v, want %d", test.typ, test.shape, got, err, test.want)
		}
	}
}

func BenchmarkDequantize(b *testing.B) {
	for _, typ := range quant.Types() {
		b.Run(typ.String(), func(b *testing.B) {
			const values = 1 << 16
			data := make([]byte, values/typ.BlockSize()*typ.BlockBytes())
			random := rand.New(rand.NewPCG(1, 2))
			for i := range data {
				data[i] = byte(random.Uint32()) & 0x3b // no infinite halves
			}
			dst := make([]float32, values)
			b.SetBytes(4 * values)
			for b.Loop() {
				if err := quant.Dequantize(dst, typ, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestToFloat16: every half is what it rounds to, and between two neighbours the nearer one, or the even one.
func TestToFloat16(t *testing.T) {
	t.Parallel()
	for h := range uint16(0x7c00) {
		v, next := quant.Float16(h), quant.Float16(h+1)
		if got := quant.ToFloat16(v); got != h {
			t.Fatalf("ToFloat16(%v) = %#04x, want %#04x", v, got, h)
		}
		if got := quant.ToFloat16(-v); got != h|0x8000 {
			t.Fatalf("ToFloat16(%v) = %#04x, want %#04x", -v, got, h|0x8000)
		}
		if h == 0x7bff {
			next = 65536
		}
		middle := v + (next-v)/2
		if got, want := quant.ToFloat16(middle), h+h&1; got != want {
			t.Fatalf("ToFloat16(%v) = %#04x, want the even %#04x", middle, got, want)
		}
		if got := quant.ToFloat16(math.Nextafter32(middle, 0)); got != h {
			t.Fatalf("below %v: %#04x, want %#04x", middle, got, h)
		}
		if got := quant.ToFloat16(math.Nextafter32(middle, next)); got != h+1 {
			t.Fatalf("above %v: %#04x, want %#04x", middle, got, h+1)
		}
	}
	for _, v := range []float32{65520, 1e30, float32(math.Inf(1))} {
		if got := quant.ToFloat16(v); got != 0x7c00 {
			t.Errorf("ToFloat16(%v) = %#04x, want infinity", v, got)
		}
	}
	if v := quant.Float16(quant.ToFloat16(float32(math.NaN()))); v == v {
		t.Errorf("a NaN becomes %v", v)
	}
}
