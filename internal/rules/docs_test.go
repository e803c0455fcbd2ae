package rules

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// docFiles are the Markdown files that users and contributors read.
func docFiles(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, p := range files(t) {
		if path.Ext(p) != ".md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		texts[p] = string(text)
	}
	return texts
}

// references are the files that a Markdown text speaks of: the targets of its links, seen from
// the text's directory, and paths from the root in code, which begin with a directory of it.
func references(file, text string, top []string) []string {
	var refs []string
	for _, m := range regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(m[1], ":") {
			refs = append(refs, path.Join(path.Dir(file), m[1]))
		}
	}
	word := regexp.MustCompile("(?:^|[\\s`(])((?:\\./)?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+)")
	for _, m := range word.FindAllStringSubmatch(text, -1) {
		p, _, _ := strings.Cut(path.Clean(strings.TrimRight(m[1], ".-")), ".Test") // of a package
		first, _, _ := strings.Cut(p, "/")
		if slices.Contains(top, first) {
			refs = append(refs, p)
		}
	}
	return refs
}

// A file that was moved is moved in the documentation, too.
func TestMentionedFilesExist(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var top []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "bin" && e.Name() != "dist" {
			top = append(top, e.Name())
		}
	}
	for file, text := range docFiles(t) {
		for _, ref := range references(file, text, top) {
			if _, err := os.Stat(filepath.Join(root, ref)); err != nil {
				t.Errorf("%s mentions %s, which does not exist", file, ref)
			}
		}
	}
}

func TestReferences(t *testing.T) {
	const text = "See [a](x.md#there), [b](https://example.org/c) and `lab/up.go`; run\n\n    nsnet up examples/one.yaml\n\nLAB/NODE, and/or, the docs/."
	got := references("docs/y.md", text, []string{"lab", "examples"})
	if want := []string{"docs/x.md", "lab/up.go", "examples/one.yaml"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// mentionedCommands are the words that follow nsnet in code: in spans, and at the
// beginning of lines that are indented or fenced.
func mentionedCommands(text string) []string {
	var names []string
	command := regexp.MustCompile("(?m)(?:^(?:    |\\t)\\s*(?:\\$ |# )?|^(?:\\$ |# )?|`)(?:sudo )?(?:\\./)?(?:bin/)?nsnet ([a-z]+)")
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		for _, m := range command.FindAllStringSubmatchIndex(line, -1) {
			prose := m[0] == 0 && !fenced && !strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "\t") && line[0] != '`'
			if !prose {
				names = append(names, line[m[2]:m[3]])
			}
		}
	}
	return names
}

func TestMentionedCommands(t *testing.T) {
	const text = "nsnet turns and `nsnet up FILE` or `sudo nsnet ps`\n\n    nsnet down x\n    $ bin/nsnet exec\n```\nnsnet logs\n```\n"
	if got, want := mentionedCommands(text), []string{"up", "ps", "down", "exec", "logs"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Each command that the documentation shows exists, and docs/commands.md has each that does.
func TestDocumentedCommandsExist(t *testing.T) {
	var commands []string
	help := testenv.Must(t, "--help")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) {2,}[A-Z]`).FindAllStringSubmatch(help, -1) {
		commands = append(commands, m[1])
	}
	if len(commands) < 5 {
		t.Fatalf("found but %q in the help:\n%s", commands, help)
	}
	docs := docFiles(t)
	for file, text := range docs {
		if strings.HasPrefix(file, "docs/decisions/") {
			continue // what was decided against is mentioned, too
		}
		for _, name := range mentionedCommands(text) {
			if !slices.Contains(commands, name) {
				t.Errorf("%s shows nsnet %s, which does not exist", file, name)
			}
		}
	}
	reference := mentionedCommands(docs["docs/commands.md"])
	for _, name := range commands {
		if !slices.Contains(reference, name) {
			t.Errorf("docs/commands.md does not show nsnet %s", name)
		}
	}
}
