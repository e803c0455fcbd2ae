package attach

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// nsnet runs nsnet with the words of a line for arguments.
func nsnet(t *testing.T, format string, args ...any) testenv.Result {
	t.Helper()
	return testenv.Run(t, strings.Fields(fmt.Sprintf(format, args...))...)
}

// must is nsnet, which must succeed, and returns what it printed.
func must(t *testing.T, format string, args ...any) string {
	t.Helper()
	return testenv.Must(t, strings.Fields(fmt.Sprintf(format, args...))...)
}

// refused fails the test unless nsnet ends with this exit code and its message has all these parts.
func refused(t *testing.T, res testenv.Result, code int, parts ...string) {
	t.Helper()
	if res.Code != code {
		t.Errorf("exit code %d, not %d\n%s%s", res.Code, code, res.Stdout, res.Stderr)
	}
	for _, p := range parts {
		if !strings.Contains(res.Stderr, p) {
			t.Errorf("the message does not say %q:\n%s", p, res.Stderr)
		}
	}
	if res.Stdout != "" || strings.Contains(res.Stderr, "goroutine ") {
		t.Errorf("a result, or a panic:\n%s%s", res.Stdout, res.Stderr)
	}
}

// ip runs ip in the network namespace of a process, 0 for the host's.
func ip(t *testing.T, pid int, format string, args ...any) string {
	t.Helper()
	argv := append([]string{"ip"}, strings.Fields(fmt.Sprintf(format, args...))...)
	if pid == 0 {
		return testenv.MustCommand(t, argv...)
	}
	return testenv.MustCommand(t, append([]string{"nsenter", "--net", "--target", strconv.Itoa(pid), "--"}, argv...)...)
}

// stranger starts a process in namespaces of its own, as unshare(1) makes them with these flags and
// --net, and returns its pid. It ends with the test.
func stranger(t *testing.T, flags ...string) int {
	t.Helper()
	testenv.Need(t, "unshare", "nsenter", "ip")
	cmd := exec.Command("unshare", slices.Concat([]string{"--net"}, flags, []string{"sleep", "1000000"})...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	testenv.Eventually(t, 5*time.Second, "unshare becomes sleep", func() bool {
		name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		return err == nil && string(name) == "sleep\n"
	})
	return pid
}

// nic is an interface as ip shows it.
type nic struct {
	Name      string   `json:"ifname"`
	MAC       string   `json:"address"`
	MTU       int      `json:"mtu"`
	Flags     []string `json:"flags"`
	Master    string   `json:"master"`
	Alias     string   `json:"ifalias"`
	Addresses []struct {
		Local     string `json:"local"`
		Length    int    `json:"prefixlen"`
		Tentative bool   `json:"tentative"`
	} `json:"addr_info"`
	Info struct {
		Kind string `json:"info_kind"`
		Data struct {
			Mode string `json:"mode"`
		} `json:"info_data"`
	} `json:"linkinfo"`
}

// nics are the interfaces in the network namespace of a process.
func nics(t *testing.T, pid int) map[string]nic {
	t.Helper()
	var list []nic
	if err := json.Unmarshal([]byte(ip(t, pid, "-json -details addr show")), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]nic{}
	for _, n := range list {
		all[n.Name] = n
	}
	return all
}

// addresses are an interface's, without those of the link alone.
func (n nic) addresses() []string {
	var all []string
	for _, a := range n.Addresses {
		if !strings.HasPrefix(a.Local, "fe80:") {
			all = append(all, fmt.Sprintf("%s/%d", a.Local, a.Length))
		}
	}
	slices.Sort(all)
	return all
}

// whole fails the test unless a process has an interface of this name that is up, has a carrier, and has these addresses
// and no others, all in use.
func whole(t *testing.T, pid int, name string, addresses ...string) nic {
	t.Helper()
	n, ok := nics(t, pid)[name]
	if !ok {
		t.Fatalf("process %d has no %s:\n%s", pid, name, ip(t, pid, "addr"))
	}
	slices.Sort(addresses)
	if got := n.addresses(); !slices.Equal(got, addresses) {
		t.Errorf("addresses of %s: %v, not %v", name, got, addresses)
	}
	for _, a := range n.Addresses {
		if a.Tentative && !strings.HasPrefix(a.Local, "fe80:") {
			t.Errorf("address %s of %s is not in use yet", a.Local, name)
		}
	}
	if !slices.Contains(n.Flags, "UP") || !slices.Contains(n.Flags, "LOWER_UP") {
		t.Errorf("flags of %s: %v", name, n.Flags)
	}
	return n
}

// view is all that can be seen of the network of a process: interfaces, addresses, routes, neighbours that somebody set.
// Addresses of one link alone are left out: they come and are detected for a second in their own time. So are the routes
// for multicast, which each interface has, in the order in which they came.
func view(t *testing.T, pid int) string {
	t.Helper()
	var b strings.Builder
	for _, what := range []string{
		"-oneline link", "-oneline addr", "-4 route show table all", "-6 route show table all", "rule", "neigh show nud permanent",
	} {
		b.WriteString(what + ":\n")
		for line := range strings.Lines(ip(t, pid, "%s", what)) {
			if !strings.Contains(line, "fe80::") && !strings.HasPrefix(line, "multicast ff00::/8") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// stable is a view without what a bridge or a card notices of its carrier a second later, and without what the kernel
// remembers of the past of a card that has come home: whether it was ever up, and that its addresses were in use at once.
func stable(view string) string {
	return strings.NewReplacer(" qdisc noop", " qdisc noqueue", " scope global nodad", " scope global",
		" linkdown", "", "NO-CARRIER,", "", ",LOWER_UP", "", " state UP", "", " state LOWERLAYERDOWN", "", " state DOWN", "", " state UNKNOWN", "").Replace(view)
}

// defaults are the default routes of a process, both families.
func defaults(t *testing.T, pid int) string {
	t.Helper()
	return ip(t, pid, "-4 route show default") + ip(t, pid, "-6 route show default")
}

// same fails the test when two views differ, and shows how.
func same(t *testing.T, what, before, after string) {
	t.Helper()
	if before == after {
		return
	}
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, line := range was {
		if !slices.Contains(is, line) {
			t.Errorf("%s: - %s", what, line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			t.Errorf("%s: + %s", what, line)
		}
	}
	if !t.Failed() {
		t.Errorf("%s: another order\n%s", what, after)
	}
}

// becomes is same for a view that needs a moment: the kernel notices a carrier, and what depends on one, up to a second later.
func becomes(t *testing.T, what, want string, now func() string) {
	t.Helper()
	got := now()
	for end := time.Now().Add(3 * time.Second); got != want && time.Now().Before(end); got = now() {
		time.Sleep(20 * time.Millisecond)
	}
	same(t, what, want, got)
}

// settled waits until the kernel has noticed every carrier in the network namespace of a process, in which all
// interfaces that are up have one, and has its addresses in use.
func settled(t *testing.T, pid int) {
	t.Helper()
	testenv.Eventually(t, 5*time.Second, "all interfaces have a carrier", func() bool {
		now := ip(t, pid, "-oneline link show up") + ip(t, pid, "-oneline addr")
		return !strings.Contains(now, "NO-CARRIER") && !strings.Contains(now, "state LOWERLAYERDOWN") && !strings.Contains(now, "state DOWN") &&
			!strings.Contains(now, "tentative")
	})
}

// ping sends one echo request from a process to each address: the first packet counts.
func ping(t *testing.T, pid int, to ...string) {
	t.Helper()
	for _, a := range to {
		testenv.Ping(t, pid, netip.MustParseAddr(a), 1)
	}
}

// bridge makes a bridge of the host with these addresses, and removes it when the test ends.
func bridge(t *testing.T, name string, addresses ...string) {
	t.Helper()
	ip(t, 0, "link add %s type bridge", name)
	t.Cleanup(func() { ip(t, 0, "link del %s", name) })
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ip(t, 0, "addr add %s dev %s", a, name)
	}
	ip(t, 0, "link set %s up", name)
}

// attached is an interface as nsnet ps shows it.
type attached struct {
	Target    string   `json:"target"`
	Interface string   `json:"interface"`
	State     string   `json:"state"`
	Addresses []string `json:"addresses"`
	PID       int      `json:"pid"`
}

// listed is what nsnet ps shows as attached.
func listed(t *testing.T) []attached {
	t.Helper()
	var res struct {
		Attached []attached `json:"attached"`
	}
	if err := json.Unmarshal([]byte(must(t, "ps --json")), &res); err != nil {
		t.Fatal(err)
	}
	return res.Attached
}
