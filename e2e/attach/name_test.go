package attach

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Who gives no name gets the first that is free at each end, and finds it again; a name that is given is taken or refused.
func TestFirstFreeName(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		pid, peer := stranger(t), stranger(t)
		for _, name := range []string{"eth1", "eth2"} {
			ip(t, pid, "link add %s type bridge", name)
		}
		ip(t, peer, "link add eth1 type bridge")
		clean, cleanPeer := view(t, pid), view(t, peer)
		const cable = "--ip 10.1.1.1/32 --peer-pid %d --peer-ip 10.1.1.2/32"
		if out := must(t, "attach --pid %d --dry-run "+cable, pid, peer); !strings.Contains(out, "interface eth3 of process") || !strings.Contains(out, ":eth2") {
			t.Errorf("what it would do: %q", out)
		}
		if out := must(t, "attach --pid %d "+cable, pid, peer); !strings.HasPrefix(out, "eth3 of process") || !strings.Contains(out, ":eth2: ") {
			t.Errorf("what it does: %q", out)
		}
		if out := must(t, "attach --pid %d "+cable, pid, peer); !strings.HasPrefix(out, "eth3 of process") || !strings.Contains(out, "already") {
			t.Errorf("the same again: %q", out)
		}
		// As with eth1: another one needs a name, or --replace.
		refused(t, nsnet(t, "attach --pid %d %s", pid, toHost), 5, "eth3", "differs", "--ifname for another")
		refused(t, nsnet(t, "attach --pid %d --bridge br9 --ip 10.3.0.2/24", pid), 4, "this host has no bridge br9")
		if out := must(t, "attach --pid %d --replace %s", pid, toHost); !strings.HasPrefix(out, "eth3 of process") {
			t.Errorf("another in its place: %q", out)
		}
		refused(t, nsnet(t, "attach --pid %d --ifname eth1 --ip 10.3.0.2/32 --peer-ip 10.3.0.1/32", pid), 5, "eth1", "--ifname")
		refused(t, nsnet(t, "attach --pid %d --ifname eth4 --ip 10.3.0.2/32 --peer-pid %d --peer-ip 10.3.0.1/32 --peer-ifname eth1", pid, peer), 5, "eth1", "--peer-ifname")
		if out := must(t, "attach --pid %d --if-absent %s", pid, toHost); !strings.HasPrefix(out, "eth1 of process") || !strings.Contains(out, "nothing to do") {
			t.Errorf("content with what there is: %q", out)
		}
		must(t, "detach --pid %d --all", pid)
		same(t, "after detach", clean, view(t, pid))
		same(t, "the other end after detach", cleanPeer, view(t, peer))
	})
}
