package e2e

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// run is a running lab, as its tests see it.
type run struct {
	t    *testing.T
	name string
}

// start brings a topology file up under a name of its own until the test ends.
func start(t *testing.T, file string) run {
	t.Helper()
	return startAs(t, testenv.LabName(t), file)
}

func startAs(t *testing.T, name, file string) run {
	t.Helper()
	testenv.Must(t, "up", file, "--name", name)
	atEnd(t, testenv.Binary(t), "down", name)
	return run{t, name}
}

// startText is start with the topology's text.
func startText(t *testing.T, text string) run {
	t.Helper()
	return start(t, writeFile(t, t.TempDir(), "lab.yaml", text))
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// atEnd runs a command at the test's end, when the test's own context is over already.
func atEnd(t *testing.T, argv ...string) {
	t.Helper()
	t.Cleanup(func() {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(argv, " "), err, out)
		}
	})
}

// exec runs a command in a node and returns how it ended.
func (r run) exec(node string, argv ...string) testenv.Result {
	r.t.Helper()
	return testenv.Run(r.t, append([]string{"exec", r.name + "/" + node, "--"}, argv...)...)
}

// sh runs a shell command in a node, fails the test unless it exits with 0, and returns
// what it printed, without the white space around.
func (r run) sh(node, script string) string {
	r.t.Helper()
	res := r.exec(node, "sh", "-c", script)
	if res.Code != 0 {
		r.t.Fatalf("in %s: %s: exit code %d\n%s%s", node, script, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// refused fails the test when a shell command in a node succeeds, and returns what it printed to standard error.
func (r run) refused(node, script string) string {
	r.t.Helper()
	res := r.exec(node, "sh", "-c", script)
	if res.Code == 0 {
		r.t.Fatalf("in %s: %s: was not refused\n%s", node, script, res.Stdout)
	}
	return res.Stderr
}

// ping sends one packet from a node to an address or name, and fails the test when it is lost.
func (r run) ping(node, to string) string {
	r.t.Helper()
	return r.sh(node, "ping -n -c 1 -W 1 "+to)
}

// status is the lab as ps shows it.
func (r run) status() lab.Status {
	r.t.Helper()
	var list struct{ Labs []lab.Status }
	if err := json.Unmarshal([]byte(testenv.Must(r.t, "ps", r.name, "--json")), &list); err != nil {
		r.t.Fatal(err)
	}
	if len(list.Labs) != 1 {
		r.t.Fatalf("ps lists %d labs, not 1", len(list.Labs))
	}
	return list.Labs[0]
}

// node is a node as ps shows it.
func (r run) node(name string) lab.NodeStatus {
	r.t.Helper()
	nodes := r.status().Nodes
	i := slices.IndexFunc(nodes, func(n lab.NodeStatus) bool { return n.Name == name })
	if i < 0 {
		r.t.Fatalf("ps does not list node %s", name)
	}
	return nodes[i]
}

// pingFromHost sends one packet from the host.
func pingFromHost(t *testing.T, to string) {
	t.Helper()
	testenv.Ping(t, 0, netip.MustParseAddr(to), 1)
}

// within runs f on a thread in the network namespace that the file names: sockets it makes
// belong there, for good.
func within(t *testing.T, netns string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := unix.Open(netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("in %s: %v", netns, err)
	}
}

// netns makes a network namespace beside the labs, joined to the host by a cable: a machine
// behind the host, which knows no way to any lab. Its end of the cable is eth0.
func netns(t *testing.T, name, hostAddr, addr string) string {
	t.Helper()
	mounts := testenv.MustCommand(t, "cat", "/proc/self/mountinfo")
	testenv.MustCommand(t, "ip", "netns", "add", name)
	if !strings.Contains(mounts, " /run/netns ") {
		atEnd(t, "umount", "/run/netns") // which ip has made a mount point
	}
	atEnd(t, "ip", "netns", "del", name)
	for _, args := range [][]string{
		{"link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name},
		{"address", "add", hostAddr, "dev", name},
		{"link", "set", name, "up"},
		{"-n", name, "link", "set", "lo", "up"},
		{"-n", name, "address", "add", addr, "dev", "eth0"},
		{"-n", name, "link", "set", "eth0", "up"},
	} {
		testenv.MustCommand(t, append([]string{"ip"}, args...)...)
	}
	return "/run/netns/" + name
}

// owner is the uid that a file of the host belongs to.
func owner(t *testing.T, path string) uint32 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Uid
}
