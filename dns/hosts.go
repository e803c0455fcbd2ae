package dns

import (
	"net/netip"
	"strings"

	"github.com/nsnet/nsnet/topology"
)

// Hosts renders the hosts(5) file that all nodes of a lab share: the loopback names,
// then for each node, in file order, one line per address of its interfaces: IPv4
// before IPv6, and in the order of the links. The first name of a line is the node's hostname,
// which hostname(1) -f prints then, unless that is another node's name; behind it are the node's name, and the hostname up to
// its first dot where no other node has that.
func Hosts(l *topology.Lab) []byte {
	index := indexOf(l)
	nodes := addressesOf(l, index)
	words, size := wordsOf(l, index), 128
	for i := range nodes {
		size += (len(nodes[i].v4) + len(nodes[i].v6)) * (48 + len(words[i]))
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(header)
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	var buf [64]byte
	for i := range l.Nodes {
		if words[i] == "" {
			continue
		}
		for _, list := range [2][]netip.Addr{nodes[i].v4, nodes[i].v6} {
			for _, a := range list {
				b.Write(a.AppendTo(buf[:0]))
				b.WriteByte(' ')
				b.WriteString(words[i])
				b.WriteByte('\n')
			}
		}
	}
	return []byte(b.String())
}

// Own returns the lines that nodes have in /etc/hosts besides those of Hosts, by the node: the topology's, and for a node
// without an address one with which it finds its own names, as on any Debian. That line leads to the loopback interface of
// whoever reads it, so no other node may have it.
func Own(l *topology.Lab) map[string][]string {
	index := indexOf(l)
	nodes, words := addressesOf(l, index), wordsOf(l, index)
	own := map[string][]string{}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if len(nodes[i].v4)+len(nodes[i].v6) == 0 && words[i] != "" {
			own[n.Name] = append([]string{"127.0.1.1 " + words[i]}, n.Hosts...)
		} else if len(n.Hosts) > 0 {
			own[n.Name] = n.Hosts
		}
	}
	return own
}

// addresses are a node's, without lengths of prefixes.
type addresses struct{ v4, v6 []netip.Addr }

func indexOf(l *topology.Lab) map[string]int {
	index := make(map[string]int, len(l.Nodes))
	for i := range l.Nodes {
		index[l.Nodes[i].Name] = i
	}
	return index
}

// addressesOf are those of the nodes, beside l.Nodes.
func addressesOf(l *topology.Lab, index map[string]int) []addresses {
	nodes := make([]addresses, len(l.Nodes))
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
		}
	}
	for i := range l.Links {
		collect(&l.Links[i].A)
		collect(&l.Links[i].B)
	}
	return nodes
}

// wordsOf are the names of the nodes, beside l.Nodes, the canonical one first; empty for a node whose name is no word.
func wordsOf(l *topology.Lab, index map[string]int) []string {
	short := map[string]int{} // how many nodes are called so by the first part of their hostname, or by all of it
	for i := range l.Nodes {
		first, _, dotted := strings.Cut(l.Nodes[i].Hostname, ".")
		if short[first]++; dotted {
			short[l.Nodes[i].Hostname]++
		}
	}
	words := make([]string, len(l.Nodes))
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if !isWord(n.Name) {
			continue
		}
		words[i] = n.Name
		if n.Hostname == n.Name || !isWord(n.Hostname) {
			continue
		}
		if _, taken := index[n.Hostname]; taken {
			continue
		}
		words[i] = n.Hostname + " " + n.Name
		first, _, dotted := strings.Cut(n.Hostname, ".")
		if _, taken := index[first]; dotted && !taken && short[first] == 1 && isWord(first) {
			words[i] += " " + first
		}
	}
	return words
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
