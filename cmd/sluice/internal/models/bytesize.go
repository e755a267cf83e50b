package models

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a number of bytes, written with a unit: 512MiB or, as Kubernetes has it, 512Mi.
type byteSize int

// units are those that a byteSize may be written in, the largest first.
func units() []struct {
	name string
	size int
} {
	return []struct {
		name string
		size int
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *byteSize) UnmarshalText(text []byte) error {
	digits, size := string(text), 1
	for _, unit := range units() {
		if rest, ok := strings.CutSuffix(strings.TrimSuffix(digits, "B"), strings.TrimSuffix(unit.name, "B")); ok {
			digits, size = rest, unit.size
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt/uint64(size) {
		return fmt.Errorf("%q is not a number of bytes, such as 0, 512MiB or 4GiB", text)
	}
	*b = byteSize(n) * byteSize(size)
	return nil
}

func (b byteSize) String() string {
	for _, unit := range units() {
		if n := int(b); n > 0 && n%unit.size == 0 {
			return strconv.Itoa(n/unit.size) + unit.name
		}
	}
	return strconv.Itoa(int(b))
}
