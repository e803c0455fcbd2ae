package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

func checkDemo(t *testing.T, r run) {
	for _, to := range []string{"-4 web", "-6 web", "10.77.0.1", "fd00:77::1"} {
		r.ping("client", to)
	}
	r.ping("web", "-4 client")
	for _, to := range []string{"10.77.0.2", "10.77.0.3", "fd00:77::2", "fd00:77::3"} {
		pingFromHost(t, to)
	}
	if got := testenv.Must(t, "ps", r.name, "--quiet"); got != r.name+"/web\n"+r.name+"/client\n" {
		t.Errorf("ps --quiet: %q", got)
	}
	if again := testenv.Run(t, "up", examplesDir+"/demo.yaml", "--name", r.name); again.Code != 0 {
		t.Errorf("the same up again: exit code %d: %s", again.Code, again.Stderr)
	}
}

func checkPair(t *testing.T, r run) {
	r.ping("ns1", "10.1.1.2")
	r.ping("ns2", "10.1.1.1")
	for node, want := range map[string]string{"ns1": "10.1.1.2 dev A", "ns2": "10.1.1.1 dev B"} {
		if got := r.sh(node, "ip -4 route"); !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("routes of %s are not the other end's alone:\n%s", node, got)
		}
	}
	if got := r.sh("ns1", "ip -4 -o address show dev A"); !strings.Contains(got, "10.1.1.1/32") && !strings.Contains(got, "10.1.1.1 ") {
		t.Errorf("address of A: %s", got)
	}
}

func checkRouters(t *testing.T, r run) {
	for _, to := range []string{"10.0.2.2", "fd00:2::2"} {
		if got := r.ping("h1", to); !strings.Contains(got, "ttl=61 ") {
			t.Errorf("three routers do not count in the time to live:\n%s", got)
		}
	}
	for _, to := range []string{"10.0.1.2", "fd00:1::2"} {
		if got := r.ping("h2", to); !strings.Contains(got, "ttl=61 ") {
			t.Errorf("three routers do not count in the time to live:\n%s", got)
		}
	}
	for hops, router := range map[int][2]string{
		1: {"10.0.1.1", "fd00:1::1"}, 2: {"10.0.12.1", "fd00:12::1"}, 3: {"10.0.23.1", "fd00:23::1"},
	} {
		for i, to := range []string{"10.0.2.2", "fd00:2::2"} {
			res := r.exec("h1", "ping", "-n", "-c", "1", "-W", "1", "-t", fmt.Sprint(hops), to)
			if res.Code == 0 || !strings.Contains(res.Stdout, "From "+router[i]+" ") {
				t.Errorf("ping of %d hops does not end at %s: exit code %d\n%s", hops, router[i], res.Code, res.Stdout)
			}
		}
	}
}

func checkStar(t *testing.T, r run) {
	// The nodes do not report their multicast groups a second time when all is up: that would be
	// one of each here, and a million packets in a star of a thousand.
	const count = "awk '/^Ip6InMcastPkts/ {print $2}' /proc/net/snmp6"
	got := r.sh("n001", "sleep 0.3; before=$("+count+"); sleep 1; echo $(($("+count+") - before))")
	if n, err := strconv.Atoi(got); err != nil || n > 50 {
		t.Errorf("%s multicast packets reached an idle node, error %v", got, err)
	}
	if n := len(r.status().Nodes); n != 100 {
		t.Errorf("ps lists %d nodes", n)
	}
	for _, ends := range [][2]string{{"n001", "n100"}, {"n100", "n001"}, {"n050", "n051"}} {
		r.ping(ends[0], "-4 "+ends[1])
		r.ping(ends[0], "-6 "+ends[1])
	}
	for i := 1; i <= 100; i += 11 {
		pingFromHost(t, fmt.Sprintf("10.99.0.%d", i+1))
		pingFromHost(t, fmt.Sprintf("fd00:99::%x", i+1))
	}
	hosts := r.sh("n042", "cat /etc/hosts")
	for i := 1; i <= 100; i++ {
		for _, line := range []string{fmt.Sprintf("\n10.99.0.%d n%03d", i+1, i), fmt.Sprintf("\nfd00:99::%x n%03d", i+1, i)} {
			if !strings.Contains(hosts, line) {
				t.Errorf("/etc/hosts lacks %q", line[1:])
			}
		}
	}
}

func checkDocker0(t *testing.T, r run) {
	r.ping("ns1", "192.168.10.1")
	pingFromHost(t, "192.168.10.11")
	if got := r.sh("ns1", "ip -4 -o address show dev eth0"); !strings.Contains(got, "192.168.10.11/24") {
		t.Errorf("address of eth0: %s", got)
	}
	if got := r.sh("ns1", "ip route show default"); !strings.HasPrefix(got, "default via 192.168.10.1 dev eth0") {
		t.Errorf("default route: %q", got)
	}
	if got := r.sh("ns1", "cat /etc/resolv.conf"); !strings.Contains(got, "nameserver 8.8.8.8") {
		t.Errorf("resolv.conf of the node:\n%s", got)
	}
	if got := testenv.MustCommand(t, "ip", "netns", "exec", r.name+".ns1", "cat", "/etc/resolv.conf"); !strings.Contains(got, "nameserver 8.8.8.8") {
		t.Errorf("resolv.conf for ip netns exec:\n%s", got)
	}
	if got := testenv.MustCommand(t, "ip", "-n", r.name, "-d", "link", "show", "br0"); !strings.Contains(got, "stp_state 0") {
		t.Errorf("the bridge in the fabric does not have stp off:\n%s", got)
	}

	outside := netns(t, "outside", "203.0.113.1/24", "203.0.113.2/24")
	r.ping("ns1", "203.0.113.2")
	if got := testenv.MustCommand(t, "ip", "-n", "outside", "route"); strings.Contains(got, "192.168.10") || strings.Contains(got, "default") {
		t.Fatalf("the machine outside has a way to the lab, which proves nothing:\n%s", got)
	}
	seen := listen(t, outside, "203.0.113.2:7")
	r.sh("ns1", "exec bash -c 'exec 3<>/dev/tcp/203.0.113.2/7; cat <&3 >/dev/null'")
	if got := <-seen; got != "203.0.113.1" {
		t.Errorf("the machine outside saw %s, not the host's address", got)
	}
	testenv.MustCommand(t, "sh", "-c", "! ping -n -c 1 -W 1 -I 203.0.113.1 192.168.10.99")
	if forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); err != nil || strings.TrimSpace(string(forward)) != "2" {
		t.Errorf("forwarding of the host is %q: %v", forward, err)
	}
}

// listen accepts one TCP connection in a network namespace and tells its peer's address.
func listen(t *testing.T, netns, address string) <-chan string {
	t.Helper()
	var l net.Listener
	within(t, netns, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	t.Cleanup(func() { _ = l.Close() })
	seen := make(chan string, 1)
	go func() {
		defer close(seen)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		seen <- conn.RemoteAddr().(*net.TCPAddr).IP.String()
		_, _ = io.WriteString(conn, "hello\n")
	}()
	return seen
}
