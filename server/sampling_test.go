package server_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

// Each way of keeping tokens out reaches the tokens, through the whole server.
func TestExclusions(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	client := generator(i)
	plain := func() *sluicev1.GenerateRequest {
		in := greedy("hi", 40)
		in.Sampling.IgnoreEos = new(true)
		in.Output = &sluicev1.OutputOptions{TokenIds: true}
		return in
	}
	free := mustStream(t, client, plain()).ids
	text := string(rune(free[1]))
	for _, test := range []struct {
		name   string
		change func(*sluicev1.Sampling)
		holds  func(ids []uint32) bool
	}{
		{
			"allowed_token_ids",
			func(s *sluicev1.Sampling) { s.AllowedTokenIds = []uint32{'c', 'a', 'b'} },
			func(ids []uint32) bool { return strings.Trim(letters(ids), "abc") == "" },
		},
		{
			"logit_bias of one token",
			func(s *sluicev1.Sampling) { s.LogitBias = map[uint32]float32{'x': 100} },
			func(ids []uint32) bool { return letters(ids) == strings.Repeat("x", len(ids)) },
		},
		{
			"logit_bias against one token",
			func(s *sluicev1.Sampling) { s.LogitBias = map[uint32]float32{free[0]: -100} },
			func(ids []uint32) bool { return !slices.Contains(ids, free[0]) },
		},
		{
			"no_repeat_ngram_size",
			func(s *sluicev1.Sampling) {
				s.AllowedTokenIds, s.NoRepeatNgramSize = []uint32{'a', 'b', 'c', 'd', 'e', 'f', 'g'}, proto.Uint32(2)
			},
			func(ids []uint32) bool {
				seen := make(map[[2]uint32]bool)
				for k := range len(ids) - 1 {
					pair := [2]uint32(ids[k : k+2])
					if seen[pair] {
						return false
					}
					seen[pair] = true
				}
				return true
			},
		},
		{
			"bad_words of one token and of two",
			func(s *sluicev1.Sampling) {
				s.AllowedTokenIds, s.BadWords = []uint32{'a', 'b', 'c', 'd'}, []string{"ab", "ba", "d", "cc"}
			},
			func(ids []uint32) bool {
				text := letters(ids)
				return !strings.Contains(text, "ab") && !strings.Contains(text, "ba") && !strings.Contains(text, "d") &&
					!strings.Contains(text, "cc")
			},
		},
		{
			"bad word that the free output has",
			func(s *sluicev1.Sampling) { s.BadWords = []string{text} },
			func(ids []uint32) bool { return text == "" || free[1] > 127 || !slices.Contains(ids, free[1]) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			test.change(in.GetSampling())
			ids := mustStream(t, client, in).ids
			if len(ids) != 40 || !test.holds(ids) {
				t.Errorf("tokens %v", ids)
			}
		})
	}
}

func letters(ids []uint32) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteByte(byte(id))
	}
	return b.String()
}

// min_tokens keeps the end token out, not only its effect.
func TestMinTokens(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	in := greedy("hi", 10)
	in.Sampling.AllowedTokenIds = []uint32{servertest.TurnEnd, 'a'}
	in.Sampling.LogitBias = map[uint32]float32{servertest.TurnEnd: 100}
	in.Sampling.MinTokens = proto.Uint32(4)
	in.Output = &sluicev1.OutputOptions{TokenIds: true}
	got := mustStream(t, generator(i), in)
	if want := []uint32{'a', 'a', 'a', 'a', servertest.TurnEnd}; !slices.Equal(got.ids, want) {
		t.Errorf("tokens %v, want %v", got.ids, want)
	}
}

// A request that forbids every token is told so, and holds nothing afterwards.
func TestNothingAllowed(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	in := greedy("hi", 10)
	in.Sampling.AllowedTokenIds = []uint32{servertest.TurnEnd}
	in.Sampling.MinTokens = proto.Uint32(4)
	_, err := generator(i).Generate(t.Context(), in)
	if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != "sampling" {
		t.Errorf("violations of %q", got)
	}
	idle(t, i)
}
