package attacks

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Attack is a row of the table.
type Attack struct {
	What  string
	Tests []Test
}

// Test is a test of a package, which the table has as `package.Test`.
type Test struct {
	Dir  string // of the package, from the root of the source
	Name string
}

// Read returns the rows of a document's table of attacks.
func Read(document string) ([]Attack, error) {
	text, err := os.ReadFile(document)
	if err != nil {
		return nil, fmt.Errorf("read the attacks: %w", err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Attacks and their tests\n")
	table, _, _ = strings.Cut(table, "\n## ")
	named := regexp.MustCompile("`([a-z/0-9]+)\\.(Test[A-Za-z0-9_]+)`")
	var all []Attack
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| attack ") {
			continue
		}
		what, _, _ := strings.Cut(line[2:], " | ")
		a := Attack{What: what}
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			a.Tests = append(a.Tests, Test{m[1], m[2]})
		}
		all = append(all, a)
	}
	return all, nil
}

// Patterns returns what matches the tests of each package and no others, as go test's -run takes it.
func Patterns(all []Attack) map[string]string {
	names := map[string]map[string]bool{}
	for _, a := range all {
		for _, t := range a.Tests {
			if names[t.Dir] == nil {
				names[t.Dir] = map[string]bool{}
			}
			names[t.Dir][t.Name] = true
		}
	}
	patterns := map[string]string{}
	for dir, of := range names {
		patterns[dir] = "^(" + strings.Join(slices.Sorted(maps.Keys(of)), "|") + ")$"
	}
	return patterns
}
