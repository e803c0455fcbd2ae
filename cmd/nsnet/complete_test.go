package main

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/lab"
)

func TestNodeRefs(t *testing.T) {
	nodes := func(names ...string) (all []lab.NodeStatus) {
		for _, n := range names {
			all = append(all, lab.NodeStatus{Name: n})
		}
		return all
	}
	refs := nodeRefs([]lab.Status{
		{Name: "demo", State: lab.StateRunning, Nodes: nodes("web", "a")},
		{Name: "two", State: lab.StateRunning, Nodes: nodes("a", "b")},
		{Name: "old", State: lab.StateDead, Nodes: nodes("web", "c")},
	})
	equal(t, "references", strings.Join(refs, " "), "b demo/a demo/web old/c old/web two/a two/b web")
	equal(t, "with a prefix", strings.Join(withPrefix(refs, "demo/"), " "), "demo/a demo/web")
}

func TestCompletion(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // what a shell's completion script gets
	}{
		{[]string{"up", ""}, "yaml\nyml\n:8\n"},
		{[]string{"validate", "x"}, "yaml\nyml\n:8\n"},
		{[]string{"plan", "x.yaml", ""}, ":4\n"},
		{[]string{"completion", "f"}, "fish\n:4\n"},
		{[]string{"version", ""}, ":4\n"},
		{[]string{"ps", "demo", ""}, ":4\n"},
		{[]string{"exec", "web", ""}, ":0\n"},
		{[]string{"help", "v"}, "validate\nversion\n:4\n"},
	} {
		r := nsnet(t, append([]string{"__complete"}, tt.args...)...)
		equal(t, strings.Join(tt.args, " "), r.stdout, tt.want)
		equal(t, "exit code", r.code, 0)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		r := nsnet(t, "completion", shell)
		if r.code != 0 || r.err != "" || !strings.Contains(r.stdout, "nsnet") {
			t.Errorf("%s: exit code %d, %q", shell, r.code, r.err)
		}
	}
}
