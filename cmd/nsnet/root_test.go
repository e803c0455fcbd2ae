package main

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/topology"
)

func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"donw":                  `unknown command "donw" (did you mean down?); see nsnet --help`,
		"donw --all":            `unknown command "donw" (did you mean down?); see nsnet --help`,
		"xyzzy":                 `unknown command "xyzzy"; see nsnet --help`,
		"list":                  `unknown command "list" (nsnet ps does that); see nsnet --help`,
		"destroy -t x.yaml":     `unknown command "destroy" (nsnet down does that); see nsnet --help`,
		"deploy":                `unknown command "deploy" (nsnet up does that); see nsnet --help`,
		"shell demo/web":        `unknown command "shell" (nsnet exec -it does that); see nsnet --help`,
		"stats --sort size":     `--sort "size" is none of cpu, memory, pids, read, rx, tx, written; see nsnet stats --help`,
		"stats x/[":             `"x/[" is not LAB, LAB/NODE or LAB/PATTERN; see nsnet stats --help`,
		"stats --top -1":        "--top is a number above 0; see nsnet stats --help",
		"watch -":               "FILE is standard input, which is read once and cannot be watched; see nsnet watch --help",
		"--verison":             "unknown flag: --verison (did you mean --version?); see nsnet --help",
		"up":                    "FILE is missing; see nsnet up --help",
		"up a b":                `unexpected argument "b"; see nsnet up --help`,
		"up --dryrun a":         "unknown flag: --dryrun (did you mean --dry-run?); see nsnet up --help",
		"up a --name":           "flag needs an argument: --name; see nsnet up --help",
		"up -x":                 "unknown shorthand flag: 'x' in -x; see nsnet up --help",
		"down":                  "LAB, FILE or --all is missing; see nsnet down --help",
		"down ub-*":             `"ub-*" is no lab's name, and patterns are not for labs; --all removes all; see nsnet down --help`,
		"down a b":              `unexpected argument "b"; see nsnet down --help`,
		"down --all a":          `--all and "a" exclude each other; see nsnet down --help`,
		"ps a b":                `unexpected argument "b"; see nsnet ps --help`,
		"ps -q --json":          "--quiet and --json exclude each other; see nsnet ps --help",
		"inspect":               "LAB[/NODE] is missing; see nsnet inspect --help",
		"logs":                  "LAB|NODE is missing; see nsnet logs --help",
		"plan":                  "FILE is missing; see nsnet plan --help",
		"validate":              "FILE is missing; see nsnet validate --help",
		"validate --json=x a":   `invalid argument "x" for "--json" flag: strconv.ParseBool: parsing "x": invalid syntax; see nsnet validate --help`,
		"schema x":              `unexpected argument "x"; see nsnet schema --help`,
		"version x":             `unexpected argument "x"; see nsnet version --help`,
		"completion":            "SHELL is missing; see nsnet completion --help",
		"completion powershell": `unknown shell "powershell": bash, zsh and fish are known; see nsnet completion --help`,
		"help donw":             `unknown command "donw" (did you mean down?); see nsnet --help`,
		"help up down":          `unexpected argument "down"; see nsnet help --help`,
	} {
		r := nsnet(t, strings.Fields(line)...)
		equal(t, line, r, result{exitUsage, "", "nsnet: " + want + "\n"})
	}
}

func TestVersion(t *testing.T) {
	text := nsnet(t, "version")
	equal(t, "exit code", text.code, 0)
	if !strings.HasPrefix(text.stdout, "nsnet ") {
		t.Errorf("version: %q", text.stdout)
	}
	equal(t, "--version", nsnet(t, "--version"), text)
	var v versionInfo
	if err := json.Unmarshal([]byte(nsnet(t, "version", "--json").stdout), &v); err != nil || v.Version == "" || v.Go == "" {
		t.Errorf("version: %+v, %v", v, err)
	}
}

func TestVersionOf(t *testing.T) {
	build := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef"},
			{Key: "vcs.modified", Value: "true"},
		},
	}
	equal(t, "of the module", versionOf("", build).Version, "v1.2.3")
	equal(t, "of the linker", versionOf("v2", build).Version, "v2")
	equal(t, "commit", versionOf("", build).Commit, "0123456789ab+")
	equal(t, "of nothing", versionOf("", nil).Version, "devel")
	equal(t, "text", versionText(versionInfo{"v1", "abc", "go1", "linux", "arm64"}), "nsnet v1 commit abc go1 linux/arm64\n")
}

func TestSchema(t *testing.T) {
	r := nsnet(t, "schema")
	if r.code != 0 || !json.Valid([]byte(r.stdout)) {
		t.Errorf("schema: exit code %d, %q", r.code, r.err)
	}
}

func TestValidate(t *testing.T) {
	good := writeFile(t, "demo.yaml", "name: demo\nnodes:\n  a: {}\n  b: {}\nbridges:\n  lan: {subnet: 10.5.0.0/24}\nlinks:\n"+
		"  - endpoints: [\"a:eth0\", lan]\n  - endpoints: [\"b:eth0\", lan]\n")
	equal(t, "valid", nsnet(t, "validate", good), result{0, good + ": lab demo is valid: 2 nodes, 1 bridge, 2 links\n", ""})

	var v verdict
	if err := json.Unmarshal([]byte(nsnet(t, "validate", "--json", "--name", "other", good).stdout), &v); err != nil {
		t.Fatal(err)
	}
	equal(t, "verdict", v.Valid && v.Lab.Name == "other" && len(v.Errors) == 0, true)

	bad := writeFile(t, "bad.yaml", "name: demo\nnodes:\n  a: {imgae: host}\nlinks:\n  - endpoints: [\"x:eth0\", \"a:eth0\"]\n")
	r := nsnet(t, "validate", bad)
	equal(t, "exit code", r.code, exitFile)
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	for _, line := range lines {
		if !strings.HasPrefix(line, bad+":") {
			t.Errorf("no position: %q", line)
		}
	}
	j := nsnet(t, "validate", "--json", bad)
	equal(t, "exit code", j.code, exitFile)
	equal(t, "errors are text, too", j.err, r.err)
	v = verdict{}
	if err := json.Unmarshal([]byte(j.stdout), &v); err != nil {
		t.Fatal(err)
	}
	equal(t, "errors in JSON", topology.Errors(v.Errors).Error(), strings.Join(lines, "\n"))
	equal(t, "verdict", v.Valid || v.Lab != nil, false)

	v = verdict{}
	if err := json.Unmarshal([]byte(nsnet(t, "validate", "--json", "no-such-file.yaml").stdout), &v); err != nil {
		t.Fatal(err)
	}
	equal(t, "a missing file in JSON", len(v.Errors) == 1 && v.Errors[0].File == "no-such-file.yaml", true)

	for _, command := range []string{"validate", "up", "plan", "down"} {
		r := nsnet(t, command, "./no-such-file.yaml")
		equal(t, command+" without a file", r.code, exitFile)
		if !strings.HasPrefix(r.err, "nsnet: ") || !strings.Contains(r.err, "no such file") {
			t.Errorf("%s without a file: %q", command, r.err)
		}
	}
	if r := nsnet(t, "down", bad); r.code != exitFile || !strings.Contains(r.err, "nsnet down NAME") {
		t.Errorf("down of an invalid file: %+v", r)
	}
}

func TestAFullDiskIsAFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	captured(t, func(std stdio) {
		std.out = full
		equal(t, "exit code", run(t.Context(), []string{"version"}, std), exitFailure)
	})
}

// TestHelp holds every command's help to its form.
func TestHelp(t *testing.T) {
	root := newRoot(stdio{})
	root.InitDefaultHelpCmd()
	all := append(root.Commands(), root)
	for _, c := range root.Commands() {
		all = append(all, c.Commands()...)
	}
	for _, c := range all {
		_, status, ok := strings.Cut(c.Long, "\n\nEXIT STATUS\n")
		if !ok || strings.Contains(status, "\n\n") {
			t.Errorf("%s: the help does not end in EXIT STATUS", c.CommandPath())
		}
		if c.Example == "" || c.Short == "" || c.Parent() == root && c.GroupID == "" {
			t.Errorf("%s: no example, short help or group", c.CommandPath())
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 91 {
				t.Errorf("%s: a long line: %q", c.CommandPath(), line)
			}
		}
		if c.Parent() == root {
			byCommand, byFlag := nsnet(t, "help", c.Name()), nsnet(t, c.Name(), "--help")
			equal(t, "help "+c.Name(), byCommand, byFlag)
			equal(t, "exit code", byCommand.code, 0)
		}
	}
	equal(t, "help", nsnet(t), nsnet(t, "help"))
}

// TestDocumentation holds docs/commands.md to the commands, flags and exit codes there are.
func TestDocumentation(t *testing.T) {
	b, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for s := range strings.SplitSeq(string(b), "\n## ") {
		title, text, _ := strings.Cut(s, "\n")
		sections[title] = text
	}
	commands := map[string]*cobra.Command{}
	root := newRoot(stdio{})
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		commands["nsnet "+c.Name()] = c
		text, ok := sections["nsnet "+c.Name()]
		if !ok {
			t.Errorf("%s: no section", c.Name())
		}
		// A command's section tells of its own commands, too.
		flags := pflag.NewFlagSet(c.Name(), pflag.ContinueOnError)
		for _, own := range append(c.Commands(), c) {
			flags.AddFlagSet(own.Flags())
		}
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			row := "\n| `"
			if f.Shorthand != "" {
				row += "-" + f.Shorthand + "`, `"
			}
			row += "--" + f.Name
			if !strings.Contains(text, row+"`") && !strings.Contains(text, row+" ") {
				t.Errorf("%s: no row for --%s", c.Name(), f.Name)
			}
		})
		for row := range strings.Lines(text) {
			if _, rest, ok := strings.Cut(row, "--"); ok && strings.HasPrefix(row, "| `-") {
				name := rest[:strings.IndexAny(rest, "` ")]
				if flags.Lookup(name) == nil {
					t.Errorf("%s: a row for --%s, which is not there", c.Name(), name)
				}
			}
		}
	}
	for title := range sections {
		if strings.HasPrefix(title, "nsnet ") && commands[title] == nil {
			t.Errorf("a section for %s, which is not there", title)
		}
	}
	for _, code := range exitCodes() {
		row := "| " + exitName(code) + " | " + exitMeaning(code) + " |\n"
		if !strings.Contains(sections["Exit codes"], row) {
			t.Errorf("no row %q", row)
		}
	}
}

// TestOtherNamesLeadSomewhere holds the names that other tools have against the commands there are.
func TestOtherNamesLeadSomewhere(t *testing.T) {
	root := newRoot(stdio{})
	for name, own := range otherNames() {
		if c, _, err := root.Find([]string{name}); err == nil && c != root {
			t.Errorf("%s is a command of its own", name)
		}
		words := strings.Fields(own)
		if c, rest, err := root.Find(words); err != nil || c == root || len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			t.Errorf("%s leads to %q, which is no command: %v", name, own, err)
		}
	}
}

// A command by itself is what it is among all: its name is the one it is found by, and its help the same.
func TestOneCommand(t *testing.T) {
	t.Parallel()
	all := newRoot(stdio{})
	for name := range commands() {
		alone := newRootOf(stdio{}, name)
		if got := alone.Commands(); len(got) != 1 || got[0].Name() != name {
			t.Errorf("%s alone is %v", name, got)
			continue
		}
		among, _, err := all.Find([]string{name})
		if err != nil || among.Name() != name {
			t.Errorf("%s among all is %v, error %v", name, among, err)
			continue
		}
		if a, b := alone.Commands()[0].UsageString(), among.UsageString(); a != b {
			t.Errorf("usage of %s alone:\n%s\namong all:\n%s", name, a, b)
		}
	}
	if got := len(newRootOf(stdio{}, "nosuch").Commands()); got != len(all.Commands()) {
		t.Errorf("of an unknown name there are %d commands of %d", got, len(all.Commands()))
	}
}
