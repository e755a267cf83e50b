package bench

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func readEvents(r io.Reader) ([]string, error) {
	e := newEvents(r)
	var all []string
	for {
		data, err := e.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, string(data))
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stream string
		want         []string
	}{
		{"one", "data: a\n\n", []string{"a"}},
		{"no blank after the colon", "data:a\n\n", []string{"a"}},
		{"only the first blank goes", "data:  a\n\n", []string{" a"}},
		{"lines join", "data: a\ndata: b\n\n", []string{"a\nb"}},
		{"CR LF", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		{"CR", "data: a\r\rdata: b\r\r", []string{"a", "b"}},
		{"all line ends", "data: a\r\n\ndata: b\n\rdata: c\r\r\n", []string{"a", "b", "c"}},
		{"comments", ": ping\n\n: ping\ndata: a\n: pong\n\n", []string{"a"}},
		{"other fields", "event: x\nid: 3\nretry: 10\nx\ndata: a\n\n", []string{"a"}},
		{"an event without data", "event: x\n\ndata: a\n\n", []string{"a"}},
		{"empty data", "data\n\ndata:\n\n", []string{"", ""}},
		{"byte order mark", "\uFEFFdata: a\n\n\uFEFFdata: b\n\n", []string{"a"}},
		{"cut off", "data: a\n\ndata: b\n", []string{"a"}},
		{"cut off in a line", "data: a\n\ndata: b", []string{"a"}},
		{"nothing", "", nil},
		{"not UTF-8", "data: \xff\n\n", []string{"\xff"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for how, r := range map[string]io.Reader{
				"whole":        strings.NewReader(c.stream),
				"byte by byte": iotest.OneByteReader(strings.NewReader(c.stream)),
			} {
				got, err := readEvents(r)
				if err != nil {
					t.Errorf("%s: %v", how, err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s: %s", how, diff)
				}
			}
		})
	}
}

// endless repeats a text for ever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]endless{
		"a line without end": "x", "an event without end": "data: some data\n", "a comment without end": ":",
	} {
		if _, err := readEvents(stream); !errors.Is(err, errEventTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStreamIsBounded(t *testing.T) {
	t.Parallel()
	r := &limited{from: endless("x"), left: 1000}
	data, err := io.ReadAll(r)
	if err == nil || len(data) != 1000 {
		t.Errorf("read %d bytes, %v", len(data), err)
	}
}

func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		"data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\n", "\uFEFFdata: a\r\n\r\ndata\r\rid: 2\n: c\n\n", "data",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		whole, err := readEvents(strings.NewReader(stream))
		if err != nil {
			t.Fatal(err)
		}
		bytewise, err := readEvents(iotest.OneByteReader(strings.NewReader(stream)))
		if err != nil || !cmp.Equal(whole, bytewise) {
			t.Fatalf("%q read whole, %q byte by byte (%v)", whole, bytewise, err)
		}
		// What was read and is written again reads the same.
		var again strings.Builder
		for _, data := range whole {
			if strings.Contains(data, "\r") {
				t.Fatalf("a carriage return in %q", data)
			}
			for line := range strings.SplitSeq(data, "\n") {
				again.WriteString("data: " + line + "\n")
			}
			again.WriteString("\n")
		}
		rewritten, err := readEvents(strings.NewReader(again.String()))
		if err != nil || !cmp.Equal(whole, rewritten) {
			t.Fatalf("%q became %q (%v)", whole, rewritten, err)
		}
	})
}

func FuzzCompletion(f *testing.F) {
	for _, seed := range []string{
		"data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\n\n",
		"data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\n", "data: {\"error\":{\"message\":\"no\"}}\n\n", "data: [[[[\n\n",
		"data: {\"usage\":{\"completion_tokens\":-1}}\n\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		total := 0
		usage, err := readCompletion(strings.NewReader(stream), func(tokens int) {
			if tokens < 0 {
				t.Fatalf("%d tokens", tokens)
			}
			total += tokens
		})
		if err == nil && (usage.CompletionTokens < 0 || usage.CompletionTokens > maxTokens || usage.PromptTokens < 0) {
			t.Fatalf("%+v", usage)
		}
		if total > maxTokens*(len(stream)+1) {
			t.Fatalf("%d tokens of %d bytes", total, len(stream))
		}
	})
}
