package sluice_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	got := sluice.Chat(sluice.System("Be brief."), sluice.User("Hi"), sluice.Assistant("Hello!"))
	want := []*sluicev1.Message{
		{Role: "system", Content: "Be brief."},
		{Role: "user", Content: "Hi"},
		{Role: "assistant", Content: "Hello!"},
	}
	if diff := cmp.Diff(want, got.GetChat().GetMessages(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint32{1, 2}, sluice.Tokens(1, 2).GetTokens().GetIds()); diff != "" {
		t.Error(diff)
	}
	if got := sluice.Prompt("Hi").GetPrompt(); got != "Hi" {
		t.Errorf("prompt %q", got)
	}
}
