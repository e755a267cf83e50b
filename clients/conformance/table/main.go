// Command table writes the table of clients and cases into clients/conformance/README.md, from the results that the
// runners have left in a folder: one file of JSON for each client, {"client": "Go", "passed": ["greedy", …]}. It fails if
// a client has not passed a case.
//
//	go run ./clients/conformance/table bin/conformance
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Where the table stands in the README.
const (
	begin = "<!-- table -->\n"
	end   = "<!-- end of table -->\n"
)

type testCase struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

type result struct {
	Client string   `json:"client"`
	Passed []string `json:"passed"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], filepath.Join("clients", "conformance")); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(results, suite string) error {
	var cases []testCase
	if err := read(filepath.Join(suite, "cases.json"), &cases); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(results, "*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s holds no results", results)
	}
	clients := make([]result, len(files))
	for i, file := range files {
		if err := read(file, &clients[i]); err != nil {
			return err
		}
	}
	slices.SortFunc(clients, func(a, b result) int { return strings.Compare(a.Client, b.Client) })
	table, failed := render(cases, clients)
	readme := filepath.Join(suite, "README.md")
	if err := replace(readme, table); err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	if failed > 0 {
		return fmt.Errorf("%d cases failed", failed)
	}
	return nil
}

// render draws the table and counts what did not pass.
func render(cases []testCase, clients []result) (table string, failed int) {
	var b strings.Builder
	b.WriteString("| case | shows |")
	for _, c := range clients {
		b.WriteString(" " + c.Client + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(clients)) + "\n")
	for _, k := range cases {
		b.WriteString("| `" + k.Name + "` | " + k.About + " |")
		for _, c := range clients {
			if slices.Contains(c.Passed, k.Name) {
				b.WriteString(" ✓ |")
				continue
			}
			b.WriteString(" **✗** |")
			failed++
		}
		b.WriteString("\n")
	}
	return b.String(), failed
}

// replace puts the table in the place of the one that the file has.
func replace(file, table string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(data), begin)
	_, tail, ended := strings.Cut(rest, end)
	if !found || !ended {
		return errors.New("it has no place for the table")
	}
	return os.WriteFile(file, []byte(head+begin+table+end+tail), 0o644) //nolint:gosec // a file of the repository
}

func read(file string, into any) error {
	data, err := os.ReadFile(file) //nolint:gosec // of a folder that the developer names
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
