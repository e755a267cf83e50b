package conversation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	client "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// Help lists the commands.
const Help = `/system TEXT    tell the model how to behave; without TEXT: nothing any more
/set NAME VALUE set max_tokens, temperature, top_k, top_p, min_p, repetition_penalty or seed; without VALUE: the default
/model NAME     go on with another model
/retry          have the last answer given anew
/undo           take back the last turn
/reset          forget the conversation
/show           print the conversation
/save FILE      write the conversation as JSON
/load FILE      go on with a conversation that /save wrote
/stats          tell or no longer tell how each answer went
/bye            leave, as does the end of input (Ctrl-D)
A line that ends with \ goes on in the next one. Ctrl-C stops an answer.`

// command runs a command. Leave says that the user wants to go.
func (c *conversation) command(ctx context.Context, line string) (leave bool, err error) {
	name, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
	argument = strings.TrimSpace(argument)
	var fault error
	switch name {
	case "/bye", "/exit", "/quit":
		return true, nil
	case "/help", "/?":
		c.notef("%s", Help)
	case "/system":
		c.System = argument
	case "/set":
		fault = c.set(argument)
	case "/model":
		c.Request.Model = argument
	case "/retry":
		return false, c.retry(ctx)
	case "/undo":
		c.undo()
	case "/reset", "/clear":
		c.messages = nil
	case "/show":
		for _, m := range c.messages {
			c.notef("%s: %s", m.GetRole(), printable(m.GetContent()))
		}
	case "/save":
		fault = c.save(argument)
	case "/load":
		fault = c.load(argument)
	case "/stats":
		c.Stats = !c.Stats
	default:
		c.notef("There is no command %s; /help lists them.", name)
	}
	if fault != nil {
		c.notef("%v", fault)
	}
	return false, nil
}

// retry has the last answer given anew.
func (c *conversation) retry(ctx context.Context) error {
	n := len(c.messages)
	if n > 0 && c.messages[n-1].GetRole() == "assistant" {
		n--
	}
	if n == 0 {
		c.notef("There is nothing to answer.")
		return nil
	}
	c.messages = c.messages[:n]
	return c.answer(ctx)
}

// undo takes back what the user said last and its answer.
func (c *conversation) undo() {
	for i, m := range slices.Backward(c.messages) {
		if m.GetRole() == "user" {
			c.messages = c.messages[:i]
			return
		}
	}
}

// set changes a parameter of sampling.
func (c *conversation) set(argument string) error {
	name, text, _ := strings.Cut(argument, " ")
	text = strings.TrimSpace(text)
	if c.Request.GetSampling() == nil {
		c.Request.Sampling = &sluicev1.Sampling{}
	}
	s := c.Request.GetSampling()
	counts := map[string]**uint32{"max_tokens": &s.MaxTokens, "top_k": &s.TopK}
	numbers := map[string]**float32{
		"temperature": &s.Temperature, "top_p": &s.TopP, "min_p": &s.MinP, "repetition_penalty": &s.RepetitionPenalty,
	}
	switch {
	case counts[name] != nil:
		return parse(text, counts[name], func(t string) (uint32, error) {
			v, err := strconv.ParseUint(t, 10, 32)
			return uint32(v), err
		})
	case numbers[name] != nil:
		return parse(text, numbers[name], func(t string) (float32, error) {
			v, err := strconv.ParseFloat(t, 32)
			return float32(v), err
		})
	case name == "seed":
		return parse(text, &s.Seed, func(t string) (uint64, error) { return strconv.ParseUint(t, 10, 64) })
	default:
		return errors.New("/set knows max_tokens, temperature, top_k, top_p, min_p, repetition_penalty and seed")
	}
}

func parse[T any](text string, to **T, read func(string) (T, error)) error {
	if text == "" {
		*to = nil
		return nil
	}
	value, err := read(text)
	if err != nil {
		return fmt.Errorf("%q is not a valid number for it", text)
	}
	*to = &value
	return nil
}

// saved is a message in a file, as OpenAI's API has it.
type saved struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// save writes the conversation, the system's message included, for nobody else to read.
func (c *conversation) save(path string) error {
	if path == "" {
		return errors.New("/save needs a file")
	}
	var all []saved
	if c.System != "" {
		all = append(all, saved{"system", c.System})
	}
	for _, m := range c.messages {
		all = append(all, saved{m.GetRole(), m.GetContent()})
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("/save: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("/save: %w", err)
	}
	return nil
}

// load goes on with the conversation in a file. A faulty one changes nothing.
func (c *conversation) load(path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("/load: %w", err)
	}
	var all []saved
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("/load: %s: not a list of messages: %w", path, err)
	}
	system := ""
	if len(all) > 0 && all[0].Role == "system" {
		system, all = all[0].Content, all[1:]
	}
	var messages []*sluicev1.Message
	for _, m := range all {
		switch m.Role {
		case "user":
			messages = append(messages, client.User(m.Content))
		case "assistant":
			messages = append(messages, client.Assistant(m.Content))
		default:
			return fmt.Errorf("/load: %s: a message has the role %q", path, m.Role)
		}
	}
	c.System, c.messages = system, messages
	return nil
}
