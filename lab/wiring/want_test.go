package wiring

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/topology"
)

// anyLab is a lab with names as the file may have them, those of this package's making
// included, and many links between few nodes.
func anyLab() *rapid.Generator[*topology.Lab] {
	bridgeName := rapid.OneOf(
		rapid.SampledFrom([]string{"host0", "host1", "port0", "port1", "a.eth0", "b.eth1", "lan0"}),
		rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,14}`).Filter(func(s string) bool { return s != "lo" })) // which no file may say
	nodeName := rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "port0"}), rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?`))
	return rapid.Custom(func(t *rapid.T) *topology.Lab {
		l := &topology.Lab{}
		for i, name := range rapid.SliceOfNDistinct(bridgeName, 1, 4, rapid.ID[string]).Draw(t, "bridges") {
			b := topology.Bridge{Name: name, External: rapid.Bool().Draw(t, "external")}
			if i%2 == 0 {
				b.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}
			}
			l.Bridges = append(l.Bridges, b)
		}
		for _, name := range rapid.SliceOfNDistinct(nodeName, 1, 4, rapid.ID[string]).Draw(t, "nodes") {
			l.Nodes = append(l.Nodes, topology.Node{Name: name})
		}
		used := map[string]int{}
		end := func() topology.Endpoint {
			n := rapid.SampledFrom(l.Nodes).Draw(t, "node").Name
			name := rapid.SampledFrom([]string{"eth", "e.", "interface-nam"}).Draw(t, "interface")
			e := topology.Endpoint{Node: n, Interface: fmt.Sprintf("%s%d", name, used[n])}
			used[n]++
			return e
		}
		for range rapid.IntRange(0, 30).Draw(t, "links") {
			k := topology.Link{A: end(), B: topology.Endpoint{Bridge: rapid.SampledFrom(l.Bridges).Draw(t, "bridge").Name}}
			if rapid.Bool().Draw(t, "pair") {
				k.B = end()
			}
			l.Links = append(l.Links, k)
		}
		return l
	})
}

// No two interfaces of the fabric have one name, and the kernel takes each.
func TestPortNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := anyLab().Draw(t, "lab")
		taken := map[string]string{"lo": "lo"}
		take := func(name, what string) {
			if other := taken[name]; other != "" {
				t.Fatalf("%s and %s are both called %s", what, other, name)
			}
			taken[name] = what
			if name == "" || len(name) > 15 || strings.ContainsAny(name, "/: %") {
				t.Fatalf("%s is called %q", what, name)
			}
		}
		for i := range l.Bridges {
			take(l.Bridges[i].Name, "bridge "+l.Bridges[i].Name)
			take(legPort(l.Bridges[i].Name), fmt.Sprintf("leg %d", i))
		}
		ports := Ports(l)
		if len(ports) != len(l.Links) {
			t.Fatalf("%d names for %d links", len(ports), len(l.Links))
		}
		for i, p := range ports {
			if k := &l.Links[i]; k.B.Node != "" {
				if p != (Port{}) {
					t.Fatalf("a link of two nodes has port %v", p)
				}
				continue
			}
			take(p.Name, fmt.Sprintf("port %d", i))
			if p.Alt == "" {
				continue
			}
			if other := taken[p.Alt]; other != "" || len(p.Alt) <= 15 || len(p.Alt) > 127 {
				t.Fatalf("port %d is also called %s, as %s is", i, p.Alt, other)
			}
			taken[p.Alt] = fmt.Sprintf("port %d", i)
		}
	})
	link := func(node, name, bridge string) topology.Link {
		return topology.Link{A: topology.Endpoint{Node: node, Interface: name}, B: topology.Endpoint{Bridge: bridge}}
	}
	l := &topology.Lab{Name: "lab", Bridges: []topology.Bridge{{Name: "lan"}, {Name: "e.f"}, {Name: "docker0", External: true}}, Links: []topology.Link{
		link("web", "eth0", "lan"), link("a-node-with-a-long-name", "eth0", "lan"), link("e", "f", "lan"),
		link("a", "b.c", "lan"), link("a.b", "c", "lan"),
		link("one-of-two", "with.dots.in", "lan"), link("one-of-two.with", "dots.in", "lan"),
		link("a-node-with-a-long-name", "eth1", "docker0"),
		{A: topology.Endpoint{Node: "a-node-with-a-long-name", Interface: "p"}, B: topology.Endpoint{Node: "web", Interface: "p"}},
	}}
	hash := func(node, name string) string { return "_port" + bridge.Digest(node, name) }
	want := []Port{
		{"web.eth0", ""}, {hash("a-node-with-a-long-name", "eth0"), "a-node-with-a-long-name.eth0"}, {hash("e", "f"), ""},
		{"a.b.c", ""}, {hash("a.b", "c"), ""}, // what fits is the first one's, as ever
		{hash("one-of-two", "with.dots.in"), ""}, {hash("one-of-two.with", "dots.in"), ""},
		{bridge.PortName("lab", "a-node-with-a-long-name", "eth1"), ""}, {},
	}
	if diff := cmp.Diff(want, Ports(l)); diff != "" {
		t.Error(diff)
	}
}

// The kernel looks for a peer's carrier by its index, and takes one that is its own for none.
func TestIndexes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := anyLab().Draw(t, "lab")
		changes, err := Plan(Of(l, true), nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[Place]map[int]string{}
		take := func(e *End, index int) {
			if e.Place == Host {
				return
			}
			if seen[e.Place] == nil {
				seen[e.Place] = map[int]string{}
			}
			if other := seen[e.Place][index]; other != "" {
				t.Fatalf("%s and %s of %q both have index %d", other, e.Name, e.Place, index)
			}
			if seen[e.Place][index] = e.Name; index < firstInterface {
				t.Fatalf("index %d of %s is of an interface that the kernel makes", index, e.Name)
			}
		}
		for _, s := range Steps(changes) {
			switch s.Verb {
			case AddBridge:
				take(&End{Place: Fabric, Name: s.Bridge.Name}, s.Index)
			case AddCable:
				take(&s.Cable.A, s.Index)
				take(&s.Cable.B, s.IndexB)
				if s.Index == s.IndexB {
					t.Fatalf("both ends of %s have index %d", s.Cable.Name, s.Index)
				}
			}
		}
	})
}

func TestLinkLocal(t *testing.T) {
	t.Parallel()
	for mac, want := range map[string]string{
		"02:00:00:00:00:01": "fe80::ff:fe00:1/64",
		"00:11:22:33:44:55": "fe80::211:22ff:fe33:4455/64",
		"fe:ff:ff:ff:ff:ff": "fe80::fcff:ffff:feff:ffff/64",
	} {
		if got, ok := linkLocal(mac); !ok || got.String() != want {
			t.Errorf("%s gives %v, not %s", mac, got, want)
		}
	}
	for _, mac := range []string{"", "nonsense", "02:00:00:00:00", "02:00:00:00:00:00:00:01"} {
		if got, ok := linkLocal(mac); ok {
			t.Errorf("%q gives %v", mac, got)
		}
	}
}

func TestLinkName(t *testing.T) {
	t.Parallel()
	a := topology.Endpoint{Node: "a", Interface: "eth0"}
	if got := LinkName(&topology.Link{A: a, B: topology.Endpoint{Bridge: "lan0"}}); got != "a:eth0 -- lan0" {
		t.Errorf("got %q", got)
	}
	if got := LinkName(&topology.Link{A: a, B: topology.Endpoint{Node: "b", Interface: "ptp0"}}); got != "a:eth0 -- b:ptp0" {
		t.Errorf("got %q", got)
	}
}

// The alias of an interface tells whose leg it is.
func TestLegOf(t *testing.T) {
	t.Parallel()
	for alias, want := range map[string][2]string{
		Mark("demo") + "lan0": {"demo", "lan0"}, Mark("demo") + "web:eth0": {}, "nsnet:attach:0123456789": {}, "demo:lan0": {}, "": {}, "nsnet:demo": {},
	} {
		if lab, bridge := LegOf(alias); lab != want[0] || bridge != want[1] {
			t.Errorf("%q: %q, %q", alias, lab, bridge)
		}
	}
}

func TestAttached(t *testing.T) {
	t.Parallel()
	for alias, want := range map[string]bool{
		"nsnet:attach:0123456789": true, "nsnet:attach:00ff00ff00": true, Mark("attach") + "lan0": false, Mark("attach") + "web:eth0": false, Mark("attach"): false, Mark("attached") + "0123456789": false,
	} {
		if got := Attached(alias); got != want {
			t.Errorf("%s: %v", alias, got)
		}
	}
}
