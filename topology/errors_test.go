package topology

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// marked splits a text with a § before each place where an error is expected into the
// text itself and "line:column" of each place.
func marked(text string) (string, []string) {
	var clean strings.Builder
	var places []string
	line, column := 1, 1
	for _, c := range text {
		switch c {
		case '§':
			places = append(places, fmt.Sprintf("%d:%d", line, column))
			continue
		case '\n':
			line, column = line+1, 0
		}
		column++
		clean.WriteRune(c)
	}
	return clean.String(), places
}

// errorLines gives what Parse says about a text, without the file's name.
func errorLines(t *testing.T, file, text string, o Options) []string {
	t.Helper()
	lab, err := Parse(file, []byte(text), o)
	if err == nil {
		return nil
	}
	var errs Errors
	if !errors.As(err, &errs) || lab != nil {
		t.Fatalf("Parse gave %v and a %T: %v", lab, err, err)
	}
	var lines []string
	for _, e := range errs {
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(e.Error(), file+":"), " "))
	}
	return lines
}

// TestErrors holds each message and its place. The texts leave out "name: t", which is put
// behind them so that lines count from the first shown.
func TestErrors(t *testing.T) {
	const ab = "\nnodes: {a: {}, b: {}}\nbridges: {lan0: {subnet: 10.0.0.0/24}}\nlinks:\n"
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":             {"nodes:\n  a: {§imgae: host}", []string{`unknown key "imgae" in node a (did you mean "image"?)`}},
		"unknown key at the top":  {"§node: {}", []string{`unknown key "node" in the file (did you mean "nodes"?)`}},
		"unknown key, no guess":   {"§zzzzzz: {}", []string{`unknown key "zzzzzz" in the file`}},
		"unknown key in link":     {ab + `  - {endpoints: ["a:eth0", lan0], §adress: 10.0.0.4/24}`, []string{`unknown key "adress" in a link (did you mean "address"?)`}},
		"unknown key in bridge":   {"bridges:\n  lan0:\n    §Nat: true", []string{`unknown key "Nat" in bridge lan0 (did you mean "nat"?)`}},
		"unknown key in limits":   {"nodes: {a: {limits: {§mem: 1M}}}", []string{`unknown key "mem" in limits (write memory: 64MiB)`}},
		"unknown key in defaults": {"defaults: {§sysctl: {}}", []string{`unknown key "sysctl" in defaults (did you mean "sysctls"?)`}},
		"duplicate key":           {"nodes:\n  a: {}\n  §a: {}", []string{`duplicate key "a", first given at line 2`}},
		"key of another type":     {"nodes: {§[a]: {}}", []string{`a key must be text, not a list`}},

		"list for a mapping":    {"nodes: §[a, b]", []string{`nodes must be a mapping, not a list`}},
		"text for a mapping":    {"nodes: {a: §web}", []string{`node a must be a mapping, not text`}},
		"mapping for a list":    {"links: §{a: b}", []string{`links must be a list, not a mapping`}},
		"text for a list":       {"nodes: {a: {binds: §./x:/y}}", []string{`binds must be a list, not text`}},
		"mapping for text":      {"nodes: {a: {hostname: §{}}}", []string{`hostname must be text, not a mapping`}},
		"nothing for text":      {"nodes: {a: {hostname: §}}", []string{`hostname must be text, not empty`}},
		"text for a boolean":    {"nodes: {a: {tun: §yes}}", []string{`tun must be true or false, not text (write true)`}},
		"number for a boolean":  {"nodes: {a: {privileged: §1}}", []string{`privileged must be true or false, not a number`}},
		"text for a number":     {"nodes: {a: {limits: {cpu: §half}}}", []string{`cpu must be a number, not text`}},
		"list for a number":     {"nodes: {a: {limits: {cpu: §[1]}}}", []string{`cpu must be a number, not a list`}},
		"negative cpu":          {"nodes: {a: {limits: {cpu: §-1}}}", []string{`cpu must be a number from 0.001 to 8192, not -1`}},
		"not a number":          {"nodes: {a: {limits: {cpu: §.nan}}}", []string{`cpu must be a number from 0.001 to 8192, not .nan`}},
		"too little cpu":        {"nodes: {a: {limits: {cpu: §0.0001}}}", []string{`cpu must be a number from 0.001 to 8192, not 0.0001`}},
		"too much cpu":          {"nodes: {a: {limits: {cpu: §1e300}}}", []string{`cpu must be a number from 0.001 to 8192, not 1e300`}},
		"infinite cpu":          {"nodes: {a: {limits: {cpu: §.inf}}}", []string{`cpu must be a number from 0.001 to 8192, not .inf`}},
		"fraction of a process": {"nodes: {a: {limits: {pids: §1.5}}}", []string{`pids must be a whole number, not 1.5`}},
		"weight":                {"nodes: {a: {limits: {cpu_weight: §10001}}}", []string{`cpu_weight must be a whole number from 1 to 10000, not 10001`}},
		"size":                  {"nodes: {a: {limits: {memory: §64Mib s}}}", []string{`memory must be a size such as 64MiB, not "64Mib s": unknown unit "Mib s"`}},
		"small memory":          {"nodes: {a: {limits: {memory: §64}}}", []string{`memory must be at least 4MiB, not 64`}},
		"huge memory":           {"nodes: {a: {limits: {memory: §9999999999T}}}", []string{`memory must be a size such as 64MiB, not "9999999999T": it is too large`}},
		"io without device":     {"nodes: {a: {limits: {io: [§{read_bps: 1M}]}}}", []string{`device is missing`}},
		"io without limit":      {"nodes: {a: {limits: {io: [§{device: /dev/sda}]}}}", []string{`a limit is missing: read_bps, write_bps, read_iops, write_iops or weight`}},
		"io device":             {"nodes: {a: {limits: {io: [{device: §sda, read_iops: 5}]}}}", []string{`device "sda" is neither an absolute path nor MAJOR:MINOR`}},

		"node name":              {"nodes: {§my_node: {}}", []string{`node name "my_node" contains '_'; allowed are letters, digits and '-'`}},
		"node name begins wrong": {"nodes: {§-a: {}}", []string{`node name "-a" does not begin with a letter or digit`}},
		"node name ends wrong":   {"nodes: {§a-: {}}", []string{`node name "a-" ends with '-'`}},
		"long node name":         {"nodes: {§" + strings.Repeat("n", 64) + ": {}}", []string{`node name "` + strings.Repeat("n", 64) + `" is 64 bytes long, 63 are allowed`}},
		"names by case":          {"nodes: {Web: {}, §web: {}}", []string{`node names "Web" and "web" differ in case only; DNS knows no case`}},
		"long bridge name":       {"bridges: {§lan0123456789012: {}}", []string{`bridge name "lan0123456789012" is 16 bytes long, 15 are allowed`}},
		"reserved bridge name":   {"bridges: {§all: {}}", []string{`bridge name "all" is reserved by the kernel`}},
		"bridge name":            {"bridges: {§br%d: {}}", []string{`bridge name "br%d" contains '%'; allowed are letters, digits, '.', '_' and '-'`}},
		"node and bridge":        {"nodes: {x: {}}\nbridges: {§x: {}}", []string{`"x" is a node and a bridge; a name means one of them`}},
		"hostname":               {"nodes: {a: {hostname: §a..b}}", []string{`hostname "a..b" has '.' in a wrong place`}},

		"image":          {"nodes: {a: {image: §Alpine:3.20}}", []string{`image "Alpine:3.20" is none of host, dir:PATH, a reference such as debian:12, oci:DIR, oci-archive:FILE, docker-archive:FILE or docker-daemon:NAME: it has a name that is not lower-case words with slashes between them: "Alpine"`}},
		"image misspelt": {"nodes: {a: {image: §hots}}", []string{`image "hots" is nearly host (did you mean "host"?); the image of that name is docker.io/library/hots:latest`}},
		"image dir":      {"nodes: {a: {image: §'dir:'}}", []string{`image "dir:" has no path`}},
		"workdir":        {"nodes: {a: {workdir: §srv}}", []string{`workdir "srv" is not an absolute path (did you mean "/srv"?)`}},
		"connected route": {"nodes: {a: {routes: [§{to: 10.0.0.0/24, dev: eth0}, {to: 10.0.0.0/24, dev: eth0, metric: 5}, {to: 10.0.0.0/25, dev: eth0}]}, b: {routes: [§{to: 10.0.0.0/24, via: 10.0.0.9}]}}\nbridges: {lan0: {subnet: 10.0.0.0/24}}\nlinks: [{endpoints: ['a:eth0', lan0]}, {endpoints: ['b:eth0', lan0]}]",
			[]string{`the route to 10.0.0.0/24 through eth0 is there by itself, for the address 10.0.0.1/24: leave it out`, `a route to 10.0.0.0/24 is there by itself, through eth0 for the address 10.0.0.2/24, with metric 0: give this one another metric, with which it comes after that, or the parts of the subnet that it is for`}},
		"connected IPv6 route": {"nodes: {a: {routes: [{to: 'fd00::/64', dev: eth0}, §{to: 'fd00::/64', dev: eth0, metric: 256}]}, b: {routes: [§{to: 'fd00::/64', via: 'fd00::9', metric: 256}]}}\nbridges: {lan0: {subnet: 'fd00::/64'}}\nlinks: [{endpoints: ['a:eth0', lan0]}, {endpoints: ['b:eth0', lan0]}]",
			[]string{`the route to fd00::/64 through eth0 is there by itself, for the address fd00::1/64: leave it out`, `a route to fd00::/64 is there by itself, through eth0 for the address fd00::2/64, with metric 256: give this one another metric, with which it comes after that, or the parts of the subnet that it is for`}},
		"route to the peer": {"nodes: {a: {routes: [§{to: 10.0.0.2/32, dev: eth0}, {to: 10.0.0.2/32, dev: eth0, metric: 5}]}, b: {}}\nlinks: [{endpoints: ['a:eth0', 'b:eth0'], addresses: [10.0.0.1/32, 10.0.0.2/32]}]",
			[]string{`the route to 10.0.0.2/32 is there by itself, through eth0 to the other end of the link: leave it out, or give it a metric`}},
		"sysctl of no interface": {"defaults: {sysctls: {§net.ipv6.conf.wan.forwarding: 1}}\nnodes: {a: {sysctls: {§net.ipv4.conf.eth1.rp_filter: 1, net.ipv4.conf.eth0.rp_filter: 1, net.ipv4.conf.all.rp_filter: 0, net.ipv4.neigh.default.gc_stale_time: 5, net.ipv6.conf.sit0.mtu: 1400}}, b: {}}\nlinks: [{endpoints: ['a:eth0', 'b:wan']}]",
			[]string{`sysctl "net.ipv6.conf.wan.forwarding": node a has no interface "wan"`, `sysctl "net.ipv4.conf.eth1.rp_filter": node a has no interface "eth1" (did you mean "eth0"?)`}},
		"names of every host": {"nodes: {§localhost: {}, §IP6-allnodes: {}, a: {hostname: §localhost.localdomain}, localhost-2: {}}",
			[]string{`node name "localhost" has a meaning of its own in /etc/hosts of every machine`, `node name "IP6-allnodes" has a meaning of its own in /etc/hosts of every machine`, `hostname "localhost.localdomain" has a meaning of its own in /etc/hosts of every machine`}},
		"user beyond":        {"nodes: {a: {user: §100000}, b: {user: §'0:65536'}, c: {user: '65535:065535'}, d: {user: 100000, privileged: true}}", []string{`user "100000": a node has the ids from 0 to 65535, and no 100000`, `user "0:65536": a node has the ids from 0 to 65535, and no 65536`}},
		"user":               {"nodes: {a: {user: §'a b'}}", []string{`user "a b" is not a user or user:group, by name or number`}},
		"command":            {"nodes: {a: {command: §''}}", []string{`command is empty; leave it out for an idle node`}},
		"command item":       {"nodes: {a: {command: [x, §{}]}}", []string{`an item of command must be text, not a mapping`}},
		"env name":           {"nodes: {a: {env: {§'A=B': c}}}", []string{`"A=B" cannot be the name of a variable`}},
		"env value":          {"nodes: {a: {env: {A: §[]}}}", []string{`env A must be text, not a list`}},
		"NUL":                {"nodes: {a: {env: {A: §\"a\\0b\"}}}", []string{`env A holds a NUL character`}},
		"sysctl of the host": {"nodes: {a: {sysctls: {§kernel.core_pattern: x}}}", []string{`sysctl "kernel.core_pattern" belongs to the whole machine, not to a node; a node has net.*, fs.mqueue.* and kernel.{sem,shm*,msg*} of its own`}},
		"sysctl slashes":     {"nodes: {a: {sysctls: {§net/../kernel/x: 1}}}", []string{`sysctl "net/../kernel/x" is written with dots, not slashes`}},
		"sysctl dots":        {"nodes: {a: {sysctls: {§net...x: 1}}}", []string{`sysctl "net...x" is not a sysctl's name, such as net.ipv4.ip_forward`}},
		"capability":         {"nodes: {a: {caps: [NET_ADMIN, §-NET_RWA, §NET_ADMIN]}}", []string{`unknown capability "-NET_RWA" (did you mean "NET_RAW"?)`, `capability NET_ADMIN is named twice`}},
		"seccomp":            {"nodes: {a: {seccomp: §unconfind}}", []string{`seccomp "unconfind" is neither default nor unconfined (did you mean "unconfined"?)`}},
		"nameserver":         {"nodes: {a: {dns: {nameservers: [§dns.test]}}}", []string{`nameserver "dns.test" is not an IP address`}},
		"search":             {"nodes: {a: {dns: {search: [§'a b']}}}", []string{`an item of search is one word, not "a b"`}},
		"hosts":              {"nodes: {a: {hosts: [§x, §'x y', §'10.0.0.1 _']}}", []string{`"x" is not a hosts line: ADDRESS NAME...`, `"x" in hosts is not an IP address`, `name "_" in hosts does not begin with a letter or digit`}},
		"ports": {"nodes: {a: {ports: [§80, §'80:0', §'x:80:80', §'80:80/sctp', §'::1:80:80']}}", []string{
			`port "80" is not HOSTPORT:PORT`,
			`port "80:0" has a port that is not a number from 1 to 65535`,
			`port "x:80:80" does not begin with an IP address (IPv6 in brackets)`,
			`port "80:80/sctp" ends with neither /tcp nor /udp`,
			`port "::1:80:80" does not begin with an IP address (IPv6 in brackets)`}},
		"port twice": {"nodes:\n  a: {ports: ['80:80']}\n  b: {ports: [§'80:81']}", []string{`port 80/tcp of the host's 127.0.0.1 is published by node a already (line 2)`}},

		"bind":             {"nodes: {a: {binds: [§x]}}", []string{`bind "x" is not SOURCE:TARGET[:ro|rw][,idmap]`}},
		"bind option":      {"nodes: {a: {binds: [§'./x:/x:rx']}}", []string{`unknown option "rx" of bind "./x:/x:rx"; there are ro, rw and idmap`}},
		"bind, no options": {"nodes: {a: {binds: [§'./x:/x:']}}", []string{`bind "./x:/x:" is not SOURCE:TARGET[:ro|rw][,idmap]`}},
		"bind target":      {"nodes: {a: {binds: [§'./x:y', §'./x:/', §'./x:/dev/../sys/x']}}", []string{`bind target "y" is not an absolute path`, `bind target cannot be /`, `bind target "/dev/../sys/x" is on /sys, which the node has of its own`}},
		"tmpfs":            {"nodes: {a: {tmpfs: [§x, §'/a:size=x', §'/b:mode=9', §'/c:ro']}}", []string{`tmpfs target "x" is not an absolute path`, `option "size=x" of tmpfs "/a": it does not begin with a number`, `option "mode=9" of tmpfs "/b": it is not an octal number such as 1777`, `option "ro" of tmpfs "/c": there are size=64MiB and mode=1777`}},
		"two mounts":       {"nodes: {a: {binds: ['./x:/m'], tmpfs: [§/m/]}}", []string{`node a has a mount on /m already (line 1)`}},

		"bridge address":          {"bridges: {l: {address: §10.0.0.1}}", []string{`address "10.0.0.1" has no mask (did you mean "10.0.0.1/24"?)`}},
		"bridge address, IPv6":    {"bridges: {l: {address: §'fd00::1'}}", []string{`address "fd00::1" has no mask (did you mean "fd00::1/64"?)`}},
		"bridge address is wrong": {"bridges: {l: {address: §10.0.0.256/24}}", []string{`address "10.0.0.256/24" is not an IP address with a mask, such as 10.0.0.1/24 or fd00::1/64`}},
		"network address":         {"bridges: {l: {address: §10.0.0.0/24}}", []string{`address 10.0.0.0/24 is the address of the network itself`}},
		"broadcast address":       {"bridges: {l: {address: §10.0.0.255/24}}", []string{`address 10.0.0.255/24 is the broadcast address of its network`}},
		"anycast address":         {"bridges: {l: {address: §'fd00::/64'}}", []string{`address fd00::/64 is the subnet-router anycast address of its network`}},
		"multicast address":       {"bridges: {l: {address: [§224.0.0.1/24, §127.0.0.1/8, §'::ffff:10.0.0.1/120']}}", []string{`address 224.0.0.1/24 cannot be an interface's address`, `address 127.0.0.1/8 cannot be an interface's address`, `address ::ffff:10.0.0.1/120 maps IPv4 into IPv6`}},
		"subnet":                  {"bridges: {l: {subnet: [§10.0.0.1/24, §x]}}", []string{`subnet 10.0.0.1/24 has bits set behind its mask (did you mean "10.0.0.0/24"?)`, `subnet "x" is not a prefix such as 10.0.0.0/24 or fd00::/64`}},
		"two subnets":             {"bridges: {l: {subnet: [10.0.0.0/24, §10.1.0.0/24]}}", []string{`bridge l has 10.0.0.0/24 already; one IPv4 and one IPv6 subnet at most`}},
		"address outside own":     {"bridges: {l: {subnet: 10.0.0.0/24, address: §10.0.1.1/24}}", []string{`address 10.0.1.1/24 is outside the subnet 10.0.0.0/24 of bridge l`}},
		"overlap":                 {"bridges:\n  l: {subnet: 10.0.0.0/16}\n  k: {subnet: §10.0.7.0/24}\n  j: {subnet: §10.0.9.0/24}", []string{`subnet 10.0.7.0/24 of bridge k overlaps 10.0.0.0/16 of bridge l (line 2)`, `subnet 10.0.9.0/24 of bridge j overlaps 10.0.0.0/16 of bridge l (line 2)`}},
		"peers without address":   {"bridges: {l: {subnet: 10.0.0.0/24, peers: §b/l}}", []string{`peers need an address: the bridge reaches those of other labs through the host`}},
		"peer without a bridge":   {"bridges: {l: {address: 10.0.0.1/24, peers: §b}}", []string{`peer "b" is not LAB/BRIDGE, a bridge of another lab`}},
		"peer that is no name":    {"bridges: {l: {address: 10.0.0.1/24, peers: [§../l]}}", []string{`peer "../l" does not begin with a letter or digit`}},
		"peer twice":              {"bridges: {l: {address: 10.0.0.1/24, peers: [b/l, §b/l]}}", []string{`peer b/l is there twice`}},
		"nat without address":     {"bridges: {l: {subnet: 10.0.0.0/24, nat: §true}}", []string{`nat needs an address: the nodes reach the outside through the host`}},
		"external with nat":       {"bridges: {docker0: {external: true, nat: §true}}", []string{`nat and stp of an external bridge are the host's affair: nsnet does not change it`}},
		"mtu":                     {"bridges: {l: {mtu: §67}}", []string{`mtu must be a whole number from 68 to 65535, not 67`}},
		"mtu and IPv6":            {"bridges: {l: {mtu: §1279, subnet: 'fd00::/64'}}", []string{`mtu 1279 is too small for IPv6, which needs 1280`}},

		"unknown node":            {ab + `  - endpoints: [§"c:eth0", lan0]`, []string{`unknown node "c"`}},
		"unknown bridge":          {ab + `  - endpoints: ["a:eth0", §lan1]`, []string{`unknown bridge "lan1" (did you mean "lan0"?)`}},
		"both unknown":            {ab + `  - endpoints: [§"xyz:eth0", §hub]`, []string{`unknown node "xyz"`, `unknown bridge "hub"`}},
		"node as a bridge":        {ab + `  - endpoints: ["a:eth0", §b]`, []string{`endpoint "b" is a node without an interface (did you mean "b:eth0"?)`}},
		"bridge as a node":        {ab + `  - endpoints: ["a:eth0", §"lan0:p1"]`, []string{`"lan0" is a bridge: its end of a link is its name alone (did you mean "lan0"?)`}},
		"two bridges":             {ab + `  - endpoints: §[lan0, lan0]`, []string{`a link of two bridges: one end has to be a node's`}},
		"one endpoint":            {ab + `  - endpoints: §[lan0]`, []string{`a link has two endpoints, not 1`}},
		"no endpoints":            {ab + `  - §mtu: 1500`, []string{`endpoints is missing`}},
		"interface twice":         {ab + "  - endpoints: ['a:eth0', lan0]\n  - endpoints: [lan0, §'a:eth0']", []string{`interface eth0 of node a is on a link already (line 5)`}},
		"long interface":          {ab + `  - endpoints: [§"a:eth0123456789012", lan0]`, []string{`interface name "eth0123456789012" is 16 bytes long, 15 are allowed`}},
		"interface all":           {ab + `  - endpoints: [§"a:all", lan0]`, []string{`interface name "all" is reserved by the kernel`}},
		"interface %d":            {ab + `  - endpoints: [§"a:eth%d", lan0]`, []string{`interface name "eth%d" contains '%'; allowed are letters, digits, '.', '_' and '-'`}},
		"interface missing":       {ab + `  - endpoints: [§"a:", lan0]`, []string{`interface name "" is empty`}},
		"long form":               {ab + `  - endpoints: [§{node: a}, §{}]`, []string{`interface is missing`, `an endpoint needs node and interface, or bridge`}},
		"long form, both":         {ab + `  - endpoints: [{node: a, interface: e, bridge: §lan0}, lan0]`, []string{`an endpoint is a node's interface or a bridge, not both`}},
		"bridge end with mac":     {ab + `  - endpoints: ["a:e", {bridge: lan0, mac: §"02:00:00:00:00:01"}]`, []string{`a bridge's end has neither interface nor addresses, mac, mtu or slaac; they belong to the node's end`}},
		"mac":                     {ab + `  - endpoints: [{node: a, interface: e, mac: §02:00}, lan0]`, []string{`mac "02:00" is not a hardware address such as 02:00:00:00:00:01`}},
		"slaac without IPv6":      {"nodes: {a: {sysctls: {net.ipv6.conf.all.disable_ipv6: 1}}}\nbridges: {l: {}}\nlinks: [{endpoints: [{node: a, interface: e, slaac: §true}, l]}]", []string{`slaac needs IPv6, which the sysctl net.ipv6.conf.all.disable_ipv6 turns off on a:e`}},
		"slaac and its mtu":       {ab + `  - {endpoints: [{node: a, interface: e, slaac: §true}, lan0], mtu: 1000}`, []string{`slaac needs IPv6, for which mtu 1000 of a:e is too small: it needs 1280`}},
		"slaac twice":             {"nodes: {a: {sysctls: {net.ipv6.conf.e.accept_ra: 0}}}\nbridges: {l: {}}\nlinks: [{endpoints: [{node: a, interface: e, slaac: §true}, l]}]", []string{`slaac of a:e and the sysctl net.ipv6.conf.e.accept_ra say the same; give one of them`}},
		"slaac of a bridge":       {ab + `  - endpoints: ["a:e", {bridge: lan0, slaac: §true}]`, []string{`a bridge's end has neither interface nor addresses, mac, mtu or slaac; they belong to the node's end`}},
		"multicast mac":           {ab + `  - endpoints: [{node: a, interface: e, mac: §"01:00:00:00:00:01"}, lan0]`, []string{`mac 01:00:00:00:00:01 is not a unicast address: an interface cannot have it`}},
		"duplicate mac":           {ab + "  - endpoints: [{node: a, interface: e, mac: '02:00:00:00:00:01'}, lan0]\n  - endpoints: [{node: b, interface: e, mac: §02-00-00-00-00-01}, lan0]", []string{`duplicate mac 02:00:00:00:00:01: node a has it already (line 5)`}},
		"address outside":         {ab + "  - endpoints: ['a:e', lan0]\n    address: §10.0.1.4/24", []string{`address 10.0.1.4/24 is outside the subnet 10.0.0.0/24 of bridge lan0`}},
		"address with other mask": {ab + "  - endpoints: ['a:e', lan0]\n    address: §10.0.0.4/16", []string{`address 10.0.0.4/16 has another mask than the subnet 10.0.0.0/24 of bridge lan0 (did you mean "10.0.0.4/24"?)`}},
		"duplicate address":       {ab + "  - {endpoints: ['a:e', lan0], address: 10.0.0.4/24}\n  - {endpoints: ['b:e', lan0], address: §10.0.0.4/24}", []string{`duplicate address 10.0.0.4: node a has it already (line 5)`}},
		"gateway's address":       {"nodes: {a: }\nbridges: {l: {address: 10.0.0.1/24}}\nlinks: [{endpoints: ['a:e', l], address: §10.0.0.1/24}]", []string{`duplicate address 10.0.0.1: bridge l has it already (line 2)`}},
		"address twice":           {ab + "  - {endpoints: ['a:e', lan0], address: §10.0.0.4/24, addresses: [10.0.0.5/24]}", []string{`address and addresses mean the same; give one of them`}},
		"addresses in two places": {ab + "  - {endpoints: [{node: a, interface: e, addresses: 10.0.0.9/24}, lan0], address: §10.0.0.4/24}", []string{`the link's endpoints have addresses of their own; give them in one place`}},
		"address of a pair":       {ab + "  - {endpoints: ['a:e', 'b:e'], address: §10.1.0.4/24}", []string{`a link of two nodes takes addresses, a list with one for each end`}},
		"three addresses":         {ab + "  - {endpoints: ['a:e', 'b:e'], addresses: §[10.1.0.1/24, 10.1.0.2/24, 10.1.0.3/24]}", []string{`addresses of a link of two nodes has an entry for each end, not 3; an entry may be a list`}},
		"link mtu":                {ab + "  - {endpoints: ['a:e', lan0], mtu: §9000}", []string{`mtu 9000 is larger than that of bridge lan0, which is 1500`}},
		"link mtu and IPv6":       {ab + "  - {endpoints: [§'a:e', 'b:e'], mtu: 1000, addresses: ['fd00::1/128', 10.1.0.1/32]}", []string{`mtu 1000 of e is too small for IPv6, which needs 1280`}},
		"IPv6 turned off":         {"nodes: {a: {sysctls: {net.ipv6.conf.e.disable_ipv6: 1}}}\nbridges: {l: {}}\nlinks:\n  - {endpoints: [§'a:e', l], address: 'fd00::2/64'}", []string{`e cannot have the address fd00::2/64: the sysctl net.ipv6.conf.e.disable_ipv6 of node a turns IPv6 off there`}},
		"exhausted":               {"nodes: {a: , b: }\nbridges: {l: {address: 10.0.0.1/30}}\nlinks:\n  - endpoints: ['a:e', l]\n  - §endpoints: ['b:e', l]", []string{`bridge l: no address is left in 10.0.0.0/30 for e of node b`}},

		"route without to":     {"nodes: {a: {routes: [§{via: 10.0.0.1}]}}", []string{`to is missing: a prefix such as 10.0.0.0/8, or default`}},
		"route without via":    {"nodes: {a: {routes: [§{to: 10.0.0.0/8}]}}", []string{`via or dev is missing`}},
		"route to nowhere":     {"nodes: {a: {routes: [{to: §defualt, via: 10.0.0.1}]}}", []string{`to "defualt" is neither a prefix such as 10.0.0.0/8 nor default (did you mean "default"?)`}},
		"route host bits":      {"nodes: {a: {routes: [{to: §10.0.0.1/8, dev: e}]}}", []string{`to 10.0.0.1/8 has bits set behind its mask (did you mean "10.0.0.0/8"?)`}},
		"route default dev":    {"nodes: {a: {routes: [{to: §default, dev: e}]}}", []string{`default without via: write 0.0.0.0/0 or ::/0 to say which`}},
		"route families":       {"nodes: {a: {routes: [{to: §10.0.0.0/8, via: 'fd00::1'}]}}", []string{`to 10.0.0.0/8 and via fd00::1 are not of the same IP version`}},
		"route via text":       {"nodes: {a: {routes: [{to: default, via: §router}]}}", []string{`via "router" is not an IP address`}},
		"route via off link":   {"nodes: {a: {routes: [{to: default, via: §10.0.0.1}]}}", []string{`via 10.0.0.1 is on no subnet of node a; give dev to use it anyway`}},
		"route via far bridge": {"nodes: {a: {routes: [{to: default, via: §10.0.1.1}]}, b: }\nbridges: {l: {}}\nlinks:\n  - {endpoints: ['a:e', l], address: 10.0.0.1/24}\n  - {endpoints: ['b:e', l], address: 10.0.1.1/24}", []string{`via 10.0.1.1 is on no subnet of node a; give dev to use it anyway`}},
		"route via itself":     {"nodes: {a: {routes: [{to: default, via: §10.0.0.2}]}}\nbridges: {l: {address: 10.0.0.1/24}}\nlinks: [{endpoints: ['a:e', l]}]", []string{`via 10.0.0.2 is node a's own address`}},
		"route dev":            {"nodes: {a: {routes: [{to: 0.0.0.0/0, dev: §eth1}]}}\nbridges: {l: {}}\nlinks: [{endpoints: ['a:eth0', l]}]", []string{`node a has no interface "eth1" (did you mean "eth0"?)`}},
		"route twice":          {"nodes: {a: {routes: [{to: 10.0.0.0/8, dev: e}, §{to: 10.0.0.0/8, dev: e}]}}\nbridges: {l: {}}\nlinks: [{endpoints: ['a:e', l]}]", []string{`node a has a route to 10.0.0.0/8 already (line 1); give them different metrics`}},

		"restart":               {"nodes: {a: {restart: §on-failur}}", []string{`restart "on-failur" is none of no, on-failure, on-failure:N and always (did you mean "on-failure"?)`}},
		"restart count":         {"nodes: {a: {restart: §'on-failure:0'}, b: {restart: §'always:3'}}", []string{`restart "on-failure:0": the number of tries must be a whole number from 1`, `restart "always:3" is none of no, on-failure, on-failure:N and always`}},
		"depends on nobody":     {"nodes: {web: {depends_on: [§wbe]}, a: {depends_on: {§nod: {condition: ready}}}}", []string{`unknown node "wbe" in depends_on of node web (did you mean "web"?)`, `unknown node "nod" in depends_on of node a`}},
		"depends on itself":     {"nodes: {a: {depends_on: [§a]}}", []string{`node a depends on itself`}},
		"dependency cycle":      {"nodes:\n  a: {depends_on: [b]}\n  b: {depends_on: {c: {condition: ready}}}\n  c: {depends_on: [§a, d]}\n  d: {}", []string{`nodes depend on each other: a -> b -> c -> a`}},
		"cycle from the side":   {"nodes:\n  x: {depends_on: [a]}\n  a: {depends_on: [b]}\n  b: {depends_on: [§a]}", []string{`nodes depend on each other: a -> b -> a`}},
		"depends twice":         {"nodes: {a: {depends_on: [b, §b]}, b: }", []string{`node "b" is in depends_on twice`}},
		"depends by compose":    {"nodes: {a: {depends_on: {b: {condition: §service_healthy}}}, b: }", []string{`condition "service_healthy" is none of started, ready and exited (did you mean "ready"?)`}},
		"depends condition":     {"nodes: {a: {depends_on: {b: {§when: ready}}}, b: }", []string{`unknown key "when" in depends_on b`}},
		"depends on idle's end": {"nodes: {a: {depends_on: {§b: {condition: exited}}}, b: }", []string{`node a waits for node b to exit, which has no command`}},
		"ready without a check": {"nodes: {a: {ready: §{interval: 1s}}}", []string{`ready needs one of exec, tcp, http and log`}},
		"ready with two":        {"nodes: {a: {ready: §{tcp: 80, exec: [x]}}}", []string{`ready takes one of exec, tcp, http and log, not 2 of them`}},
		"ready key":             {"nodes: {a: {ready: {§tpc: 80}}}", []string{`unknown key "tpc" in ready (did you mean "tcp"?)`}},
		"ready port":            {"nodes: {a: {ready: {tcp: §0}}, b: {ready: {http: {port: §65536, path: §x, status: §99}}}}", []string{`tcp must be a whole number from 1 to 65535, not 0`, `port must be a whole number from 1 to 65535, not 65536`, `path "x" must begin with / and be without blanks`, `status must be a whole number from 100 to 599, not 99`}},
		"ready log":             {"nodes: {a: {command: [x], ready: {log: §'a(b'}}}", []string{"log \"a(b\" is not a regular expression: missing closing ): `a(b`"}},
		"ready log of an idle":  {"nodes: {a: {ready: §{log: x}}}", []string{`node a has no command, so no log that ready could look at`}},
		"ready times":           {"nodes: {a: {ready: {tcp: 1, interval: §5, timeout: §0s, start_period: §1d, retries: §0}}}", []string{`interval must be a time such as 5s, not "5": the unit is missing: ms, s, m or h`, `timeout must be at least 1 ms, not 0s`, `start_period must be a time such as 5s, not "1d": unknown unit "d"`, `retries must be a whole number from 1 to 2147483647, not 0`}},

		"merge of text":   {"nodes: {a: {<<: §x}}", []string{`the merge key << takes a mapping or a list of mappings, not text`}},
		"escape sequence": {"nodes: {a: {env: {\"A\\e[31m\": §[]}}}", []string{`env A\x1b[31m must be text, not a list`}},
		"all at once": {"§x: 1\nnodes: {a: {tun: §1}}\nlinks:\n  - endpoints: [§'b:e', §l]", []string{
			`unknown key "x" in the file`, `tun must be true or false, not a number`, `unknown node "b"`, `unknown bridge "l"`}},
	} {
		t.Run(name, func(t *testing.T) {
			text, places := marked(tc.text + "\nname: t\n")
			if len(places) != len(tc.want) {
				t.Fatalf("%d places, %d errors", len(places), len(tc.want))
			}
			var want []string
			for i := range places {
				want = append(want, places[i]+": "+tc.want[i])
			}
			got := errorLines(t, "lab.yaml", text, Options{})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s\n%s", diff, text)
			}
		})
	}
}

// What is legal and may be a slip: it is told with its place, and the file means what it says.
func TestWarnings(t *testing.T) {
	for name, tc := range map[string]struct {
		addresses string
		want      []string
		peers     [2]string // routes to the other end
	}{
		"one subnet":       {"[10.1.0.1/24, 10.1.0.2/24]", nil, [2]string{}},
		"no subnet":        {"[10.1.0.1/32, 10.2.0.1/32]", nil, [2]string{"10.2.0.1/32", "10.1.0.1/32"}},
		"one end alone":    {"[10.1.0.1/24, []]", nil, [2]string{}},
		"other families":   {"[10.1.0.1/24, 'fd00::1/64']", nil, [2]string{}},
		"link-local":       {"['fe80::1/64', 'fd00::1/64']", nil, [2]string{}},
		"two subnets":      {"[§10.1.0.1/24, §10.2.0.1/24]", []string{"address 10.1.0.1/24 of node a: the other end, node b, has no address in 10.1.0.0/24", "address 10.2.0.1/24 of node b: the other end, node a, has no address in 10.2.0.0/24"}, [2]string{}},
		"two masks":        {"[§10.1.0.1/24, 10.1.1.2/16]", []string{"address 10.1.0.1/24 of node a: the other end, node b, has no address in 10.1.0.0/24"}, [2]string{}},
		"one more":         {"[[10.1.0.1/24, §10.2.0.1/24], [10.1.0.2/24]]", []string{"address 10.2.0.1/24 of node a: the other end, node b, has no address in 10.2.0.0/24"}, [2]string{}},
		"IPv6":             {"[§'fd00:1::1/64', §'fd00:2::1/64']", []string{"address fd00:1::1/64 of node a: the other end, node b, has no address in fd00:1::/64", "address fd00:2::1/64 of node b: the other end, node a, has no address in fd00:2::/64"}, [2]string{}},
		"one has a subnet": {"[10.1.0.1/32, §10.2.0.1/24]", []string{"address 10.2.0.1/24 of node b: the other end, node a, has no address in 10.2.0.0/24"}, [2]string{"10.2.0.1/32", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			text, places := marked("nodes: {a: , b: }\nlinks:\n  - {endpoints: ['a:e', 'b:e'], addresses: " + tc.addresses + "}\nname: t\n")
			l, err := Parse("lab.yaml", []byte(text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			for i := range places {
				want = append(want, "lab.yaml:"+places[i]+": "+tc.want[i])
			}
			for _, w := range l.Warnings {
				got = append(got, w.Error())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s\n%s", diff, text)
			}
			for i, e := range []Endpoint{l.Links[0].A, l.Links[0].B} {
				if got := strings.Trim(fmt.Sprint(e.Peers), "[]"); got != tc.peers[i] {
					t.Errorf("the peers of %s are %q, not %q", e.Node, got, tc.peers[i])
				}
			}
		})
	}
}

// As many are told of as of errors.
func TestWarningsAreBounded(t *testing.T) {
	text := "name: t\nnodes: {a: , b: }\nlinks:\n"
	for i := range 300 {
		text += fmt.Sprintf("  - {endpoints: ['a:e%[1]d', 'b:e%[1]d'], addresses: [10.%[2]d.%[3]d.1/32, 11.%[2]d.%[3]d.1/24]}\n", i, i/200, i%200)
	}
	l, err := Parse("lab.yaml", []byte(text), Options{})
	if err != nil || len(l.Warnings) != maxErrors {
		t.Errorf("%v, %d warnings", err, len(l.Warnings))
	}
}

func TestNameAndSyntaxErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		o    Options
		want string
	}{
		"empty":          {"", Options{}, "1:1: the file is empty; the smallest has a name and nodes"},
		"comment":        {"# nothing\n", Options{}, "1:1: the file is empty; the smallest has a name and nodes"},
		"no name":        {"nodes: {}", Options{}, "1:1: name is missing: the lab needs one"},
		"bad name":       {"nodes: {}\nname: a/b", Options{}, `2:7: lab name "a/b" contains '/'; allowed are letters, digits, '.', '_' and '-'`},
		"dots":           {"name: ..", Options{}, `1:7: lab name ".." does not begin with a letter or digit`},
		"list name":      {"name: [a]", Options{}, `1:7: name must be text, not a list`},
		"empty name":     {"name: ''", Options{}, `1:7: lab name "" is empty`},
		"bad override":   {"name: a", Options{NameOverride: "-x"}, `lab name "-x" does not begin with a letter or digit`},
		"list":           {"- a", Options{}, "1:1: the file must be a mapping, not a list"},
		"two documents":  {"name: a\n---\nname: b\n", Options{}, "2:1: a second YAML document begins here; a topology file holds one"},
		"not UTF-8":      {"name: a\n#\xff", Options{}, "2:2: the file is not UTF-8 text"},
		"NUL":            {"name: a\nb\x00", Options{}, "2:2: the file is not UTF-8 text"},
		"unknown anchor": {"name: *x", Options{}, "1:7: not valid YAML: unknown anchor 'x' referenced"},
		"unclosed":       {"name: a\nnodes: {", Options{}, "3:1: not valid YAML: while parsing a flow node: did not find expected node content"},
		"U+0085":         {"name: a\nnodes: {a: x\u0085}", Options{}, `2:13: the file has the line break U+0085; in double quotes it is written as \u0085`},
		"deep":           {"name: " + strings.Repeat("[", 65), Options{}, "1:71: not valid YAML: lists and mappings are nested more than 64 deep"},
		"tab":            {"name: a\nnodes:\n\ta: {}", Options{}, "3:1: not valid YAML: the line is indented by a tab, for which YAML has no width; use spaces"},
	} {
		t.Run(name, func(t *testing.T) {
			got := errorLines(t, "lab.yaml", tc.text, tc.o)
			if len(got) != 1 || got[0] != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestErrorsAreBounded(t *testing.T) {
	text := "name: t\nnodes:\n"
	for i := range 1000 {
		text += fmt.Sprintf("  n%d: {imgae: host}\n", i)
	}
	got := errorLines(t, "lab.yaml", text, Options{})
	if len(got) != maxErrors+1 || got[maxErrors] != "and 800 more errors" {
		t.Errorf("%d errors, the last %q", len(got), got[len(got)-1])
	}
}

func TestFault18_Ports1023(t *testing.T) {
	lab := func(nodes int, bridge string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "name: t\nbridges: {l: %s}\nlinks:\n", bridge)
		for i := range nodes {
			fmt.Fprintf(&b, "  - endpoints: ['n%d:e', l]\n", i)
		}
		b.WriteString("nodes:\n")
		for i := range nodes {
			fmt.Fprintf(&b, "  n%d: {}\n", i)
		}
		return b.String()
	}
	const want = "bridge l has more than 1023 ports, the host's leg counted: Linux allows no more; use several bridges"
	for _, tc := range []struct {
		nodes  int
		bridge string
		want   []string
	}{
		{1023, "{}", nil},
		{1024, "{}", []string{"1027:28: " + want}},
		{1022, "{address: 10.0.0.1/16}", nil},
		{1023, "{address: 10.0.0.1/16}", []string{"1026:28: " + want}},
		{1023, "{address: 10.0.0.1/16, external: true}", nil},
	} {
		got := errorLines(t, "lab.yaml", lab(tc.nodes, tc.bridge), Options{})
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%d on %s: (-want +got)\n%s", tc.nodes, tc.bridge, diff)
		}
	}
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lab.yaml")
	for _, name := range []string{"there", "tree/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for bind, want := range map[string]string{
		"./there:/x":   "",
		"tree:/x:rw":   "",
		"/usr:/x":      "",
		"./missing:/x": `bind source "./missing" does not exist`,
		"/no/such:/x":  `bind source "/no/such" does not exist`,
	} {
		text := "name: t\nnodes: {a: {binds: ['" + bind + "']}}"
		got := errorLines(t, file, text, Options{CheckFiles: true})
		switch {
		case want == "" && got == nil:
		case want == "" || len(got) != 1 || got[0] != "2:21: "+want:
			t.Errorf("%s: %q, want %q", bind, got, want)
		}
		if got := errorLines(t, file, text, Options{}); got != nil {
			t.Errorf("%s, not looked at: %q", bind, got)
		}
	}
	if got := errorLines(t, file, "name: t\nnodes: {a: {image: 'dir:there'}}", Options{CheckFiles: true}); len(got) != 1 || got[0] != `2:20: image directory "there" is not a directory` {
		t.Errorf("image: %q", got)
	}
	if got := errorLines(t, file, "name: t\nnodes: {a: {image: 'dir:tree'}}", Options{CheckFiles: true}); got != nil {
		t.Errorf("image: %q", got)
	}
}

func TestErrorText(t *testing.T) {
	for want, e := range map[string]Error{
		"f: m": {"f", 0, 0, "m"}, "f:1: m": {"f", 1, 0, "m"}, "f:1:2: m": {"f", 1, 2, "m"},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
	err := error(Errors{{"f", 1, 2, "m"}, {"f", 3, 4, "n"}})
	if err.Error() != "f:1:2: m\nf:3:4: n" {
		t.Errorf("%q", err)
	}
	var one Error
	if !errors.As(err, &one) || one.Line != 1 {
		t.Errorf("no Error in Errors: %v", one)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "no.yaml"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// FAULTS 10: what the kernel refuses or, as %d, takes for something else.
func TestFault10_InterfaceNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"eth0": true, "a": true, "A.b_c-d": true, "123456789012345": true,
		"1234567890123456": false, "all": false, "default": false, ".": false, "..": false, "a:b": false, "a/b": false, "eth%d": false, "%d": false,
		"": false, "-x": false, "a b": false, "é": false, "lo": false,
	} {
		if err := validateInterface(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
