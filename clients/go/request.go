package sluice

import sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"

// Prompt makes a request that continues a text. The caller sets what else it wants in the returned message:
//
//	req := sluice.Prompt("The capital of France is")
//	req.Sampling = &sluicev1.Sampling{MaxTokens: new(uint32(16)), Temperature: new(float32(0))}
func Prompt(text string) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: text}}
}

// Tokens makes a request that continues token ids, which are taken as they are.
func Tokens(ids ...uint32) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}}}
}

// Chat makes a request that continues a conversation, oldest message first, through the model's own chat template.
func Chat(messages ...*sluicev1.Message) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{Messages: messages}}}
}

// Texts makes a request for the vectors of texts. The caller sets what else it wants in the returned message.
func Texts(texts ...string) *sluicev1.EmbedRequest {
	req := &sluicev1.EmbedRequest{Inputs: make([]*sluicev1.EmbedInput, len(texts))}
	for i, text := range texts {
		req.Inputs[i] = &sluicev1.EmbedInput{Input: &sluicev1.EmbedInput_Text{Text: text}}
	}
	return req
}

// System is a message that tells the model how to behave.
func System(content string) *sluicev1.Message {
	return &sluicev1.Message{Role: "system", Content: content}
}

// User is a message of the one who asks.
func User(content string) *sluicev1.Message {
	return &sluicev1.Message{Role: "user", Content: content}
}

// Assistant is a message that the model gave earlier.
func Assistant(content string) *sluicev1.Message {
	return &sluicev1.Message{Role: "assistant", Content: content}
}
