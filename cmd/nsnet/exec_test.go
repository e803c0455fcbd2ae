package main

import (
	"context"
	"github.com/spf13/cobra"
	"pgregory.net/rapid"
	"slices"
	"strings"
	"testing"

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

// Whatever package early makes of a command line, the command makes of it, too.
func TestExecEarlyArguments(t *testing.T) {
	t.Parallel()
	lookup := func(key string) (string, bool) { return "here", key == "SET" }
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SampledFrom([]string{"-i", "--interactive", "-t", "-it", "-e", "--env", "--env=A=1", "-eA=1", "-w", "--workdir", "-u", "--user", "--",
			"-", "", "web", "demo/web", "A=1", "A=", "=1", "SET", "UNSET", "/tmp", "tmp", "root", "true", "-x", "--all", "--help"})
		args := rapid.SliceOfN(words, 0, 7).Draw(t, "args")
		ref, got, ok := early.Parse(append([]string{"nsnet", "exec"}, args...), lookup)
		if !ok {
			return
		}
		taken++
		var o execOptions
		cmd := newExec(stdio{})
		cmd.ResetFlags()
		o.AddFlags(cmd.Flags())
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
			t.Fatalf("%q is taken early, and is an error: %v", args, err)
		}
		node, argv := execArgs(left)
		if node != ref || !slices.Equal(argv, got.Argv) || o.TTY || got.TTY || o.Interactive != (got.Stdin != nil) ||
			o.Workdir != got.Workdir || o.User != got.User || !slices.Equal(execEnv(o, lookup), got.Env) {
			t.Fatalf("%q is early %+v, else %+v with %q", args, got, o, left)
		}
	})
	if taken == 0 {
		t.Error("nothing is taken early")
	}
}
