package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/testenv"
)

// tracked is how many connections this network namespace tracks, or how many it could.
func tracked(t *testing.T, what string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_" + what)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// twoLegged is between with a node on both bridges, which has a route to the second one by the first.
func twoLegged(n int, more string) string {
	return strings.NewReplacer("nodes:\n", "nodes:\n  x: {}\n", "links:\n", fmt.Sprintf(`links:
  - {endpoints: ["x:eth0", one], address: [10.%[1]d.1.3/24, "fd00:%[1]d:1::3/64"]}
  - {endpoints: ["x:eth1", two], address: [10.%[1]d.2.3/24, "fd00:%[1]d:2::3/64"]}
`, n)).Replace(between(n, more))
}

// handshakes sends both sides of so many TCP connections through the host, from an interface to another: interfaces, addresses, the
// host's hardware addresses, how many.
const handshakes = `
import socket, struct, sys
devs, ips, macs, count = sys.argv[1:3], sys.argv[3:5], [bytes.fromhex(m.replace(":", "")) for m in sys.argv[5:7]], int(sys.argv[7])
socks = []
for d in devs:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((d, 0)); socks.append(s)
six = ":" in ips[0]
addr = [socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, i) for i in ips]
def total(b):
    n = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff
def send(at, sport, dport, seq, ack, flags):
    src, dst = addr[at], addr[1 - at]
    t = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 65535, 0, 0)
    pseudo = src + dst + (struct.pack("!II", len(t), 6) if six else struct.pack("!BBH", 0, 6, len(t)))
    t = t[:16] + struct.pack("!H", total(pseudo + t)) + t[18:]
    if six: h = struct.pack("!IHBB", 6 << 28, len(t), 6, 64) + src + dst
    else:
        h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(t), 0, 0x4000, 64, 6, 0, src, dst)
        h = h[:10] + struct.pack("!H", total(h)) + h[12:]
    try: socks[at].send(macs[at] + socks[at].getsockname()[4] + (b"\x86\xdd" if six else b"\x08\x00") + h + t)
    except OSError: pass
for i in range(count):
    sport, dport = 1024 + i % 60000, 80 + i // 60000
    send(0, sport, dport, 100, 0, 2)
    send(1, dport, sport, 200, 101, 18)
    send(0, sport, dport, 101, 201, 16)
`

// datagrams sends so many, a hundred from a port, each to another: an address, how many.
const datagrams = `
import socket, sys
to, count, sent = sys.argv[1], int(sys.argv[2]), 0
while sent < count:
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    for port in range(9, 9 + min(100, count - sent)):
        try: s.sendto(b"x", (to, port))
        except OSError: pass
        sent += 1
    s.close()
`

// scripts puts programs into a node.
func (r run) scripts(node string, texts map[string]string) {
	r.t.Helper()
	for name, text := range texts {
		testenv.Must(r.t, "cp", writeFile(r.t, r.t.TempDir(), name, text), r.name+"/"+node+":/tmp/"+name)
	}
}

// A node that sends both sides of connections through the host has it track none of them, and one that begins connections with others or the
// host itself has it track a bounded number; the host goes on to have its own. None is left after down.
func TestNodeFillsNoConnections(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		forwards(t)
		neighbour(t, "lan", 1)
		// A host that answers what it has asked for alone tracks what it gets and sends, and goes on to after the lab.
		testenv.MustCommand(t, "nft", "add table inet own; add chain inet own in { type filter hook input priority 0; }; add rule inet own in ct state invalid drop")
		atEnd(t, "nft", "delete table inet own")
		testenv.MustCommand(t, "ping", "-n", "-q", "-c", "1", "127.0.0.1")
		most, _ := bridge.Tracked(tracked(t, "max"))
		for _, more := range []string{"", ", nat: true"} {
			what := "a lab" + more
			r := startText(t, twoLegged(83, more))
			r.scripts("x", map[string]string{"handshakes.py": handshakes, "datagrams.py": datagrams})
			macs := hardwareOf(t, "10.83.1.1/24") + " " + hardwareOf(t, "10.83.2.1/24")
			for _, ips := range []string{"10.83.1.3 10.83.2.3", "fd00:83:1::3 fd00:83:2::3"} {
				before := tracked(t, "count")
				r.sh("x", fmt.Sprintf("exec python3 /tmp/handshakes.py eth0 eth1 %s %s 500", ips, macs))
				if n := tracked(t, "count"); n > before+50 {
					t.Errorf("%s: the host tracks %d connections more that a node has with itself", what, n-before)
				}
			}
			for _, to := range []string{"10.83.2.2", "fd00:83:2::2"} {
				r.ping("a", to)
			}
			targets := []string{"10.83.1.1", "fd00:83:1::1"}
			if more != "" {
				r.sh("x", "ip route replace default via 10.83.1.1; ip route replace ::/0 via fd00:83:1::1")
				targets = append(targets, "203.0.1.2", "fd00:203:1::2")
			}
			for _, to := range targets {
				r.sh("x", fmt.Sprintf("exec python3 /tmp/datagrams.py %s %d", to, most+most/4))
				if n := tracked(t, "count"); n > most+500 || n < most/4 {
					t.Errorf("%s: the host tracks %d connections after a node began more than %d with %s", what, n, most, to)
				} else {
					t.Logf("%s: %d of %d after %s", what, n, most, to)
				}
			}
			for _, to := range []string{"127.0.0.1", "203.0.1.2", "10.83.1.2"} {
				pingFromHost(t, to)
			}
			reaches(t, "lan", "203.0.1.1")
			if n := tracked(t, "count"); n < most*3/4 {
				t.Errorf("%s: the host tracks %d connections only before down", what, n)
			}
			testenv.Must(t, "down", r.name)
			if n := tracked(t, "count"); n > 500 {
				t.Errorf("%s: the host tracks %d connections after down", what, n)
			}
		}
	})
}

// tooBig says that a packet of the host was too big: an interface, the host's hardware address, who says so, the host's address that is told, and
// where from and to that packet was sent. It is an answer to an echo, of which the kernel keeps nothing to compare with.
const tooBig = `
import socket, struct, sys
dev, mac, me, host, sent, to = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), *sys.argv[3:7]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((dev, 0))
six = ":" in me
me, host, sent, to = [socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, a) for a in (me, host, sent, to)]
def total(b):
    n = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff
def packet(src, dst, body):
    if six: return struct.pack("!IHBB", 6 << 28, len(body), 58, 64) + src + dst + body
    h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0x4000, 64, 1, 0, src, dst)
    return h[:10] + struct.pack("!H", total(h)) + h[12:] + body
inner = packet(sent, to, struct.pack("!BBHHH", 129 if six else 0, 0, 0, 1, 1) + b"x" * 32)
b = (struct.pack("!BBHI", 2, 0, 0, 1290) if six else struct.pack("!BBHHH", 3, 4, 0, 0, 600)) + inner
b = b[:2] + struct.pack("!H", total((me + host + struct.pack("!II", len(b), 58) if six else b"") + b)) + b[4:]
s.send(mac + s.getsockname()[4] + (b"\x86\xdd" if six else b"\x08\x00") + packet(me, host, b))
`

// The host believes a node what the way into the lab bears, and not what that to others does.
func TestNodeSetsNoPathOfTheHost(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		forwards(t)
		neighbour(t, "lan", 1)
		// The machine beside the host has an address that the file says to be behind a router of the lab, too.
		testenv.MustCommand(t, "ip", "route", "add", "8.8.8.0/24", "via", "203.0.1.2")
		r := startText(t, strings.NewReplacer("bridges:\n", "bridges:\n  far: {subnet: 8.8.8.0/24}\n", "links:\n", "links:\n  - {endpoints: [\"b:eth1\", far], address: 8.8.8.9/24}\n").Replace(between(84, "")))
		r.scripts("a", map[string]string{"toobig.py": tooBig})
		mac := hardwareOf(t, "10.84.1.1/24")
		say := func(args string) { t.Helper(); r.sh("a", "exec python3 /tmp/toobig.py eth0 "+mac+" "+args) }
		way := func(to string) string { t.Helper(); return testenv.MustCommand(t, "ip", "route", "get", to) }
		say("10.84.1.2 10.84.1.1 203.0.1.1 203.0.1.2")
		say("10.84.1.2 203.0.1.1 203.0.1.1 203.0.1.2")
		say("fd00:84:1::2 fd00:84:1::1 fd00:203:1::1 fd00:203:1::2")
		say("10.84.1.2 10.84.1.1 203.0.1.1 8.8.8.8")
		say("10.84.1.2 10.84.1.1 10.84.2.1 10.84.2.2") // the last of each: what was said before is heard before it
		say("fd00:84:1::2 fd00:84:1::1 fd00:84:2::1 fd00:84:2::2")
		for _, to := range []string{"10.84.2.2", "fd00:84:2::2"} {
			testenv.Eventually(t, 2*time.Second, "the host keeps to what the way to "+to+" bears", func() bool { return strings.Contains(way(to), "mtu ") })
		}
		for _, to := range []string{"203.0.1.2", "fd00:203:1::2", "8.8.8.8"} {
			if got := way(to); strings.Contains(got, "mtu ") {
				t.Errorf("a node has said what the way to %s bears: %s", to, got)
			}
		}
	})
}

// strangers sends frames, each from a hardware address of its own: an interface, how many.
const strangers = `
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0))
for i in range(int(sys.argv[2])):
    try: s.send(b"\x02\xff" + b"\0" * 4 + b"\x02\xee" + struct.pack("!I", i) + b"\x88\xb5" + b"\0" * 46)
    except OSError: pass
`

// A lab's bridge learns a bounded number of addresses, and goes on to deliver.
func TestBridgeLearnsNotAll(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, between(85, ""))
		r.scripts("a", map[string]string{"strangers.py": strangers})
		r.sh("a", fmt.Sprintf("exec python3 /tmp/strangers.py eth0 %d", bridge.Learned+1000))
		n := strings.Count(testenv.MustCommand(t, "ip", "netns", "exec", r.name, "bridge", "fdb", "show", "br", "one"), "\n")
		if !bridge.BoundsLearning() { // before Linux 6.6
			t.Logf("the kernel has no bound: %d addresses", n)
		} else if n < bridge.Learned || n > bridge.Learned+100 {
			t.Errorf("the bridge knows %d addresses", n)
		}
		r.ping("a", "10.85.1.1")
		r.ping("b", "10.85.2.1")
		r.ping("a", "10.85.2.2")
	})
}
