package attacks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	t.Parallel()
	const text = "`e2e.TestElsewhere`\n\n## Attacks and their tests\n\nIn words.\n\n| attack | what holds | tests |\n|---|---|---|\n" +
		"| one, with `code` | a rule | `e2e.TestB`, `a/b2.TestC_d` |\n| two | no test | none |\n| three | a rule | `e2e.TestA`, `e2e.TestB` |\n\n## More\n\n| a | b | `e2e.TestOther` |\n"
	path := filepath.Join(t.TempDir(), "security.md")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	want := []Attack{
		{"one, with `code`", []Test{{"e2e", "TestB"}, {"a/b2", "TestC_d"}}}, {What: "two"}, {"three", []Test{{"e2e", "TestA"}, {"e2e", "TestB"}}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if diff := cmp.Diff(map[string]string{"e2e": "^(TestA|TestB)$", "a/b2": "^(TestC_d)$"}, Patterns(got)); diff != "" {
		t.Error(diff)
	}
	if _, err := Read(path + "x"); err == nil {
		t.Error("a document that is missing has been read")
	}
}
