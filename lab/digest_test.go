package lab

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/topology"
)

// What a node is started with, what its command is started with, and what a running node is given: the digests, what plan says and
// the quick comparison agree on which is which.
func TestWhatRestartsANode(t *testing.T) {
	t.Parallel()
	base := func() topology.Node {
		return topology.Node{Name: "n", Hostname: "n", Command: []string{"a"}, Env: []string{"A=1"}, Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "1"},
			DNS: &topology.DNS{Search: []string{"a"}}, Unions: []topology.Union{{Path: "/u", Storage: topology.StorageCopy}}}
	}
	for name, tt := range map[string]struct {
		change        func(*topology.Node)
		node, command bool
		keys          string
	}{
		"nothing":               {func(*topology.Node) {}, false, false, ""},
		"hostname":              {func(n *topology.Node) { n.Hostname = "m" }, true, false, "hostname"},
		"image":                 {func(n *topology.Node) { n.Image.Path = "/x" }, true, false, "image"},
		"command":               {func(n *topology.Node) { n.Command = []string{"b"} }, false, true, "command"},
		"environment":           {func(n *topology.Node) { n.Env = nil }, false, true, "env"},
		"both":                  {func(n *topology.Node) { n.Privileged, n.User = true, "u" }, true, true, "privileged, user"},
		"a sysctl of the net":   {func(n *topology.Node) { n.Sysctls["net.ipv4.ip_forward"] = "0" }, false, false, ""},
		"another sysctl":        {func(n *topology.Node) { n.Sysctls["kernel.shmmax"] = "2" }, true, false, "sysctls"},
		"nameservers":           {func(n *topology.Node) { n.DNS = &topology.DNS{} }, false, false, ""},
		"no resolv.conf":        {func(n *topology.Node) { n.DNS = nil }, false, false, ""},
		"limits":                {func(n *topology.Node) { n.Limits.Pids = 9 }, false, false, ""},
		"policy":                {func(n *topology.Node) { n.DependsOn = make([]topology.Dependency, 1) }, false, false, ""},
		"lines of hosts":        {func(n *topology.Node) { n.Hosts = n.Hosts[:0:0] }, false, false, ""},
		"the driver of a union": {func(n *topology.Node) { n.Unions[0].Storage = "" }, false, false, ""},
		"a union's place":       {func(n *topology.Node) { n.Unions[0].Path = "/v" }, true, false, "unions"},
	} {
		was, now := base(), base()
		tt.change(&now)
		node1, command1 := digests(&was)
		node2, command2 := digests(&now)
		if (node1 != node2) != tt.node || (command1 != command2) != tt.command {
			t.Errorf("%s: node changed %v, command %v", name, node1 != node2, command1 != command2)
		}
		if same := sameStart(&was, &now); same != (!tt.node && !tt.command) {
			t.Errorf("%s: the same: %v", name, same)
		}
		if got := strings.Join(differing(&was, &now), ", "); got != tt.keys {
			t.Errorf("%s: %q, and not %q", name, got, tt.keys)
		}
		if again := base(); now.Unions[0].Storage == topology.StorageCopy && again.Unions[0].Storage != was.Unions[0].Storage {
			t.Errorf("%s: the node itself was changed", name)
		}
	}
}

// An up of a running lab that is interrupted before it changes anything does not say that nothing is left.
func TestInterruptedUpSaysHowItIs(t *testing.T) {
	t.Parallel()
	b := &builder{lab: &topology.Lab{Name: "x"}}
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := b.wrap(ctx, errors.New("why"), "it runs on"); err.Error() != "lab x: why" {
		t.Error(err)
	}
	cancel(stop)
	if err := b.wrap(ctx, errors.New("why"), "it runs on"); !errors.Is(err, stop) || !strings.Contains(err.Error(), "it runs on") {
		t.Error(err)
	}
}
