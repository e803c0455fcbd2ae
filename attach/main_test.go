package attach

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/internal/testenv"
)

// The tests switch threads to other namespaces: none of them may be the main thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// container is a process with namespaces of its own, which ends with the test.
type container struct {
	t   *testing.T
	cmd *exec.Cmd
	ref Ref
}

func newContainer(t *testing.T, more uintptr) *container {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | more}
	if more&unix.CLONE_NEWUSER != 0 {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 1000}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids, ids
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &container{t: t, cmd: cmd, ref: Ref{ByPID, strconv.Itoa(cmd.Process.Pid)}}
	t.Cleanup(c.kill)
	return c
}

// kill ends the container and waits for its network namespace to go.
func (c *container) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

func (c *container) netns() *os.File {
	c.t.Helper()
	f, err := os.Open(processNetns(c.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// run runs a program in the container's network namespace.
func (c *container) run(argv ...string) string {
	c.t.Helper()
	r := testenv.InNetns(c.t, c.cmd.Process.Pid, argv...)
	if r.Code != 0 {
		c.t.Fatalf("%s: exit code %d\n%s%s", strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// state is what its network namespace shows, but for what a kernel counts or draws by chance.
func (c *container) state() []string {
	c.t.Helper()
	ns := c.netns()
	defer ns.Close()
	return stateOf(c.t, ns)
}

func stateOf(t *testing.T, ns *os.File) []string {
	t.Helper()
	s, err := look(ns, true)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range s.links {
		lines = append(lines, fmt.Sprintf("link %d %s %s mtu %d alias %q master %s up %v", l.Index, l.Name, l.MAC, l.MTU, l.Alias, s.named(l.Master), l.Up()))
	}
	for _, a := range s.addresses {
		lines = append(lines, fmt.Sprintf("address %s on %s", a.Prefix, s.named(a.Index)))
	}
	for _, r := range s.routes {
		if r.To.Addr().IsMulticast() || r.Table == unix.RT_TABLE_LOCAL {
			continue
		}
		lines = append(lines, fmt.Sprintf("route %s via %s dev %s metric %d table %d", r.To, r.Via, s.named(r.Index), r.Metric, r.Table))
	}
	slices.Sort(lines)
	return lines
}

// ip runs ip(8) in the test's own network namespace, which is the host's here.
func ip(t *testing.T, args string) {
	t.Helper()
	testenv.MustCommand(t, append([]string{"ip"}, strings.Fields(args)...)...)
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// equal fails the test where two states differ.
func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("%s: there is now: %s", what, l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("%s: there is no more: %s", what, l)
		}
	}
}

// settled waits until the host's interfaces are only these, as a pair goes a moment later when one
// end's namespace has died.
func settled(t *testing.T, names ...string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, "only "+strings.Join(names, ", ")+" are left on the host", func() bool {
		c, err := rtnl.Dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		links, err := c.Links()
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(links, func(l rtnl.Link) bool { return !slices.Contains(names, l.Name) })
	})
}
