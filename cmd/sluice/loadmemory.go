package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/sluiceml/sluice/inference/model"
)

// What a model takes beside its weights until the first request, and how much its weights grow by being packed for the
// processor, both from above.
const (
	loadOverhead = 96 << 20
	packedGrowth = 3 // halves
)

// fits says whether a model's folder can be loaded into the memory that is left.
func fits(folder *model.Folder, available int) error {
	size, err := folder.WeightBytes()
	if err != nil {
		return err
	}
	if need := int(size)*packedGrowth/2 + loadOverhead; need > available {
		return fmt.Errorf("the model needs about %s of memory, and %s is left", roundedUp(need), roundedUp(available))
	}
	return nil
}

// availableMemory is how much more memory this process may take, from a file system with /proc and /sys: what the
// system has left, or its control group where that is less. Where neither says, it is math.MaxInt.
func availableMemory(root fs.FS) int {
	available := math.MaxInt
	if data, err := fs.ReadFile(root, "proc/meminfo"); err == nil {
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 2 || fields[0] != "MemAvailable:" {
				continue
			}
			if kib, err := strconv.Atoi(fields[1]); err == nil {
				available = kib << 10
			}
		}
	}
	limit := cgroupLimit(root)
	if limit == math.MaxInt {
		return available
	}
	data, err := fs.ReadFile(root, "proc/self/statm")
	if err != nil {
		return available
	}
	fields := strings.Fields(string(data))
	if len(fields) < 3 {
		return available
	}
	resident, err1 := strconv.Atoi(fields[1])
	shared, err2 := strconv.Atoi(fields[2]) // files, which the system takes back
	if err1 != nil || err2 != nil {
		return available
	}
	return min(available, max(0, limit-(resident-shared)*os.Getpagesize()))
}
