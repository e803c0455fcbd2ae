package e2e

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// What up refuses is refused by plan and by a dry run: in the same words, with the same exit code, and with nothing left behind.
func TestPlanForesees(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		u, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		tcp := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		udp := strconv.Itoa(u.LocalAddr().(*net.UDPAddr).Port)
		hostBridge(t, "hostbr", "1500")
		testenv.MustCommand(t, "ip", "address", "add", "10.61.0.1/24", "dev", "hostbr")
		hostBridge(t, "downbr", "1500")
		testenv.MustCommand(t, "ip", "link", "set", "downbr", "down")
		if err := os.MkdirAll("/run/netns", 0o755); err != nil {
			t.Fatal(err)
		}
		for _, ns := range []string{name, name + "t.taken"} {
			path := writeFile(t, "/run/netns", ns, "")
			defer func() { _ = os.Remove(path) }()
		}
		if err := os.MkdirAll("/etc/netns/"+name+"q.named", 0o755); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll("/etc/netns/" + name + "q.named") }()
		writeFile(t, "/etc/netns/"+name+"q.named", "resolv.conf", "nameserver 192.0.2.1\n")
		const other = "nodes: {a: {}}\nbridges: {lan0: {address: 10.62.0.1/24}}\nlinks: [{endpoints: ['a:eth0', lan0]}]\n"
		startAs(t, name+"o", writeFile(t, dir, "other.yaml", other))
		running := name + "r"
		startAs(t, running, writeFile(t, dir, "running.yaml", "nodes: {a: {}}\n"))

		for _, c := range []struct {
			what, lab, text string
			code            int
			want            string
		}{
			{"a subnet of the host", "", strings.ReplaceAll(other, "10.62", "10.61"), 5, "hostbr already"},
			{"another lab's subnet", "", other, 5, "leg to bridge lan0 of lab " + name + "o"},
			{"a TCP port", "", "nodes: {a: {ports: ['127.0.0.1:" + tcp + ":80']}}\n", 5, "address already in use"},
			{"a UDP port", "", "nodes: {a: {ports: ['127.0.0.1:" + udp + ":80/udp']}}\n", 5, "address already in use"},
			{"a port at an address of nobody", "", "nodes: {a: {ports: ['192.0.2.7:" + tcp + ":80']}}\n", 1, "cannot assign"},
			{"no external bridge", "", strings.ReplaceAll(onHostBridge, "BRIDGE", "nobr"), 4, "no bridge of that name"},
			{"an external bridge that is down", "", strings.ReplaceAll(onHostBridge, "BRIDGE", "downbr"), 1, "bridge of the host is down"},
			{"a lab's name", name, "nodes: {a: {}}\n", 5, "taken by a network namespace"},
			{"a node's name", name + "t", "nodes: {taken: {}}\n", 5, "taken by a network namespace"},
			{"a resolv.conf", name + "q", "nodes: {named: {dns: {nameservers: [192.0.2.2]}}}\n", 5, "resolv.conf"},
			{"the host's root as a copy", "", "nodes: {a: {storage: copy, layers: ['" + dir + "']}}\n", 3, "host's root"},
			{"a subnet of a lab that runs", running, strings.ReplaceAll(other, "10.62", "10.61"), 5, "hostbr already"},
			{"a port of a lab that runs", running, "nodes: {a: {ports: ['127.0.0.1:" + tcp + ":80']}}\n", 5, "address already in use"},
			{"a sysctl of a lab that runs", running, "nodes: {a: {sysctls: {net.ipv4.no_such: 1}}}\n", 7, "no such sysctl"},
			{"a bridge of a lab that runs", running, strings.ReplaceAll(onHostBridge, "BRIDGE", "downbr"), 1, "bridge of the host is down"},
		} {
			lab := c.lab
			if lab == "" {
				lab = name + "x"
			}
			file := writeFile(t, dir, "lab.yaml", c.text)
			up := testenv.Run(t, "up", "--name", lab, file)
			if up.Code != c.code || !strings.Contains(up.Stderr, c.want) {
				t.Errorf("%s: up: %+v", c.what, up)
			}
			for _, args := range [][]string{{"plan"}, {"up", "--dry-run"}} {
				if got := testenv.Run(t, append(args, "--name", lab, file)...); got.Code != up.Code || lastLine(got.Stderr) != lastLine(up.Stderr) || got.Stdout != "" {
					t.Errorf("%s: %s: %+v, and up: %+v", c.what, strings.Join(args, " "), got, up)
				}
			}
		}

		// What comes with the lab is in nobody's way: an address of a bridge's, and what the lab has itself.
		text := strings.Replace(strings.ReplaceAll(other, "10.62", "10.63"), "a: {}", "a: {ports: ['10.63.0.1:8080:80']}", 1)
		fits := writeFile(t, dir, "fits.yaml", text)
		if got := testenv.Run(t, "plan", "--name", name+"f", fits); got.Code != 10 || strings.Contains(got.Stderr, "nsnet:") {
			t.Errorf("plan of what can be: %+v", got)
		}
		startAs(t, name+"f", fits)
		if got := testenv.Run(t, "plan", "--name", name+"f", fits); got.Code != 0 || strings.Contains(got.Stderr, "nsnet:") {
			t.Errorf("plan of what is up: %+v", got)
		}
	})
}
