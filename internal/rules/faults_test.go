package rules

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// faults is how many numbered faults there are.
const faults = 36

// testSources is the source of each test function of the repository, by name; several packages may have one of a name.
func testSources(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, f := range goFiles(t) {
		if !f.isTest() {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				sources[fn.Name.Name] += string(f.text[f.set.Position(fn.Pos()).Offset:f.set.Position(fn.End()).Offset])
			}
		}
	}
	return sources
}

// docs/faults.md has a row for each fault, with tests that exist and bear its number, or the reason why there is none.
func TestFaultsHaveTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	sources := testSources(t)
	var rows []string
	for line := range strings.Lines(string(text)) {
		if regexp.MustCompile(`^\| \d+ \|`).MatchString(line) {
			rows = append(rows, line)
		}
	}
	if len(rows) != faults {
		t.Errorf("%d rows, not %d", len(rows), faults)
	}
	for i, row := range rows {
		cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), " | ")
		number := fmt.Sprintf("%02d", i+1)
		if len(cells) != 4 || strings.TrimSpace(cells[0]) != fmt.Sprint(i+1) {
			t.Errorf("row %s: %q", number, row)
			continue
		}
		named := regexp.MustCompile("`(Test[^`]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(named) == 0 && !strings.Contains(cells[3], "not tested here: ") {
			t.Errorf("fault %s has no test, and no reason why", number)
		}
		numbered := len(named) == 0
		for _, m := range named {
			name, part, isPart := strings.Cut(m[1], "/")
			source, ok := sources[name]
			if !ok || isPart && !strings.Contains(source, `"`+part+`"`) {
				t.Errorf("fault %s: there is no %s", number, m[1])
			}
			numbers := regexp.MustCompile(`\d\d`).FindAllString(m[1], -1)
			numbered = numbered || slices.Contains(numbers, number)
		}
		if !numbered {
			t.Errorf("fault %s: no test has its number", number)
		}
	}
}
