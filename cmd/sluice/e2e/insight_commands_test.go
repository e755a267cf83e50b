package e2e_test

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestInsightCommands: embed, score and explain print what the server says, for people and for programs.
func TestInsightCommands(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	sluice := func(stdin string, arguments ...string) string {
		t.Helper()
		command := exec.CommandContext(deadline(t), binary, append(arguments, "--addr", s.grpc)...)
		command.Stdin = strings.NewReader(stdin)
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
		return string(output)
	}
	lines := strings.Split(strings.TrimSpace(sluice("one\ntwo\nthree\n", "embed", "--dimensions", "5")), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		var vector []float32
		if err := json.Unmarshal([]byte(line), &vector); err != nil || len(vector) != 5 {
			t.Errorf("%s: %v", line, err)
		}
	}
	if two := strings.TrimSpace(sluice("", "embed", "--dimensions", "5", "two")); two != lines[1] {
		t.Errorf("%s as an argument, %s as a line", two, lines[1])
	}
	for _, c := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"embed", "--compare", "same", "same", "another"}, `(?s)^1\.0000  "same"\n0\.\d{4}  "another"\n$`},
		{[]string{"score", "The capital of France is", " Paris", " London"}, `(?s)GREEDY.*\n-0\.\d{4} +-0\.\d{4} +1 +yes +" Paris"\n-\d\.\d{4} +-\d\.\d{4} +1 +no +" London"\n$`},
		{[]string{"score", "--json", "The capital of France is", " Paris"}, `^\{.*"logLikelihood":-0\.`},
		{[]string{"score", "--chat", "Is 7 a prime?", "Yes.", "No."}, `(?s)"Yes\."\n.*"No\."\n$`},
		{[]string{"explain", "I like tea. The capital of France is", " Paris"}, `(?s)over 1 tokens\nEFFECT +SEGMENT\n[+-]\d+\.\d{4} +"I like tea\. "\n\+\d+\.\d{4} +"The capital of France is"\n$`},
		{[]string{"explain", "--json", "--unit", "word", "Two words", " more"}, `"end":4,`},
	} {
		if got := sluice("", c.arguments...); !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s: got\n%swant %s", strings.Join(c.arguments, " "), got, c.want)
		}
	}
}
