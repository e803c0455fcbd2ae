package topology

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustParse(t testing.TB, text string) *Lab {
	t.Helper()
	lab, err := Parse("/labs/lab.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// addressesAreEqual lets cmp compare what has unexported fields.
var addressesAreEqual = cmp.Options{
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

func TestNodeKeys(t *testing.T) {
	lab := mustParse(t, `
name: t
nodes:
  a:
    image: dir:./root
    hostname: a.test
    command: [sleep, 012, true]
    env: {B: 1.10, A: "x y"}
    workdir: /srv
    user: 1000:1000
    binds: ["./f:/f", "./g:/g/:rw", "/h:/h:rw,idmap", "i:/i:ro"]
    tmpfs: [/t, "/u/../v:size=64MiB,mode=0755"]
    sysctls: {net.ipv4.ip_forward: 1, kernel.msgmax: 9, fs.mqueue.msg_max: 8}
    caps: [sys_admin, -CAP_NET_RAW, BPF]
    privileged: true
    seccomp: unconfined
    nnp: false
    tun: true
    dns: {nameservers: [8.8.8.8, "2001:4860:4860::8888"], search: [lab.test], options: ["ndots:1"]}
    hosts: ["10.0.0.9   db  db.test"]
    routes: [{to: "fd00:9::/64", dev: eth0, metric: 5}]
    limits: {cpu: 0.2, cpu_weight: 50, memory: 64M, pids: 256, io: [{device: 8:0, read_bps: 1MiB, write_iops: 100}]}
    ports: ["8080:80", "0.0.0.0:53:5353/udp", "[::1]:81:81"]
  b:
    command: while :; do sleep 1; done
  c:
bridges: {l: }
links: [{endpoints: [l, "a:eth0"]}]
`)
	a := Node{
		Name: "a", Image: Image{Kind: ImageDir, Path: "/labs/root"}, Hostname: "a.test",
		Command: []string{"sleep", "012", "true"}, Env: []string{"A=x y", "B=1.10"},
		Workdir: "/srv", User: "1000:1000",
		Binds:   []Bind{{"/labs/f", "/f", true, true}, {"/labs/g", "/g", false, false}, {"/h", "/h", false, true}, {"/labs/i", "/i", true, true}},
		Tmpfs:   []Tmpfs{{"/t", 0, 0o1777}, {"/v", 64 << 20, 0o755}},
		Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "9", "fs.mqueue.msg_max": "8"},
		Caps:    Caps{Add: []string{"BPF", "SYS_ADMIN"}, Drop: []string{"NET_RAW"}}, Privileged: true,
		Seccomp: "unconfined", Tun: true,
		DNS:    &DNS{[]string{"8.8.8.8", "2001:4860:4860::8888"}, []string{"lab.test"}, []string{"ndots:1"}},
		Hosts:  []string{"10.0.0.9 db db.test"},
		Routes: []Route{{To: netip.MustParsePrefix("fd00:9::/64"), Dev: "eth0", Metric: 5}},
		Limits: Limits{CPU: 0.2, CPUWeight: 50, Memory: 64 << 20, Pids: 256, IO: []IOLimit{{Device: "8:0", ReadBPS: 1 << 20, WriteIOPS: 100}}},
		Ports: []Port{{netip.MustParseAddr("127.0.0.1"), 8080, 80, "tcp"}, {netip.MustParseAddr("0.0.0.0"), 53, 5353, "udp"},
			{netip.MustParseAddr("::1"), 81, 81, "tcp"}},
	}
	b := Node{Name: "b", Image: Image{Kind: ImageHost}, Hostname: "b", Command: []string{"/bin/sh", "-c", "while :; do sleep 1; done"},
		Seccomp: "default", NoNewPrivs: true}
	c := Node{Name: "c", Image: Image{Kind: ImageHost}, Hostname: "c", Seccomp: "default", NoNewPrivs: true}
	if diff := cmp.Diff([]Node{a, b, c}, lab.Nodes, addressesAreEqual); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if lab.Dir != "/labs" || lab.Name != "t" {
		t.Errorf("name %s, directory %s", lab.Name, lab.Dir)
	}
	data, err := json.Marshal(lab)
	if err != nil {
		t.Fatal(err)
	}
	var back Lab
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	lab.Paths, lab.AskedAt = nil, nil // of the file that was read, and of nobody's record
	if diff := cmp.Diff(lab, &back, addressesAreEqual); diff != "" {
		t.Errorf("through JSON: (-want +got)\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	lab := mustParse(t, `
name: t
defaults:
  image: dir:/r
  command: [a]
  env: {A: 1, B: 1}
  binds: ["./f:/f"]
  sysctls: {net.a: 1, net.b: 1}
  limits: {cpu: 1, memory: 64M}
  dns: {search: [x], nameservers: [10.0.0.1]}
  caps: [BPF]
  nnp: false
nodes:
  n: {}
  o:
    image: host
    command: []
    env: {B: 2, C: 2}
    binds: []
    sysctls: {net.b: 2}
    limits: {cpu: 2, pids: 50}
    dns: {search: []}
    caps: [PERFMON]
    nnp: true
`)
	n := Node{Name: "n", Hostname: "n", Image: Image{Kind: ImageDir, Path: "/r"}, Command: []string{"a"}, Env: []string{"A=1", "B=1"},
		Binds: []Bind{{"/labs/f", "/f", true, true}}, Sysctls: map[string]string{"net.a": "1", "net.b": "1"},
		Limits: Limits{CPU: 1, Memory: 64 << 20}, DNS: &DNS{Search: []string{"x"}, Nameservers: []string{"10.0.0.1"}},
		Caps: Caps{Add: []string{"BPF"}}, Seccomp: "default"}
	o := Node{Name: "o", Hostname: "o", Image: Image{Kind: ImageHost}, Env: []string{"A=1", "B=2", "C=2"},
		Sysctls: map[string]string{"net.a": "1", "net.b": "2"}, Limits: Limits{CPU: 2, Memory: 64 << 20, Pids: 50},
		DNS: &DNS{Nameservers: []string{"10.0.0.1"}}, Caps: Caps{Add: []string{"PERFMON"}}, Seccomp: "default", NoNewPrivs: true}
	if diff := cmp.Diff([]Node{n, o}, lab.Nodes, addressesAreEqual); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// ends lists all addresses as "node:interface address... > peer...".
func ends(lab *Lab) []string {
	var out []string
	for _, l := range lab.Links {
		for _, e := range []Endpoint{l.A, l.B} {
			if e.Node == "" {
				continue
			}
			s := e.Node + ":" + e.Interface
			for _, a := range e.Addresses {
				s += " " + a.String()
			}
			for _, p := range e.Peers {
				s += " > " + p.String()
			}
			out = append(out, s)
		}
	}
	return out
}

func TestAddresses(t *testing.T) {
	const nodes = "name: t\nnodes: {a: , b: , c: , d: }\n"
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"pool, fixed ones set aside": {`
bridges: {l: {address: [10.0.0.2/24, "fd00::1/64"]}}
links:
  - endpoints: ["a:e", l]
  - endpoints: [l, "b:e"]
  - endpoints: ["c:e", l]
    address: 10.0.0.3/24
  - endpoints: [{node: d, interface: e, addresses: ["fd00::2/64", 10.0.0.9/24]}, {bridge: l}]`,
			[]string{"a:e 10.0.0.1/24 fd00::3/64", "b:e 10.0.0.4/24 fd00::4/64", "c:e 10.0.0.3/24 fd00::5/64", "d:e fd00::2/64 10.0.0.9/24"}},
		"subnet alone, none asked for, several": {`
bridges: {l: {subnet: 10.0.0.0/24}}
links:
  - {endpoints: ["a:e", l], addresses: []}
  - {endpoints: ["b:e", l], addresses: [10.0.0.7/24, 10.0.0.8/24, "fe80::5/64"]}
  - {endpoints: ["c:e", l], addresses: ["fe80::5/64"]}
  - {endpoints: ["d:e", l], addresses: "fd00::1/64"}`,
			[]string{"a:e", "b:e 10.0.0.7/24 10.0.0.8/24 fe80::5/64", "c:e fe80::5/64 10.0.0.1/24", "d:e fd00::1/64 10.0.0.2/24"}},
		"no pool": {`
bridges: {l: }
links:
  - endpoints: ["a:e", l]
  - {endpoints: ["b:e", l], address: 10.0.0.7/24}
  - {endpoints: ["c:e", l], address: 10.9.0.7/32}`,
			[]string{"a:e", "b:e 10.0.0.7/24", "c:e 10.9.0.7/32"}},
		"external": {`
bridges: {docker0: {external: true, subnet: 172.17.0.0/16}}
links: [{endpoints: ["a:e", docker0]}]`,
			[]string{"a:e 172.17.0.1/16"}},
		"31 and 127 on a bridge": {`
bridges: {l: {subnet: [10.0.0.0/31, "fd00::/127"]}}
links: [{endpoints: ["a:e", l]}, {endpoints: ["b:e", l]}]`,
			[]string{"a:e 10.0.0.0/31 fd00::/127", "b:e 10.0.0.1/31 fd00::1/127"}},
		"an address of the pool is fixed elsewhere": {`
bridges: {l: {subnet: 10.0.0.0/24}}
links:
  - endpoints: ["a:e", l]
  - {endpoints: ["a:p", "b:p"], addresses: [10.0.0.1/32, 10.0.0.2/32]}`,
			[]string{"a:e 10.0.0.3/24", "a:p 10.0.0.1/32 > 10.0.0.2/32", "b:p 10.0.0.2/32 > 10.0.0.1/32"}},
		"pairs": {`
links:
  - {endpoints: ["a:1", "b:1"], addresses: [10.1.1.1/32, 10.1.1.2/32]}
  - {endpoints: ["a:2", "b:2"], addresses: [[10.2.1.1/32, "fd00::1/128"], [10.2.1.2/32, "fd00::2/128"]]}
  - {endpoints: ["a:3", "b:3"], addresses: [10.3.1.0/31, 10.3.1.1/31]}
  - {endpoints: ["a:4", "b:4"], addresses: ["fd00:4::/127", "fd00:4::1/127"]}
  - {endpoints: ["a:5", "b:5"], addresses: [10.5.0.1/32, "fd00:5::1/128"]}
  - endpoints: ["a:6", "b:6"]
  - endpoints: [{node: a, interface: "7", addresses: 10.7.0.1/32}, {node: b, interface: "7", addresses: [10.7.0.2/24]}]
  - {endpoints: ["a:8", "a:9"], addresses: [10.8.0.1/32, 10.8.0.2/32]}`,
			[]string{"a:1 10.1.1.1/32 > 10.1.1.2/32", "b:1 10.1.1.2/32 > 10.1.1.1/32",
				"a:2 10.2.1.1/32 fd00::1/128 > 10.2.1.2/32 > fd00::2/128", "b:2 10.2.1.2/32 fd00::2/128 > 10.2.1.1/32 > fd00::1/128",
				"a:3 10.3.1.0/31", "b:3 10.3.1.1/31", "a:4 fd00:4::/127", "b:4 fd00:4::1/127",
				"a:5 10.5.0.1/32", "b:5 fd00:5::1/128", "a:6", "b:6",
				"a:7 10.7.0.1/32 > 10.7.0.2/32", "b:7 10.7.0.2/24",
				"a:8 10.8.0.1/32 > 10.8.0.2/32", "a:9 10.8.0.2/32 > 10.8.0.1/32"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ends(mustParse(t, nodes+tc.text))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	lab := mustParse(t, `
name: t
nodes:
  first: {}
  own: {routes: [{to: default, via: 10.1.0.9}, {to: 10.9.0.0/16, via: 10.1.0.1, metric: 3}]}
  none: {}
  six: {routes: [{to: 192.0.2.1, dev: e}, {to: 0.0.0.0/0, via: 192.0.2.1, dev: e}]}
  peer: {routes: [{to: default, via: 10.7.0.2}]}
bridges:
  g1: {address: [10.1.0.1/24, "fd00:1::1/64"]}
  g2: {address: 10.2.0.1/24}
  quiet: {subnet: 10.3.0.0/24}
links:
  - endpoints: ["first:q", quiet]
  - endpoints: ["first:e2", g2]
  - endpoints: ["first:e1", g1]
  - endpoints: ["own:e", g1]
  - {endpoints: ["none:e", g1], addresses: []}
  - {endpoints: ["six:e", g1], addresses: "fd00:1::66/64"}
  - {endpoints: ["peer:p", "none:p"], addresses: [10.7.0.1/32, 10.7.0.2/32]}
`)
	want := map[string][]string{
		"first": {"0.0.0.0/0 10.2.0.1  0", "::/0 fd00:1::1  0"},
		"own":   {"0.0.0.0/0 10.1.0.9  0", "10.9.0.0/16 10.1.0.1  3", "::/0 fd00:1::1  0"},
		"none":  nil,
		"six":   {"192.0.2.1/32 invalid IP e 0", "0.0.0.0/0 192.0.2.1 e 0", "::/0 fd00:1::1  0"},
		"peer":  {"0.0.0.0/0 10.7.0.2  0"},
	}
	for _, n := range lab.Nodes {
		var got []string
		for _, r := range n.Routes {
			got = append(got, fmt.Sprint(r.To, " ", r.Via, " ", r.Dev, " ", r.Metric))
		}
		if diff := cmp.Diff(want[n.Name], got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", n.Name, diff)
		}
	}
}

// A node that has IPv6 turned off, by its own sysctls or the defaults, gets no address of an IPv6 pool, nor a route.
func TestIPv6Off(t *testing.T) {
	lab := mustParse(t, `
name: t
defaults: {sysctls: {net.ipv6.conf.all.disable_ipv6: 1}}
nodes: {a: , b: {sysctls: {net.ipv6.conf.all.disable_ipv6: 0}}, c: {sysctls: {net.ipv6.conf.all.disable_ipv6: 0, net.ipv6.conf.e1.disable_ipv6: 1}}}
bridges: {l: {address: ["fd00::1/64", 10.0.0.1/24]}}
links:
  - endpoints: ["a:e0", l]
  - endpoints: ["b:e0", l]
  - endpoints: ["c:e0", l]
  - endpoints: ["c:e1", l]
`)
	want := map[string]string{"a:e0": "[10.0.0.2/24]", "b:e0": "[10.0.0.3/24 fd00::2/64]", "c:e0": "[10.0.0.4/24 fd00::3/64]", "c:e1": "[10.0.0.5/24]"}
	got := map[string]string{}
	for _, l := range lab.Links {
		got[l.A.Node+":"+l.A.Interface] = fmt.Sprint(l.A.Addresses)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if routes := lab.Nodes[0].Routes; len(routes) != 1 {
		t.Errorf("node a has the routes %v", routes)
	}
}

func TestBridgesAndMTU(t *testing.T) {
	lab := mustParse(t, `
name: t
nodes: {a: , b: }
bridges:
  l: {address: ["fd00::1/64", 10.0.0.1/24], nat: true, stp: true, mtu: 9000}
  s: {subnet: ["fd01::/64", 10.1.0.0/24]}
  x: {external: true, address: 172.17.0.1/16}
links:
  - endpoints: ["a:0", l]
  - {endpoints: ["a:1", l], mtu: 1400}
  - endpoints: [s, {node: a, interface: "2", mtu: 1300, mac: 02-00-00-00-00-FF}]
  - {endpoints: ["a:3", {node: b, interface: "3", mtu: 1280}], mtu: 65535}
`)
	want := []Bridge{
		{Name: "l", Addresses: prefixes("fd00::1/64", "10.0.0.1/24"), Subnets: prefixes("10.0.0.0/24", "fd00::/64"), NAT: true, STP: true, MTU: 9000},
		{Name: "s", Subnets: prefixes("10.1.0.0/24", "fd01::/64"), MTU: 1500},
		{Name: "x", Addresses: prefixes("172.17.0.1/16"), Subnets: prefixes("172.17.0.0/16"), MTU: 1500, External: true},
	}
	for i := range lab.Bridges {
		b := &lab.Bridges[i]
		if (b.MAC == "") != b.External || (b.HostMAC == "") != (b.External || len(b.Addresses) == 0) {
			t.Errorf("bridge %s: MAC %q, host MAC %q", b.Name, b.MAC, b.HostMAC)
		}
		b.MAC, b.HostMAC = "", ""
	}
	if diff := cmp.Diff(want, lab.Bridges, addressesAreEqual); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var mtus []int
	for _, l := range lab.Links {
		mtus = append(mtus, l.A.MTU, l.B.MTU)
	}
	if diff := cmp.Diff([]int{9000, 0, 1400, 0, 1300, 0, 65535, 1280}, mtus); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := lab.Links[2].A.MAC; got != "02:00:00:00:00:ff" {
		t.Errorf("MAC %s", got)
	}
	if got := lab.Links[2].B; got.Bridge != "s" || got.Node != "" {
		t.Errorf("port %+v", got)
	}
}

func TestAliasesAndMerges(t *testing.T) {
	lab := mustParse(t, `
name: t
defaults: {env: &env {A: 1}}
nodes:
  a: &a {hostname: h, env: {B: 2}, tun: true}
  b: {<<: *a, hostname: i}
  c: {env: {<<: [*env, {A: 3, C: 3}]}}
  d: *a
`)
	var got []string
	for _, n := range lab.Nodes {
		got = append(got, fmt.Sprint(n.Name, n.Hostname, n.Env, n.Tun))
	}
	want := []string{"ah[A=1 B=2] true", "bi[A=1 B=2] true", "cc[A=1 C=3] false", "dh[A=1 B=2] true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNameOverride(t *testing.T) {
	text := "name: t\nnodes: {a: , b: }\nlinks: [{endpoints: ['a:e', 'b:e']}]"
	first := mustParse(t, text)
	lab, err := Parse("lab.yaml", []byte(text), Options{NameOverride: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if lab.Name != "other" || lab.Links[0].A.MAC == first.Links[0].A.MAC {
		t.Errorf("lab %s, MAC %s as before", lab.Name, lab.Links[0].A.MAC)
	}
	if wd, err := filepath.Abs("."); err != nil || lab.Dir != wd {
		t.Errorf("directory %s", lab.Dir)
	}
	if _, err := Parse("lab.yaml", []byte(strings.TrimPrefix(text, "name: t\n")), Options{NameOverride: "x"}); err != nil {
		t.Errorf("no name but an override: %v", err)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "7": 7, "12B": 12, "512k": 512 << 10, "64M": 64 << 20, "64MiB": 64 << 20, "64mib": 64 << 20, "1G": 1 << 30,
		"1.5G": 3 << 29, "2T": 2 << 40, "64MB": 64e6, "1kB": 1000, "64 MiB": 64 << 20,
		"": -1, "M": -1, "-1": -1, "1X": -1, "1Mi": -1, "1MiBs": -1, "1.2.3": -1, "99999999999G": -1, "9223372036854775808": -1, "1e3": -1,
		"1125899906842624": 1 << 50, "1024T": 1 << 50, "1125899906842625": -1, "1024.1T": -1, "8388608T": -1, "9999999.9T": -1,
	} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d (%v), want %d", text, got, err, want)
		}
	}
}

func TestSimilar(t *testing.T) {
	names := []string{"image", "hostname", "command", "env", "binds", "dns", "nat"}
	for word, want := range map[string]string{
		"imgae": "image", "Image": "image", "hosntame": "hostname", "commands": "command", "ens": "env", "x": "", "dsn": "dns",
		"volumes": "", "image": "", "host_name": "hostname", "NAT": "nat", strings.Repeat("x", 100): "",
	} {
		if got := similar(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
