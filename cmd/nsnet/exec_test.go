package main

import (
	"context"
	"slices"
	"strings"
	"testing"
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
	equal(t, "command", commandText(argv), "ls -t --env x")
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
