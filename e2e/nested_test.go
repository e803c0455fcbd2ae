package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A node with SYS_ADMIN makes namespaces of its own, as any Linux does. "ip netns exec" takes /sys away and mounts that of the
// namespace it enters.
func TestNestedNamespaces(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  admin: {caps: [SYS_ADMIN, SETFCAP]}
  plain: {}
`)
		for script, want := range map[string]string{
			`ip netns add red
			ip netns exec red ip -br link
			ip -n red link set lo up
			ip link add v0 type veth peer name v1 netns red
			ip -n red address add 10.9.9.2/24 dev v1 && ip -n red link set v1 up
			ip address add 10.9.9.1/24 dev v0 && ip link set v0 up
			ip netns exec red ls /sys/class/net
			ip netns exec red ip netns exec red cat /sys/class/net/v1/operstate
			ping -n -c 1 -W 2 10.9.9.2
			ls /sys/class/net`: "lo DOWN lo v1 up 1 received lo v0",
			"unshare --net --mount sh -c 'mount -t sysfs s /sys && ls /sys/class/net'":           "lo",
			"unshare --mount --pid --fork --mount-proc sh -c 'echo pid $$'":                      "pid 1",
			"unshare --user -r --net --mount --pid --fork --mount-proc sh -c " + inUserNamespace: "pid 1 lo root",
			"setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user -r --net --mount --pid --fork --mount-proc sh -c " +
				inUserNamespace: "pid 1 lo root",
			"mkdir /tmp/s /tmp/p && mount -t sysfs s /tmp/s && mount -t proc p /tmp/p && ls /tmp/s/class/net && cat /tmp/p/1/comm": "lo nsnet",
			"ls /dev/pts": "ptmx",
		} {
			got := r.sh("admin", "set -e\n"+script)
			rest := got
			for word := range strings.FieldsSeq(want) {
				_, after, found := strings.Cut(rest, word)
				if !found {
					t.Errorf("%s\nprinted\n%s\nwhere %q was to come", script, got, word)
					break
				}
				rest = after
			}
		}
		r.refused("plain", "unshare --net true")
		r.refused("plain", "ip netns add red")
		r.refused("plain", "mkdir /tmp/s; mount -t sysfs s /tmp/s")
	})
}

const inUserNamespace = `'mount -t sysfs s /sys; echo pid $$; ls /sys/class/net; id -un'`
