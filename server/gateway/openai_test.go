package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

type completion struct {
	ID, Object, Model string
	Created           int64
	Choices           []struct {
		Index    int
		Text     string
		Logprobs *struct {
			Tokens        []string
			TokenLogprobs []*float32           `json:"token_logprobs"`
			TopLogprobs   []map[string]float32 `json:"top_logprobs"`
			TextOffset    []int                `json:"text_offset"`
		}
		FinishReason *string `json:"finish_reason"`
	}
	Usage *usage
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

type chatAnswer struct {
	ID, Object, Model string
	Choices           []struct {
		Index          int
		Message, Delta chatMessage
		Logprobs       *struct {
			Content []struct {
				Token   string
				Logprob float32
				Bytes   []int
				Top     []struct{ Token string } `json:"top_logprobs"`
			}
		}
		FinishReason *string `json:"finish_reason"`
	}
	Usage *usage
}

type chatMessage struct {
	Role, Content string
	Reasoning     string `json:"reasoning_content"`
	ToolCalls     []struct {
		Index    int
		ID, Type string
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	one, two := d.greedyText(t, "one", 16), d.greedyText(t, "two", 16)
	const body = `{"model":"toy","prompt":["one","two"],"temperature":0%s}`

	got := answered[completion](t, d, "/v1/completions", fmt.Sprintf(body, ""))
	if got.Object != "text_completion" || got.Model != "toy" || got.Created != 1700000000 || !strings.HasPrefix(got.ID, "req-") {
		t.Errorf("%+v", got)
	}
	if len(got.Choices) != 2 || got.Choices[0].Text != one || got.Choices[1].Text != two || got.Choices[1].Index != 1 {
		t.Errorf("%+v, want %q and %q", got.Choices, one, two)
	}
	if want := (usage{Prompt: 8, Completion: 32, Total: 40}); *got.Usage != want { // 16 tokens unless asked otherwise
		t.Errorf("%+v, want %+v", *got.Usage, want)
	}

	texts, ends := map[int]string{}, 0
	var used *usage
	for _, chunk := range chunks[completion](t, d, "/v1/completions", fmt.Sprintf(body, `,"stream":true,"stream_options":{"include_usage":true}`)) {
		if used = chunk.Usage; used != nil {
			continue
		}
		choice := chunk.Choices[0]
		texts[choice.Index] += choice.Text
		if choice.FinishReason != nil {
			ends++
		}
	}
	if diff := cmp.Diff(map[int]string{0: one, 1: two}, texts); diff != "" || ends != 2 {
		t.Errorf("%d ends, streamed (-want +got):\n%s", ends, diff)
	}
	if used == nil || *used != *got.Usage {
		t.Errorf("streamed usage %+v", used)
	}
}

// The ids of a prompt's tokens are a prompt, alone or several.
func TestCompletionsOfTokens(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	got := answered[completion](t, d, "/v1/completions", `{"prompt":[256,111,110,101],"temperature":0}`)
	both := answered[completion](t, d, "/v1/completions", `{"prompt":[[256,111],[256,111,110,101]],"temperature":0}`)
	if want := d.greedyText(t, "one", 16); got.Choices[0].Text != want || both.Choices[1].Text != want {
		t.Errorf("%+v and %+v, want %q", got.Choices, both.Choices, want)
	}
}

func TestCompletionLogprobs(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	const body = `{"prompt":"one","temperature":0,"logprobs":2,"echo":true,"max_tokens":4%s}`
	whole := answered[completion](t, d, "/v1/completions", fmt.Sprintf(body, ""))
	got := whole.Choices[0].Logprobs
	if len(got.Tokens) != 8 || len(got.TopLogprobs[5]) != 2 || got.TokenLogprobs[0] != nil || got.TokenLogprobs[1] == nil {
		t.Fatalf("%+v", got)
	}
	if offset := len([]rune("<|endoftext|>")); got.TextOffset[1] != offset || got.TextOffset[2] != offset+1 {
		t.Errorf("offsets %v", got.TextOffset)
	}
	streamed := *got
	streamed.Tokens, streamed.TokenLogprobs, streamed.TopLogprobs, streamed.TextOffset = nil, nil, nil, nil
	for _, chunk := range chunks[completion](t, d, "/v1/completions", fmt.Sprintf(body, `,"stream":true`)) {
		if l := chunk.Choices[0].Logprobs; l != nil {
			streamed.Tokens = append(streamed.Tokens, l.Tokens...)
			streamed.TokenLogprobs = append(streamed.TokenLogprobs, l.TokenLogprobs...)
			streamed.TopLogprobs = append(streamed.TopLogprobs, l.TopLogprobs...)
			streamed.TextOffset = append(streamed.TextOffset, l.TextOffset...)
		}
	}
	if diff := cmp.Diff(*got, streamed); diff != "" {
		t.Errorf("(-whole +streamed):\n%s", diff)
	}
}

func TestChatCompletions(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	native, err := d.native.Generate(t.Context(), &sluicev1.GenerateRequest{
		Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{Messages: []*sluicev1.Message{
			{Role: "system", Content: "be brief"}, {Role: "user", Content: "hello"},
		}}},
		Sampling: &sluicev1.Sampling{Seed: new(uint64(7)), N: new(uint32(2))},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{0: native.GetOutputs()[0].GetText(), 1: native.GetOutputs()[1].GetText()}
	const body = `{"model":"toy","messages":[{"role":"system","content":"be brief"},
		{"role":"user","content":[{"type":"text","text":"hel"},{"type":"text","text":"lo"}]}],
		"seed":7,"n":2,"logprobs":true,"top_logprobs":3,"user":"someone"%s}`

	got := answered[chatAnswer](t, d, "/v1/chat/completions", fmt.Sprintf(body, ""))
	texts := map[int]string{}
	for _, choice := range got.Choices {
		texts[choice.Index] = choice.Message.Content
		if choice.Message.Role != "assistant" || *choice.FinishReason != "length" {
			t.Errorf("%+v", choice)
		}
		if l := choice.Logprobs.Content; len(l) != 16 || len(l[0].Top) != 3 || len(l[0].Bytes) == 0 {
			t.Errorf("log-probabilities %+v", l)
		}
	}
	if diff := cmp.Diff(want, texts); diff != "" || got.Object != "chat.completion" {
		t.Errorf("%s (-want +got):\n%s", got.Object, diff)
	}

	texts, roles := map[int]string{}, 0
	for _, chunk := range chunks[chatAnswer](t, d, "/v1/chat/completions", fmt.Sprintf(body, `,"stream":true`)) {
		texts[chunk.Choices[0].Index] += chunk.Choices[0].Delta.Content
		if chunk.Choices[0].Delta.Role == "assistant" {
			roles++
		}
		if chunk.Object != "chat.completion.chunk" {
			t.Errorf("%+v", chunk)
		}
	}
	if diff := cmp.Diff(want, texts); diff != "" || roles != 2 {
		t.Errorf("%d roles, streamed (-want +got):\n%s", roles, diff)
	}
}

// Reasoning and calls of tools come apart from the text, whole and streamed, and a call that is none comes as text.
func TestToolCalls(t *testing.T) {
	t.Parallel()
	const body = `{"messages":[{"role":"user","content":"Weather?"}],"max_tokens":%d,"temperature":0%s,
		"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"}}}]}`
	const said = "<think>\nHm.\n</think>\n\nI look. <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"in\": \"Zürich\"}}\n</tool_call>"
	d := open(t, servertest.Toy{
		Template: "{% if tools %}{{ tools | tojson }}{% endif %}" + servertest.Template,
		Calls:    answer.Hermes, Reasoning: answer.Reasonings()[0],
		Session: inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: 4, MaxLength: 2048, MaxChunk: 64}, Script: servertest.Says("assistant\n", said),
		},
	}, "")
	for _, c := range []struct {
		tokens          int
		finish, content string
		calls           int
	}{
		{500, "tool_calls", "I look.", 1},
		{len(said) - 20, "length", "I look. <tool_call>\n{\"name\": \"get_weather\"", 0}, // cut
	} {
		got := chatted(t, d, fmt.Sprintf(body, c.tokens, "")).Choices[0]
		var streamed chatMessage
		var finish string
		for _, chunk := range chunks[chatAnswer](t, d, "/v1/chat/completions", fmt.Sprintf(body, c.tokens, `,"stream":true`)) {
			choice := chunk.Choices[0]
			streamed.Role += choice.Delta.Role
			streamed.Content += choice.Delta.Content
			streamed.Reasoning += choice.Delta.Reasoning
			streamed.ToolCalls = append(streamed.ToolCalls, choice.Delta.ToolCalls...)
			if choice.FinishReason != nil {
				finish = *choice.FinishReason
			}
		}
		for form, m := range map[string]chatMessage{"whole": got.Message, "streamed": streamed} {
			if m.Reasoning != "Hm." || !strings.HasPrefix(m.Content, c.content) || len(m.ToolCalls) != c.calls || m.Role != "assistant" {
				t.Errorf("%s, %d tokens: %+v", form, c.tokens, m)
			}
			if c.calls > 0 && (m.ToolCalls[0].Type != "function" || m.ToolCalls[0].Function.Name != "get_weather" ||
				m.ToolCalls[0].Function.Arguments != `{"in": "Zürich"}` || m.ToolCalls[0].ID == "") {
				t.Errorf("%s: %+v", form, m.ToolCalls)
			}
		}
		if *got.FinishReason != c.finish || finish != c.finish || streamed.Content != got.Message.Content {
			t.Errorf("%s and %s, %q and %q", *got.FinishReason, finish, got.Message.Content, streamed.Content)
		}
	}
}

func chatted(t *testing.T, d *door, body string) chatAnswer {
	t.Helper()
	return answered[chatAnswer](t, d, "/v1/chat/completions", body)
}

func TestModels(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	res, text := d.do(t, http.MethodGet, "/v1/models", "")
	const entry = `{"id":"%s","object":"model","created":1700000000,"owned_by":"sluice","max_model_len":256}`
	want := `{"data":[` + fmt.Sprintf(entry, "toy") + `,` + fmt.Sprintf(entry, "default") + `],"object":"list"}`
	if got := strings.TrimSpace(text); got != want {
		t.Errorf("%s: %s, want %s", res.Status, got, want)
	}
	if res, text = d.do(t, http.MethodGet, "/v1/models/", ""); strings.TrimSpace(text) != want { // and no model without a name
		t.Errorf("with a slash: %s: %s", res.Status, text)
	}
	if _, text = d.do(t, http.MethodGet, "/v1/models/toy", ""); strings.TrimSpace(text) != fmt.Sprintf(entry, "toy") {
		t.Errorf("one model: %s", text)
	}
	if res, _ = d.do(t, http.MethodGet, "/v1/models/other", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("another model: %s", res.Status)
	}
}

// What is wrong comes in OpenAI's form, with its field by the name that it has there.
func TestErrors(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	const hello = `"messages":[{"role":"user","content":"hello"}]`
	for _, c := range []struct {
		path, body string
		status     int
		param      string
		message    string
	}{
		{"/v1/completions", `{"prompt":"x","temperature":3}`, 400, "temperature", "temperature must be between 0 and 2"},
		{"/v1/completions", `{"prompt":"x","stop":["a",""]}`, 400, "stop[1]", "stop[1] must not be empty"},
		{"/v1/completions", `{"prompt":"x","stop":3}`, 400, "stop", "stop must be a string or an array of strings"},
		{"/v1/completions", `{"prompt":"x","max_tokens":"many"}`, 400, "max_tokens", "max_tokens must be a whole number of at least 0, not string"},
		{"/v1/completions", `{"prompt":"x","max_tokens":0}`, 400, "max_tokens", "max_tokens must be at least 1"},
		{"/v1/completions", `{"prompt":"x","logit_bias":{"a":1}}`, 400, "logit_bias", "logit_bias must have token ids as its keys"},
		{"/v1/completions", `{"prompt":"x","best_of":4}`, 400, "best_of", "best_of is not supported, but as the value of n"},
		{"/v1/completions", `{"prompt":"x","surprise":4}`, 400, "surprise", "surprise is not supported"},
		{"/v1/completions", `{"prompt":[256,100000]}`, 400, "prompt[1]", "prompt[1] must be below the vocabulary size of 259"},
		{"/v1/completions", `{"prompt":"x","logprobs":21}`, 400, "logprobs", "logprobs must be at most 20"},
		{"/v1/completions", `{"prompt":[]}`, 400, "prompt", "prompt must not be empty"},
		{"/v1/completions", `{"prompt":"x"`, 400, "", "the request is not valid JSON: unexpected EOF"},
		{"/v1/completions", `{"prompt":"x"} {}`, 400, "", "the request is not valid JSON: there is more after the JSON value"},
		{"/v1/completions", `{"prompt":"x","model":"other"}`, 404, "model", `model "other" is not served here`},
		{"/v1/chat/completions", `{"messages":[]}`, 400, "messages", "messages must not be empty"},
		{"/v1/chat/completions", `{"messages":[{"content":"x"}]}`, 400, "messages[0].role", "messages[0].role must not be empty"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "messages", "messages must have contents of the type text only"},
		{"/v1/chat/completions", `{` + hello + `,"top_logprobs":2}`, 400, "top_logprobs", "top_logprobs needs logprobs: true"},
		{"/v1/chat/completions", `{` + hello + `,"stream_options":{}}`, 400, "stream_options", "stream_options is only for stream: true"},
		{"/v1/chat/completions", `{` + hello + `,"response_format":{"type":"xml"}}`, 400, "response_format.type", "response_format.type must be text, json_object or json_schema"},
		{"/v1/chat/completions", `{` + hello + `,"max_tokens":1,"max_completion_tokens":2}`, 400, "max_tokens", "max_tokens and max_completion_tokens are the same, and differ"},
	} {
		for _, stream := range []string{"", `"stream":true,`} {
			if stream != "" && c.param == "stream_options" {
				continue
			}
			res, text := d.post(t, c.path, strings.Replace(c.body, "{", "{"+stream, 1))
			want := fmt.Sprintf(`"param":%q`, c.param)
			if c.param == "" {
				want = `"param":null`
			}
			message := strings.ReplaceAll(c.message, `"`, `\"`)
			if res.StatusCode != c.status || !strings.Contains(text, want) || !strings.Contains(text, `"message":"`+message+`"`) {
				t.Errorf("%s: %s: %s", c.body, res.Status, text)
			}
		}
	}
	for _, c := range []struct {
		method, path, kind, body string
		status                   int
	}{
		{http.MethodPost, "/v1/completions", "text/plain", `{"prompt":"x"}`, 415},
		{http.MethodPost, "/v1/completions", "application/json", `{"prompt":"` + strings.Repeat("x", 17<<20) + `"}`, 413},
		{http.MethodGet, "/v1/completions", "", "", 405},
		{http.MethodGet, "/v1/engines", "", "", 404},
		{http.MethodGet, "/generate_text", "", "", 405},
	} {
		res, text := d.do(t, c.method, c.path, c.body, "Content-Type", c.kind)
		if res.StatusCode != c.status || !strings.HasPrefix(text, `{"error":{"message":`) {
			t.Errorf("%s %s: %s: %s", c.method, c.path, res.Status, text)
		}
	}
}

// The article's route, with its defaults: the likeliest tokens, up to 100 with the prompt's, and the prompt in the answer.
func TestGenerateText(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	prompt := "once upon a time"
	want := prompt + d.greedyText(t, prompt, uint32(100-1-len(prompt)))
	if got := answered[map[string]string](t, d, "/generate_text", `{"prompt":"`+prompt+`"}`); got["generated_text"] != want {
		t.Errorf("%q, want %q", got, want)
	}
	got := answered[map[string]string](t, d, "/generate_text", `{"prompt":"`+prompt+`","max_length":20}`)
	if want := prompt + d.greedyText(t, prompt, 3); got["generated_text"] != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, body := range []string{
		`{}`, `{"prompt":3}`, `{"prompt":"x","max_length":0}`, `{"prompt":"` + strings.Repeat("x", 100) + `"}`, `{"prompt":"x","more":1}`,
	} {
		if res, text := d.post(t, "/generate_text", body); res.StatusCode != http.StatusBadRequest || !strings.HasPrefix(text, `{"error":"`) {
			t.Errorf("%s: %s: %s", body, res.Status, text)
		}
	}
}
