package models

import (
	"fmt"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/inference/runner"
)

// kvMemory is the memory of one replica for keys and values.
type kvMemory struct {
	total  int // of the slots and of the prefix cache
	prefix int // of which for the prefix cache, at most
	chosen bool

	prefixTokens int // that the prefix cache holds, at most; 0: as many as there is memory for
}

// prefixTokens is how many positions the prefix cache holds by default: a long system prompt, some examples and the
// prompts of a few dozen requests. What it holds is beside what runs, so that more is for those who know their prompts.
const prefixTokens = 2048

// kvMemory divides the memory for keys and values: by default half of what the process may use, shared by so many
// replicas. The prefix cache gets at most half of it, so that it is never in the way of requests that run.
func (f *Flags) kvMemory(limit, replicas int) kvMemory {
	m := kvMemory{total: int(f.KVCacheBytes), chosen: f.KVCacheBytes > 0}
	if !m.chosen {
		m.total = limit / 2 / max(1, replicas)
	}
	m.prefix, m.prefixTokens = m.total/2, prefixTokens
	if f.PrefixCacheBytes != nil {
		m.prefix, m.prefixTokens = min(int(*f.PrefixCacheBytes), m.total/2), 0
	}
	return m
}

// tokens is how many positions the slots of a session may hold together: what the memory has room for beside the prefix
// cache, but at least one whole slot.
func (m kvMemory) tokens(l runner.Limits) (int, error) {
	n := (m.total - l.Blocks*l.BlockBytes) / l.PositionBytes
	if n < l.MaxLength && m.chosen {
		return 0, usage.Errorf("--kv-cache-bytes %s has room for %d tokens beside the prefix cache, fewer than one context of %d, which takes %s: raise it, or lower --max-context or --prefix-cache-bytes",
			byteSize(m.total), n, l.MaxLength, roundedUp(l.MaxLength*l.PositionBytes))
	}
	return max(n, l.MaxLength), nil
}

// roundedUp writes a size in whole mebibytes.
func roundedUp(n int) string { return fmt.Sprintf("%dMiB", (n+1<<20-1)>>20) }
