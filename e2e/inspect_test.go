package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// TestInspectShowsAll holds that what the file says of a node is shown, and for whom it waits.
func TestInspectShowsAll(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  base: {command: "exit 4"}
  slow: {command: sleep infinity, ready: {tcp: 9}}
  lost: {command: sleep infinity, depends_on: {base: {condition: exited}}}
  late:
    command: sleep infinity
    depends_on: {slow: {condition: ready}}
    env: {COLOUR: blue}
    sysctls: {net.ipv4.ip_forward: 1}
    tmpfs: ["/cache:size=1MiB"]
    routes: [{to: 10.9.0.0/16, via: 10.0.0.2}]
    ports: ["18080:80"]
    hosts: ["203.0.113.9 mirror"]
    restart: on-failure:3
bridges: {lan: {subnet: 10.0.0.0/24}}
links:
  - endpoints: ["late:eth0", lan]
  - endpoints: ["base:eth0", lan]
`)
		got := testenv.Must(t, "inspect", r.name+"/late")
		for _, want := range []string{
			"it waits for node slow: its check has not passed", "COLOUR", "blue", "net.ipv4.ip_forward", "/cache", "tmpfs", "10.9.0.0/16", "10.0.0.2",
			"127.0.0.1:18080", "203.0.113.9 mirror", "on-failure, 3 in a row at most", "slow (ready)",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("inspect of late shows no %q:\n%s", want, got)
			}
		}
		testenv.Eventually(t, 10*time.Second, "lost is known to wait in vain", func() bool {
			return strings.Contains(testenv.Must(t, "inspect", r.name+"/lost"), "it cannot start: node base, which it depends on: its command has ended with exit code 4")
		})
	})
}

// TestAddressesOfTheNodesOwn holds that ps shows addresses which were set in a node, in labs that
// are looked at as a whole and in such of which only changes are.
func TestAddressesOfTheNodesOwn(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for name, nodes := range map[string]int{"few": 2, "many": 210} {
			text := "name: " + name + "\nbridges: {lan: {}}\nnodes:\n"
			links := "links:\n"
			for i := range nodes {
				text += fmt.Sprintf("  n%d:\n", i)
				links += fmt.Sprintf("  - endpoints: ['n%d:eth0', lan]\n", i)
			}
			file := writeFile(t, t.TempDir(), "lab.yaml", text+links)
			r := startAs(t, testenv.LabName(t)+"-"+name, file)
			r.sh("n1", "ip address add 192.0.2.7/24 dev eth0 && ip address add 10.255.0.1/32 dev lo && ip link add v0 type veth peer name v1 && ip address add 198.51.100.1/24 dev v0")
			for range 2 {
				row := line(testenv.Must(t, "ps", r.name), " n1 ")
				if !strings.Contains(row, "192.0.2.7/24,10.255.0.1/32,198.51.100.1/24") {
					t.Errorf("%s: %s", name, row)
				}
				if row := line(testenv.Must(t, "ps", r.name), " n0 "); strings.Contains(row, "/") {
					t.Errorf("%s: a node that has none: %s", name, row)
				}
				testenv.Must(t, "up", file, "--name", r.name) // from here on the lab's init says that nothing has changed
			}
		}
	})
}

// line returns the line of a text that holds some words.
func line(text, words string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, words) {
			return l
		}
	}
	return ""
}
