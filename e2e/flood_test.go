package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// flooder sends frames as root of a node can, each with an address of its own: KIND, interface, the host's hardware address and address, and
// how many.
const flooder = `
import socket, struct, sys
kind, dev, mac, host, count = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3].replace(":", "")), sys.argv[4], int(sys.argv[5])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((dev, 0))
own = s.getsockname()[4]
def total(b):
    b += b"\0" * (len(b) % 2)
    n = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff
def icmp6(src, dst, body):
    body = body[:2] + struct.pack("!H", total(src + dst + struct.pack("!II", len(body), 58) + body)) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + src + dst + body
def ip4(src, dst, proto, body):
    h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, proto, 0, src, dst)
    return h[:10] + struct.pack("!H", total(h)) + h[12:] + body
def echo4(): 
    b = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    return b[:2] + struct.pack("!H", total(b)) + b[4:]
for i in range(count):
    n = struct.pack("!H", i + 256)
    if kind in ("arp", "tagged"):
        tags = b"\x81\x00\x00\x00" * 2 if kind == "tagged" else b""
        f = tags + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + own + b"\x0a\x41" + n + b"\0" * 6 + socket.inet_aton(host)
    elif kind == "nd":
        me, to = socket.inet_pton(socket.AF_INET6, "fe80::1:0")[:14] + n, socket.inet_pton(socket.AF_INET6, host)
        f = b"\x86\xdd" + icmp6(me, to, struct.pack("!BBHI", 135, 0, 0, 0) + to + b"\x01\x01" + own)
    elif kind == "nd-strange":
        me, to = socket.inet_pton(socket.AF_INET6, "2001:db8::")[:14] + n, socket.inet_pton(socket.AF_INET6, host)
        f = b"\x86\xdd" + icmp6(me, to, struct.pack("!BBHI", 135, 0, 0, 0) + to + b"\x01\x01" + own)
    elif kind == "source4":
        f = b"\x08\x00" + ip4(b"\x0a\x41" + n, socket.inet_aton(host), 1, echo4())
    elif kind == "source6":
        me, to = socket.inet_pton(socket.AF_INET6, "fd00:65::1:0")[:14] + n, socket.inet_pton(socket.AF_INET6, host)
        f = b"\x86\xdd" + icmp6(me, to, struct.pack("!BBHHH", 128, 0, 0, 1, 1))
    elif kind == "target4":
        f = b"\x08\x00" + ip4(b"\x0a\x41\x00\x02", socket.inet_aton(host)[:2] + n, 1, echo4())
    elif kind == "target6":
        me = socket.inet_pton(socket.AF_INET6, "fd00:65::2")
        f = b"\x86\xdd" + icmp6(me, socket.inet_pton(socket.AF_INET6, host)[:14] + n, struct.pack("!BBHHH", 128, 0, 0, 1, 1))
    elif kind == "ra": # a router that is the default one and has a prefix to take an address of; RFC 4861
        me, to = socket.inet_pton(socket.AF_INET6, "fe80::1:0")[:14] + n, socket.inet_pton(socket.AF_INET6, host)
        prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 3600, 3600, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8::")[:4] + n + b"\0" * 10
        f = b"\x86\xdd" + icmp6(me, to, struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\x01\x01" + own + prefix)
    try: s.send(mac + own + f)
    except OSError: pass
`

// hardwareOf is the hardware address of the host's interface with an address.
func hardwareOf(t *testing.T, address string) string {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		addrs, err := l.Addrs()
		if err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool { return a.String() == address }) {
			return l.HardwareAddr.String()
		}
	}
	t.Fatalf("no interface has %s", address)
	return ""
}

// FAULTS fault 19: whatever a node sends by the host's leg, the host comes to know a bounded number of neighbours by it, and the lab's own
// are among them all the time.
func TestFault19_NodeFloodsTheLeg(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		forwards(t)
		neighbour(t, "lan", 1)
		testenv.MustCommand(t, "ip", "address", "add", "10.67.0.1/16", "dev", "lan") // a network that is worth to be swept
		testenv.MustCommand(t, "ip", "address", "add", "fd00:67::1/64", "dev", "lan", "nodad")
		r := startText(t, `
nodes: {a: {}, b: {}, c: {}}
bridges:
  flat: {address: [10.65.0.1/16, "fd00:65::1/64"], nat: true}
  next: {address: [10.66.0.1/16, "fd00:66::1/64"]}
links:
  - {endpoints: ["a:eth0", flat], address: [10.65.0.2/16, "fd00:65::2/64"]}
  - {endpoints: ["b:eth0", flat], address: [10.65.0.3/16, "fd00:65::3/64"]}
  - {endpoints: ["c:eth0", next], address: [10.66.0.2/16, "fd00:66::2/64"]}
`)
		file := writeFile(t, t.TempDir(), "flood.py", flooder)
		testenv.Must(t, "cp", file, r.name+"/a:/tmp/flood.py")
		mac := hardwareOf(t, "10.65.0.1/16")
		// Of this network namespace alone: the table's size is the machine's.
		known := func() int { return strings.Count(testenv.MustCommand(t, "ip", "neigh", "show", "nud", "all"), "\n") }
		const flood = 800 // less than what the machine's table holds, for the sake of whoever sees this test fail
		for _, c := range []struct{ kind, host string }{
			{"arp", "10.65.0.1"}, {"tagged", "10.65.0.1"}, {"nd", "fd00:65::1"}, {"nd-strange", "fd00:65::1"}, {"source4", "10.65.0.1"}, {"source6", "fd00:65::1"},
			{"target4", "10.66.0.1"}, {"target6", "fd00:66::1"}, {"target4", "10.67.0.1"}, {"target6", "fd00:67::1"},
		} {
			bound := 150
			if strings.HasPrefix(c.kind, "target") { // what was asked for in vain stays for some seconds
				bound = 300
			}
			what := c.kind + " " + c.host
			r.sh("a", fmt.Sprintf("exec python3 /tmp/flood.py %s eth0 %s %s %d", c.kind, mac, c.host, flood))
			if n := known(); n > bound {
				t.Errorf("%s: the host knows %d neighbours", what, n)
			} else {
				t.Logf("%s: the host knows %d neighbours", what, n)
			}
			testenv.MustCommand(t, "ip", "neigh", "flush", "all")
			for _, to := range []string{"10.65.0.3", "fd00:65::3", "10.66.0.2", "fd00:66::2"} {
				pingFromHost(t, to)
			}
			for _, to := range []string{"10.65.0.1", "fd00:65::1", "203.0.1.2", "fd00:203:1::2"} {
				r.ping("b", to)
			}
			r.ping("a", "10.66.0.2")
			testenv.MustCommand(t, "ip", "neigh", "flush", "all")
		}
	})
}

// CVE-2020-13401: a node that advertises itself as a router becomes none of the host's, whatever the host does with new interfaces.
func TestNodeIsNoRouterOfTheHost(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes: {a: {}}
bridges: {flat: {address: [10.65.0.1/16, "fd00:65::1/64"]}}
links: [{endpoints: ["a:eth0", flat], address: [10.65.0.2/16, "fd00:65::2/64"]}]
`)
		testenv.Must(t, "cp", writeFile(t, t.TempDir(), "flood.py", flooder), r.name+"/a:/tmp/flood.py")
		look := func() string {
			return testenv.MustCommand(t, "sh", "-c", "ip -6 route show table all | sed 's/ expires .*//'; ip -o -6 address | sed 's/valid_lft.*//'")
		}
		before := look()
		r.sh("a", "exec python3 /tmp/flood.py ra eth0 33:33:00:00:00:01 ff02::1 50")
		pingFromHost(t, "fd00:65::2") // what was sent before it has arrived
		if after := look(); after != before {
			t.Errorf("the host had\n%s\nand has\n%s", before, after)
		}
	})
}
