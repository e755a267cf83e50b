package models

import (
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

func TestKVMemory(t *testing.T) {
	const mib = 1 << 20
	limits := func(prefix int) runner.Limits {
		return runner.Limits{MaxLength: 100, PositionBytes: mib / 10, Blocks: prefix / mib, BlockBytes: mib}
	}
	for _, c := range []struct {
		name            string
		kv, prefix      byteSize
		limit, replicas int
		total, cache    int
		tokens          int // -1: refused
	}{
		{"half of the memory", 0, 256 * mib, 4096 * mib, 1, 2048 * mib, 256 * mib, 17920},
		{"shared by replicas", 0, 256 * mib, 4096 * mib, 4, 512 * mib, 256 * mib, 2560},
		{"the cache gives way", 0, 256 * mib, 512 * mib, 1, 256 * mib, 128 * mib, 1280},
		{"chosen", 64 * mib, 8 * mib, 4096 * mib, 4, 64 * mib, 8 * mib, 560},
		{"no cache", 64 * mib, 0, 4096 * mib, 1, 64 * mib, 0, 640},
		{"a cache of 2048 tokens", 0, -1, 4096 * mib, 1, 2048 * mib, 1024 * mib, 10240},
		{"one context at least", 0, 0, 10 * mib, 1, 5 * mib, 0, 100},
		{"too little was chosen", 9 * mib, 0, 4096 * mib, 1, 9 * mib, 0, -1},
	} {
		options := Flags{KVCacheBytes: c.kv, PrefixCacheBytes: &c.prefix}
		if c.prefix < 0 {
			options.PrefixCacheBytes = nil
		}
		m := options.kvMemory(c.limit, c.replicas)
		if m.total != c.total || m.prefix != c.cache || (m.prefixTokens > 0) != (c.prefix < 0) {
			t.Errorf("%s: %+v, want %d with a cache of %d", c.name, m, c.total, c.cache)
		}
		tokens, err := m.tokens(limits(m.prefix))
		if (err != nil) != (c.tokens < 0) || err == nil && tokens < c.tokens || tokens > c.tokens+10 {
			t.Errorf("%s: %d tokens (%v), want %d", c.name, tokens, err, c.tokens)
		}
	}
}
