package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Task is a set of multiple-choice questions, scored as in lm-evaluation-harness: the answer is the choice whose tokens
// the model finds likeliest after the context.
type Task struct {
	Name  string     `json:"name"`
	Items []TaskItem `json:"items"`
}

// TaskItem is one question. What separates a choice from the context, such as a space, is a part of the choice.
type TaskItem struct {
	Context string   `json:"context"`
	Choices []string `json:"choices"`
	Answer  int      `json:"answer"` // index of the right choice
}

// TaskScore is how a model did.
type TaskScore struct {
	Name  string `json:"name"`
	Items int    `json:"items"`
	// Accuracy is the fraction of items whose likeliest choice is the right one, and AccuracyNorm that of items whose
	// likeliest choice by byte is: the sum of its tokens' logarithms divided by its length.
	Accuracy        float64 `json:"acc"`
	AccuracyNorm    float64 `json:"acc_norm"`
	AccuracyErr     float64 `json:"acc_stderr"`
	AccuracyNormErr float64 `json:"acc_norm_stderr"`
}

// ParseTasks reads one task, or a list of them, and says what is wrong with the first bad item.
func ParseTasks(data []byte) ([]Task, error) {
	var tasks []Task
	var err error
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '[' {
		err = strict(trimmed, &tasks)
	} else {
		tasks = make([]Task, 1)
		err = strict(trimmed, &tasks[0])
	}
	if err != nil {
		return nil, fmt.Errorf("tasks: %w", err)
	}
	for _, t := range tasks {
		if len(t.Items) == 0 {
			return nil, fmt.Errorf("task %q has no items", t.Name)
		}
		for i, item := range t.Items {
			switch {
			case len(item.Choices) < 2:
				return nil, fmt.Errorf("task %q, item %d: fewer than two choices", t.Name, i)
			case item.Answer < 0 || item.Answer >= len(item.Choices):
				return nil, fmt.Errorf("task %q, item %d: there is no choice %d", t.Name, i, item.Answer)
			}
			for j, c := range item.Choices {
				if strings.TrimSpace(c) == "" {
					return nil, fmt.Errorf("task %q, item %d: choice %d is empty", t.Name, i, j)
				}
			}
		}
	}
	return tasks, nil
}

func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is something after the end")
	}
	return nil
}

// scoreTask answers a task's questions.
func scoreTask(ctx context.Context, m *subject, t Task) (TaskScore, error) {
	s := TaskScore{Name: t.Name, Items: len(t.Items)}
	n := float64(len(t.Items))
	for i, item := range t.Items {
		likeliest, byLength := bestChoice{at: -1}, bestChoice{at: -1}
		for j, choice := range item.Choices {
			log, err := m.likelihood(ctx, item.Context, choice)
			if err != nil {
				return s, fmt.Errorf("task %q, item %d, choice %d: %w", t.Name, i, j, err)
			}
			likeliest.consider(j, log)
			byLength.consider(j, log/float64(len(choice)))
		}
		if likeliest.at == item.Answer {
			s.Accuracy += 1 / n
		}
		if byLength.at == item.Answer {
			s.AccuracyNorm += 1 / n
		}
	}
	deviation := func(p float64) float64 { return math.Sqrt(max(0, p*(1-p)) / max(1, n-1)) }
	s.AccuracyErr, s.AccuracyNormErr = deviation(s.Accuracy), deviation(s.AccuracyNorm)
	return s, nil
}

// bestChoice is the first of the best so far.
type bestChoice struct {
	at    int
	score float64
}

func (b *bestChoice) consider(at int, score float64) {
	if b.at < 0 || score > b.score {
		b.at, b.score = at, score
	}
}

// likelihood is the logarithm of the probability of a choice after a context. White space at the end of the context goes to
// the choice, and both are encoded together, since a token may begin in the one and end in the other.
func (m *subject) likelihood(ctx context.Context, context, choice string) (float64, error) {
	bare := strings.TrimRight(context, " \t\r\n")
	choice = context[len(bare):] + choice
	before, err := m.encode(bare, true)
	if err != nil {
		return 0, err
	}
	all, err := m.encode(bare+choice, true)
	if err != nil {
		return 0, err
	}
	first := min(len(before), len(all)-1)
	if first < 1 {
		return 0, errors.New("a choice needs a context, or a tokenizer that adds a token before it")
	}
	if over := len(all) - m.session.Limits().MaxLength; over > 0 { // the end of a long context
		if over >= first {
			return 0, fmt.Errorf("a choice of %d tokens is too long", len(all)-first)
		}
		all, first = all[over:], first-over
	}
	var sum float64
	err = m.run(ctx, all[:len(all)-1], first-1, func(i int, logits []float32) error {
		sum += predicted(logits).log(all[i+1])
		return nil
	})
	return sum, err
}
