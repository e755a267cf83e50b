package inference

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluiceml/sluice/inference/semconv"
)

// ExplainRequest asks how much each segment of an input moves the probability of an answer.
type ExplainRequest struct {
	ID       string
	Tenant   string
	Priority int
	Input    Input // Prompt or Chat
	Answer   string
	Unit     Unit // such that there are at most MaxSegments segments
	Cache    Cache
	Arrival  time.Time
}

// Unit is what an input is cut into.
type Unit int

// The units.
const (
	UnitMessage  Unit = iota + 1 // the content of a message, or the whole prompt
	UnitLine                     // up to the end of a line
	UnitSentence                 // up to the end of a sentence or a line
	UnitWord                     // a word and the white space behind it
)

// MaxSegments bounds the segments of an input: each costs a run of the whole.
const MaxSegments = 256

// Segments is the number of segments that the input is cut into.
func (r *ExplainRequest) Segments() int { return len(cut(r.Input, r.Unit)) }

// Explanation is how likely an answer is, and why.
type Explanation struct {
	LogLikelihood float64
	AnswerTokens  int
	Segments      []Attribution // in the order of the input
}

// Attribution is what a segment does to the probability of the answer.
type Attribution struct {
	Message       int     // of which the segment is; 0 for a Prompt
	Start, End    int     // bytes of the content, or of the prompt
	LogLikelihood float64 // of the answer without the segment
}

// Explain computes how likely an answer is, and how likely it would be without each of the input's segments
// (leave-one-out). The answer's tokens stay the same. Errors are those of Score.
func (m *Model) Explain(ctx context.Context, request ExplainRequest) (Explanation, Summary, error) {
	shared := ScoreRequest{
		ID: request.ID, Tenant: request.Tenant, Priority: request.Priority, Input: request.Input,
		Cache: request.Cache, Arrival: request.Arrival,
	}
	var segments []Attribution
	scores, summary, err := accounted(ctx, m, semconv.OperationExplain, &shared, func(ctx context.Context) ([]Score, Summary, error) {
		segments = cut(request.Input, request.Unit)
		texts, err := m.variants(ctx, request.Input, segments, request.Answer)
		if err != nil {
			return nil, Summary{}, err
		}
		return m.likelihoods(ctx, &shared, texts)
	})
	if err != nil {
		return Explanation{}, summary, err
	}
	explanation := Explanation{LogLikelihood: scores[0].LogLikelihood, AnswerTokens: scores[0].Tokens, Segments: segments}
	for i := range segments {
		segments[i].LogLikelihood = scores[i+1].LogLikelihood
	}
	return explanation, summary, nil
}

// variants are the answer behind the input, and behind it without each of the segments.
func (m *Model) variants(ctx context.Context, input Input, segments []Attribution, answer string) ([]scored, error) {
	whole, err := m.scoreContext(ctx, input)
	if err != nil {
		return nil, err
	}
	first, err := whole.with(ctx, answer)
	if err != nil {
		return nil, err
	}
	texts, tokens := []scored{first}, first.ids[first.from:]
	for _, s := range segments {
		without, err := m.scoreContext(ctx, leaveOut(input, s))
		if err != nil {
			return nil, err
		}
		if len(without.ids) == 0 {
			return nil, Invalid("unit", "nothing is left of the input without one of its segments")
		}
		text, err := without.behind(tokens)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// cut cuts an input into segments.
func cut(input Input, unit Unit) []Attribution {
	var segments []Attribution
	add := func(message int, text string) {
		for start := 0; start < len(text); {
			end := start + segment(text[start:], unit)
			segments = append(segments, Attribution{Message: message, Start: start, End: end})
			start = end
		}
	}
	switch input := input.(type) {
	case Prompt:
		add(0, input.Text)
	case Chat:
		for i, message := range input.Messages {
			add(i, message.Content)
		}
	}
	return segments
}

// segment is the length of the first segment of a text that is not empty.
func segment(text string, unit Unit) int {
	switch unit {
	case UnitLine:
		if at := strings.IndexByte(text, '\n'); at >= 0 {
			return at + 1
		}
	case UnitSentence:
		return sentence(text)
	case UnitWord:
		begun := false
		for i, c := range text {
			if space := unicode.IsSpace(c); begun && !space && i > 0 && unicode.IsSpace(lastRune(text[:i])) {
				return i
			} else if !space {
				begun = true
			}
		}
	case UnitMessage:
	}
	return len(text)
}

func lastRune(s string) rune {
	c, _ := utf8.DecodeLastRuneInString(s)
	return c
}

// sentence is the length of the first sentence: up to a mark that ends one and the white space behind it, or to the end of
// a line. Marks of scripts that write no space need none.
func sentence(text string) int {
	ended := false
	for i, c := range text {
		switch {
		case ended && !unicode.IsSpace(c):
			return i
		case c == '\n', strings.ContainsRune("。！？", c):
			ended = true
		case unicode.IsSpace(c) && i > 0 && strings.ContainsRune(".!?…", lastRune(text[:i])):
			ended = true
		}
	}
	return len(text)
}

// leaveOut is an input without a segment.
func leaveOut(input Input, s Attribution) Input {
	switch input := input.(type) {
	case Prompt:
		input.Text = input.Text[:s.Start] + input.Text[s.End:]
		return input
	case Chat:
		input.Messages = slices.Clone(input.Messages)
		content := &input.Messages[s.Message].Content
		*content = (*content)[:s.Start] + (*content)[s.End:]
		return input
	}
	return input
}
