package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/internal/testenv"
)

// root is the repository, as seen from this package.
const root = "../.."

// A test process that switches namespaces must not do so on its main thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// command is one line of a block, and what it is said to do.
type command struct {
	Line  int // in the file
	Text  string
	Code  int
	Shows []string
}

// commands reads the commands of a Markdown text.
func commands(text string) []command {
	var all []command
	exit := regexp.MustCompile(`\s# exit (\d+)$`)
	fence, here := "", false // within a here document
	for i, line := range strings.Split(text, "\n") {
		if info, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			if fence == "" {
				fence = "```" + info
			} else {
				fence = ""
			}
			continue
		}
		if fence != "```sh" {
			continue
		}
		if here {
			all[len(all)-1].Text += "\n" + line
			here = line != "EOF"
			continue
		}
		if shell, ok := strings.CutPrefix(line, "$ "); ok {
			here = strings.Contains(shell, "<<'EOF'")
			c := command{Line: i + 1, Text: shell}
			if m := exit.FindStringSubmatch(shell); m != nil {
				c.Code, _ = strconv.Atoi(m[1])
			}
			all = append(all, c)
		} else if n := len(all); n > 0 && line != "" {
			all[n-1].Shows = append(all[n-1].Shows, line)
		}
	}
	return all
}

// shown tells which of the lines is not in an output, in order; the empty line: all are.
func shown(output string, lines []string) string {
	rest := strings.Split(output, "\n")
	for _, want := range lines {
		parts := strings.Split(want, "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern := regexp.MustCompile(`^` + strings.Join(parts, `.*`) + `\s*$`)
		for len(rest) > 0 && !pattern.MatchString(rest[0]) {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return want
		}
		rest = rest[1:]
	}
	return ""
}

func TestCommands(t *testing.T) {
	const text = "a\n\n    $ not this\n\n```yaml\n$ nor this\n```\n\n```sh\n$ nsnet up x\nx is up\n\n$ false # exit 1\n```\n$ nor that\n"
	want := []command{{Line: 10, Text: "nsnet up x", Shows: []string{"x is up"}}, {Line: 13, Text: "false # exit 1", Code: 1}}
	if diff := cmp.Diff(want, commands(text)); diff != "" {
		t.Error(diff)
	}
}

func TestShown(t *testing.T) {
	const output = "demo is up: 2 nodes in 45 ms\n\nweb  idle  \nclient (x)\n"
	for _, tc := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"demo is up: ... ms", "web  idle"}, ""},
		{[]string{"client (x)"}, ""},
		{[]string{"demo is up"}, "demo is up"},
		{[]string{"web ...", "demo ..."}, "demo ..."},
		{[]string{"web ...", "web ..."}, "web ..."},
	} {
		if got := shown(output, tc.lines); got != tc.want {
			t.Errorf("%q: %q is missing, want %q", tc.lines, got, tc.want)
		}
	}
}

// What the documentation shows is true.
func TestDocumentation(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all := commands(string(text))
		if len(all) == 0 {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			testenv.Need(t, "ping", "ip", "ps", "ipcmk", "zebra", "bgpd", "vtysh")
			testenv.IsolateLabs(t, []string{"limits"}, func(t *testing.T) {
				if strings.Contains(string(text), "\n$ docker ") {
					testenv.Docker(t) // the commands find it by DOCKER_HOST
				}
				runAll(t, file, all)
			})
		})
	}
}

// runAll runs the commands of one file from the repository's root, and stops at the first that
// does not do what is said.
func runAll(t *testing.T, file string, all []command) {
	bin := t.TempDir()
	if err := os.Symlink(testenv.Binary(t), filepath.Join(bin, "nsnet")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() { // what a lab in the middle of the file has is no news
			testenv.Run(t, "down", "--all")
		}
	}()
	path := "PATH=" + bin + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin"
	for _, c := range all {
		r := testenv.Command(t, "env", "-C", root, path, "sh", "-c", c.Text)
		if r.Code != c.Code {
			t.Fatalf("%s:%d: %s: exit code %d, want %d\n%s%s", file, c.Line, c.Text, r.Code, c.Code, r.Stdout, r.Stderr)
		}
		if missing := shown(r.Stdout, c.Shows); missing != "" {
			t.Fatalf("%s:%d: %s: does not print %q\n%s%s", file, c.Line, c.Text, missing, r.Stdout, r.Stderr)
		}
	}
}
