package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/lab/early"
)

func TestExecArgs(t *testing.T) {
	for _, tt := range []struct {
		args []string
		node string
		argv []string
	}{
		{nil, "", nil},
		{[]string{"web"}, "web", nil},
		{[]string{"web", "--"}, "web", nil},
		{[]string{"web", "ls", "-l"}, "web", []string{"ls", "-l"}},
		{[]string{"web", "--", "ls", "--", "-l"}, "web", []string{"ls", "--", "-l"}},
		{[]string{"web", "--", "--", "x"}, "web", []string{"--", "x"}},
	} {
		node, argv := execArgs(tt.args)
		if node != tt.node || !slices.Equal(argv, tt.argv) {
			t.Errorf("%q: got %q %q, want %q %q", tt.args, node, argv, tt.node, tt.argv)
		}
	}
}

func TestExecEnv(t *testing.T) {
	lookup := func(k string) (string, bool) {
		v, ok := map[string]string{"TERM": "xterm", "LANG": "C"}[k]
		return v, ok
	}
	for _, tt := range []struct {
		o    execOptions
		want []string
	}{
		{execOptions{}, nil},
		{execOptions{Env: []string{"A=b,c=d", "B=", "LANG", "NOPE"}}, []string{"A=b,c=d", "B=", "LANG=C"}},
		{execOptions{TTY: true, Env: []string{"TERM=vt100"}}, []string{"TERM=xterm", "TERM=vt100"}},
	} {
		if got := execEnv(tt.o, lookup); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: got %q, want %q", tt.o, got, tt.want)
		}
	}
}

func TestExecUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"NODE and CMD are missing":              {},
		"CMD is missing":                        {"web", "--"},
		"CMD is empty":                          {"web", ""},
		"unknown flag: --wrokdir":               {"--wrokdir", "/", "web", "ls"},
		"did you mean --workdir?":               {"--wrokdir", "/", "web", "ls"},
		`--workdir "tmp" is not an absolute`:    {"-w", "tmp", "web", "ls"},
		`--env "=x" has no name`:                {"-e", "=x", "web", "ls"},
		"-t needs a terminal on standard input": {"-it", "web", "ls"},
	} {
		r := nsnet(t, append([]string{"exec"}, args...)...)
		if r.code != exitExec || !strings.Contains(r.err, want) || r.stdout != "" {
			t.Errorf("exec %q: %+v, want %q", args, r, want)
		}
	}
}

func TestExecFlagsAfterTheNodeAreTheCommands(t *testing.T) {
	cmd := newExec(stdio{})
	if err := cmd.ParseFlags([]string{"-ie", "A=b", "web", "ls", "-t", "--env", "x"}); err != nil {
		t.Fatal(err)
	}
	node, argv := execArgs(cmd.Flags().Args())
	equal(t, "node", node, "web")
	equal(t, "command", printable.Command(argv), "ls -t --env x")
	equal(t, "tty", cmd.Flags().Lookup("tty").Value.String(), "false")
	equal(t, "interactive", cmd.Flags().Lookup("interactive").Value.String(), "true")
}

func TestExecResultIsSilentAboutTheCommand(t *testing.T) {
	var b strings.Builder
	reportError(&b, execResult(3, nil))
	equal(t, "report", b.String(), "")
	_, stderr := captured(t, func(std stdio) {
		err := runExec(context.Background(), execOptions{TTY: true}, []string{"web", "ls"}, std)
		equal(t, "exit code", exitCode(err), exitExec)
	})
	equal(t, "standard error", stderr, "")
}

// Whatever package early makes of a command line, the command makes of it, too.
func TestExecEarlyArguments(t *testing.T) {
	t.Parallel()
	lookup := func(key string) (string, bool) { return "here", key == "SET" }
	options := [][]string{
		{"-i"}, {"--interactive"}, {"-t"}, {"-it"}, {"-e", "A=1"}, {"--env", "A="}, {"-e", "=1"}, {"-e", ""}, {"-e", "SET"}, {"-e", "UNSET"}, {"--env=A=1"}, {"-eA=1"},
		{"-w", "/tmp"}, {"--workdir", "tmp"}, {"-w", ""}, {"-w", "-i"}, {"-u", "root"}, {"--user", ""}, {"-e"}, {"-"}, {"--"}, {"-x"}, {"--all"}, {"--help"},
	}
	lines := [][]string{nil}
	for _, first := range options {
		lines = append(lines, first)
		for _, second := range options {
			lines = append(lines, slices.Concat(first, second))
		}
	}
	taken := 0
	for _, line := range lines {
		for _, rest := range [][]string{nil, {"web"}, {"web", "--"}, {"web", ""}, {"", "true"}, {"demo/web", "true"}, {"web", "--", "true", "-e"}, {"web", "--", "--", "true"}, {"web", "-i", "--"}} {
			args := slices.Concat(line, rest)
			ref, got, ok := early.Parse(append([]string{"nsnet", "exec"}, args...), lookup)
			if !ok {
				continue
			}
			taken++
			cmd := newExec(stdio{})
			check := cmd.Args
			var left []string
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				left = args
				return check(cmd, args)
			}
			cmd.RunE = func(*cobra.Command, []string) error { return nil }
			cmd.SetArgs(args)
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			if err := cmd.Execute(); err != nil {
				t.Errorf("%q is taken early, and is an error: %v", args, err)
				continue
			}
			value := func(flag string) string { return cmd.Flags().Lookup(flag).Value.String() }
			env, err := cmd.Flags().GetStringArray("env")
			node, argv := execArgs(left)
			if err != nil || node != ref || !slices.Equal(argv, got.Argv) || value("tty") != "false" || got.TTY || value("interactive") != strconv.FormatBool(got.Stdin != nil) ||
				value("workdir") != got.Workdir || value("user") != got.User || !slices.Equal(execEnv(execOptions{Env: env}, lookup), got.Env) {
				t.Errorf("%q is early %+v, else %q of %s with %q", args, got, argv, node, env)
			}
		}
	}
	if most := len(lines) * 3 / 10; taken < most {
		t.Errorf("of %d command lines %d are taken early", len(lines), taken)
	}
}
