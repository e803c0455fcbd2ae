package container

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/topology"
)

func TestIPCSysctls(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for name, tc := range map[string]struct {
		node   topology.Node
		memory int64
		want   [][2]string
	}{
		"a node":             {topology.Node{}, 16 * gib, [][2]string{{"kernel.msgmni", "1024"}, {"kernel.sem", "32000 16777216 500 32000"}, {"kernel.shmall", "1048576"}}},
		"a limited one":      {topology.Node{Limits: topology.Limits{Memory: 64 << 20}}, 16 * gib, [][2]string{{"kernel.msgmni", "16"}, {"kernel.sem", "32000 262144 500 32000"}, {"kernel.shmall", "16384"}}},
		"limited to more":    {topology.Node{Limits: topology.Limits{Memory: 64 * gib}}, 16 * gib, [][2]string{{"kernel.msgmni", "1024"}, {"kernel.sem", "32000 16777216 500 32000"}, {"kernel.shmall", "1048576"}}},
		"a big machine":      {topology.Node{}, 8 << 40, [][2]string{{"kernel.msgmni", "32000"}, {"kernel.sem", "32000 1024000000 500 32000"}, {"kernel.shmall", "536870912"}}},
		"a privileged one":   {topology.Node{Privileged: true, Sysctls: map[string]string{"kernel.shmmax": "1", "net.ipv4.ip_forward": "1"}}, gib, [][2]string{{"kernel.shmmax", "1"}}},
		"what its file says": {topology.Node{Sysctls: map[string]string{"kernel.shmall": "7", "fs.mqueue.msg_max": "5"}}, 16 * gib, [][2]string{{"fs.mqueue.msg_max", "5"}, {"kernel.msgmni", "1024"}, {"kernel.sem", "32000 16777216 500 32000"}, {"kernel.shmall", "7"}}},
	} {
		if got := IPCSysctls(&tc.node, tc.memory, 4096); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, not %v", name, got, tc.want)
		}
	}
}

// What the file says of the IPC namespace is set before /proc/sys is read-only, and before a bind can cover it; what it says of the network after.
func TestSysctlsAreClosed(t *testing.T) {
	t.Parallel()
	n := topology.Node{Sysctls: map[string]string{"kernel.shmmax": "1", "net.ipv4.ip_forward": "1"}, Binds: []topology.Bind{{Source: "/x", Target: "/y"}}}
	for _, privileged := range []bool{false, true} {
		n.Privileged = privileged
		s := Setup{IPC: IPCSysctls(&n, 1<<30, 4096)}
		steps := Binds(BootProgram(&n, s), &n, s, []bool{true})
		at := func(label string) int {
			return slices.IndexFunc(steps, func(s wire.Step) bool { return s.Label == label })
		}
		proc, set, closed, enter, bind, network := at("mount /proc"), at("set sysctl kernel.shmmax"), at("make /proc/sys read-only"), at("enter the root filesystem"), at("bind /x to /y"), at("set sysctl net.ipv4.ip_forward")
		if set < 0 || set > enter || enter > bind || bind > network {
			t.Errorf("privileged %v: the file's own is set at %d, the root entered at %d, binds made at %d, the network's set at %d", privileged, set, enter, bind, network)
		}
		if privileged != (closed < 0) || !privileged && (closed < proc || closed < set || closed > enter) {
			t.Errorf("privileged %v: proc is mounted at %d and closed at %d", privileged, proc, closed)
		}
		if open := mountsOn(steps, "/proc/sys/net"); privileged != (len(open) == 0) || !privileged && open[0].N(0) != unix.MS_BIND {
			t.Errorf("privileged %v: the network's are open by %+v", privileged, open)
		}
	}
}
