package dns

import (
	"net/netip"
	"strings"

	"github.com/nsnet/nsnet/topology"
)

// Hosts renders the hosts(5) file that all nodes of a lab share: the loopback names,
// then for each node, in file order, one line per address of its interfaces: IPv4
// before IPv6, and in the order of the links. The node's hostname follows its name
// where it differs and is no other node's name.
func Hosts(l *topology.Lab) []byte {
	index := make(map[string]int, len(l.Nodes))
	for i := range l.Nodes {
		index[l.Nodes[i].Name] = i
	}
	type addresses struct{ v4, v6 []netip.Addr }
	nodes := make([]addresses, len(l.Nodes))
	size := 128
	collect := func(e *topology.Endpoint) {
		i, ok := index[e.Node]
		if !ok {
			return // a bridge port
		}
		for _, p := range e.Addresses {
			a := p.Addr().WithZone("")
			if a.Unmap().Is4() {
				nodes[i].v4 = append(nodes[i].v4, a.Unmap())
			} else if a.IsValid() {
				nodes[i].v6 = append(nodes[i].v6, a)
			}
			size += 48 + len(e.Node)
		}
	}
	for i := range l.Links {
		collect(&l.Links[i].A)
		collect(&l.Links[i].B)
	}

	var b strings.Builder
	b.Grow(size)
	b.WriteString(header)
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	var buf [64]byte
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if !isWord(n.Name) {
			continue
		}
		alias := ""
		if _, taken := index[n.Hostname]; !taken && isWord(n.Hostname) {
			alias = n.Hostname
		}
		for _, list := range [2][]netip.Addr{nodes[i].v4, nodes[i].v6} {
			for _, a := range list {
				b.Write(a.AppendTo(buf[:0]))
				b.WriteByte(' ')
				b.WriteString(n.Name)
				if alias != "" {
					b.WriteByte(' ')
					b.WriteString(alias)
				}
				b.WriteByte('\n')
			}
		}
	}
	return []byte(b.String())
}

// AppendHosts returns base, a file made by Hosts, followed by a node's own lines
// ("ADDRESS NAME..."). Base is not changed, so that many nodes can share it; without
// lines it is returned as it is. A line that holds a control character is left out.
func AppendHosts(base []byte, lines []string) []byte {
	if len(lines) == 0 {
		return base
	}
	size := len(base)
	for _, line := range lines {
		size += len(line) + 1
	}
	out := make([]byte, len(base), size)
	copy(out, base)
	for _, line := range lines {
		if isLine(line) {
			out = append(out, line...)
			out = append(out, '\n')
		}
	}
	return out
}

// isLine tells whether s can stand as one line of a hosts file.
func isLine(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}
