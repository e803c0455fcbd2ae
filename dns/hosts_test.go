package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nsnet/nsnet/topology"
	"pgregory.net/rapid"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestHosts(t *testing.T) {
	l := &topology.Lab{
		Nodes: []topology.Node{
			{Name: "web", Hostname: "web"},
			{Name: "a", Hostname: "a.lab.test"},
			{Name: "b", Hostname: "web"}, // another node's name: no alias
			{Name: "alone", Hostname: "alone"},
		},
		Links: []topology.Link{
			{A: topology.Endpoint{Node: "a", Addresses: prefixes("fd00::11/64", "192.168.10.11/24")}, B: topology.Endpoint{Bridge: "lan0"}},
			{A: topology.Endpoint{Node: "web", Addresses: prefixes("192.168.10.2/24")}, B: topology.Endpoint{Bridge: "lan0"}},
			{A: topology.Endpoint{Node: "a", Addresses: prefixes("10.1.1.1/32")}, B: topology.Endpoint{Node: "b", Addresses: prefixes("10.1.1.2/32")}},
		},
	}
	want := header + `127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
192.168.10.2 web
192.168.10.11 a.lab.test a
10.1.1.1 a.lab.test a
fd00::11 a.lab.test a
10.1.1.2 b
`
	base := Hosts(l)
	if diff := cmp.Diff(want, string(base)); diff != "" {
		t.Error(diff)
	}
	got := AppendHosts(base, []string{"10.9.9.9 far away", "1.1.1.1 x\n2.2.2.2 localhost", ""})
	if diff := cmp.Diff(want+"10.9.9.9 far away\n", string(got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, string(base)); diff != "" {
		t.Errorf("AppendHosts changed its base: %s", diff)
	}
	if got := AppendHosts(base, nil); &got[0] != &base[0] {
		t.Error("AppendHosts copied a base it adds nothing to")
	}
}

// Every line of a rendered file is an address and names that were asked for, whatever
// the names hold, and every address of a node with a plain name is there, in order.
func TestHostsParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z][a-z0-9]{0,3}`))
		l := &topology.Lab{}
		for i, n := range rapid.SliceOfNDistinct(name, 0, 6, rapid.ID[string]).Draw(t, "nodes") {
			l.Nodes = append(l.Nodes, topology.Node{Name: n, Hostname: name.Draw(t, "hostname")})
			for j := range rapid.IntRange(0, 3).Draw(t, "links") {
				e := topology.Endpoint{Node: n, Addresses: prefixes(fmt.Sprintf("10.0.%d.%d/24", i, j))}
				if rapid.Bool().Draw(t, "v6") {
					e.Addresses = append(e.Addresses, prefixes(fmt.Sprintf("fd00:%d::%d/64", i, j))...)
				}
				l.Links = append(l.Links, topology.Link{A: e, B: topology.Endpoint{Bridge: "lan0"}})
			}
		}
		words := map[string]string{}
		for i, w := range wordsOf(l, indexOf(l)) {
			words[l.Nodes[i].Name] = w
		}
		want := map[string][]netip.Addr{}
		for _, v4 := range []bool{true, false} {
			for _, link := range l.Links {
				for _, p := range link.A.Addresses {
					if p.Addr().Is4() == v4 && isWord(link.A.Node) {
						want[words[link.A.Node]] = append(want[words[link.A.Node]], p.Addr())
					}
				}
			}
		}
		got := map[string][]netip.Addr{}
		lines := strings.Split(strings.TrimSuffix(string(Hosts(l)), "\n"), "\n")
		for _, line := range lines[3:] {
			f := strings.Fields(line)
			if len(f) < 2 || len(f) > 4 {
				t.Fatalf("line %q", line)
			}
			names := strings.Join(f[1:], " ")
			got[names] = append(got[names], netip.MustParseAddr(f[0]))
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestNamesOfNodes(t *testing.T) {
	t.Parallel()
	l := &topology.Lab{Nodes: []topology.Node{
		{Name: "gw", Hostname: "gw.lab.test"},                              // its name is the short one
		{Name: "r1", Hostname: "core.lab.test"},                            // the short one is free
		{Name: "r2", Hostname: "gw.other.test"},                            // that is another node
		{Name: "r3", Hostname: "edge.lab.test"},                            // two have it
		{Name: "r4", Hostname: "edge.other.test"},                          // two have it
		{Name: "r5", Hostname: "web"},                                      // without a dot
		{Name: "r6", Hostname: "web.lab.test"},                             // another has that for its hostname
		{Name: "r7", Hostname: "gw"},                                       // another node
		{Name: "r8", Hostname: "r8"},                                       // none
		{Name: "r9", Hostname: "two words", Hosts: []string{"10.9.9.9 x"}}, // no word
	}}
	want := []string{"gw.lab.test gw", "core.lab.test r1 core", "gw.other.test r2", "edge.lab.test r3", "edge.other.test r4", "web r5", "web.lab.test r6", "r7", "r8", "r9"}
	if diff := cmp.Diff(want, wordsOf(l, indexOf(l))); diff != "" {
		t.Error(diff)
	}
	// None has an address: each finds itself, and nobody else does.
	if got := string(Hosts(l)); strings.Contains(got, "gw") {
		t.Errorf("the common file has names without addresses:\n%s", got)
	}
	own := Own(l)
	if diff := cmp.Diff([]string{"127.0.1.1 r9", "10.9.9.9 x"}, own["r9"]); diff != "" || len(own) != len(l.Nodes) {
		t.Errorf("%d nodes have lines of their own; of r9: %s", len(own), diff)
	}
	l.Links = []topology.Link{{A: topology.Endpoint{Node: "r9", Addresses: prefixes("10.0.0.9/24")}, B: topology.Endpoint{Node: "r8", Addresses: prefixes("fd00::8/64")}}}
	own = Own(l)
	if diff := cmp.Diff([]string{"10.9.9.9 x"}, own["r9"]); diff != "" || len(own["r8"]) > 0 {
		t.Errorf("with addresses: of r8 %q, of r9 %s", own["r8"], diff)
	}
}

func TestAppendHostsKeepsLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.String()).Draw(t, "lines")
		var want []string
		for _, s := range lines {
			if isLine(s) {
				want = append(want, s)
			}
		}
		got := strings.Split(string(AppendHosts([]byte("base\n"), lines)), "\n")
		if diff := cmp.Diff(append(append([]string{"base"}, want...), ""), got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkHosts1000(b *testing.B) {
	l := &topology.Lab{}
	for i := range 1000 {
		n := fmt.Sprintf("node%d", i)
		l.Nodes = append(l.Nodes, topology.Node{Name: n, Hostname: n})
		l.Links = append(l.Links, topology.Link{
			A: topology.Endpoint{Node: n, Addresses: prefixes(fmt.Sprintf("10.0.%d.%d/16", i/256, i%256))},
			B: topology.Endpoint{Bridge: "lan0"},
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		Hosts(l)
	}
}
