package labinit

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// anyLab is a lab with names as the file may have them, those of this package's making
// included, and many links between few nodes.
func anyLab() *rapid.Generator[*topology.Lab] {
	bridgeName := rapid.OneOf(
		rapid.SampledFrom([]string{"host0", "host1", "port0", "port1", "a.eth0", "b.eth1", "lan0"}),
		rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,14}`))
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
			take(LegPort(i), fmt.Sprintf("leg %d", i))
		}
		names := portNames(l)
		if len(names) != len(l.Links) {
			t.Fatalf("%d names for %d links", len(names), len(l.Links))
		}
		for i, name := range names {
			take(name, fmt.Sprintf("port %d", i))
		}
	})
	l := &topology.Lab{Links: []topology.Link{
		{A: topology.Endpoint{Node: "web", Interface: "eth0"}, B: topology.Endpoint{Bridge: "lan0"}},
		{A: topology.Endpoint{Node: "a-node-with-a-long-name", Interface: "eth0"}, B: topology.Endpoint{Bridge: "lan0"}},
	}}
	if got := portNames(l); got[0] != "web.eth0" || strings.Contains(got[1], ".") {
		t.Errorf("ports are called %q", got)
	}
}

// The kernel looks for a peer's carrier by its index, and takes one that is its own for none.
func TestIndexes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := anyLab().Draw(t, "lab")
		at := Indexes(l)
		if len(at) != len(l.Links) {
			t.Fatalf("%d of %d links have indexes", len(at), len(l.Links))
		}
		seen := map[string]bool{}
		take := func(e topology.Endpoint, index int) {
			key := fmt.Sprint(e.Node, " ", index)
			if seen[key] {
				t.Fatalf("node %s has two interfaces with index %d", e.Node, index)
			}
			if seen[key] = true; index < FirstInterface {
				t.Fatalf("index %d of %s:%s is of an interface that the kernel makes", index, e.Node, e.Interface)
			}
		}
		for i, k := range l.Links {
			take(k.A, at[i][0])
			if k.B.Node == "" {
				if port := firstPort + len(l.Bridges) + i; at[i][0] == port {
					t.Fatalf("both ends of link %d have index %d", i, port)
				}
				continue
			}
			take(k.B, at[i][1])
			if at[i][0] == at[i][1] {
				t.Fatalf("both ends of link %d have index %d", i, at[i][0])
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
	if got := linkName(&topology.Link{A: a, B: topology.Endpoint{Bridge: "lan0"}}); got != "a:eth0 -- lan0" {
		t.Errorf("got %q", got)
	}
	if got := linkName(&topology.Link{A: a, B: topology.Endpoint{Node: "b", Interface: "ptp0"}}); got != "a:eth0 -- b:ptp0" {
		t.Errorf("got %q", got)
	}
}

// A node's own addresses come first, in file order, whichever end of a link it is.
func TestTargets(t *testing.T) {
	t.Parallel()
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, p := range list {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	l := &topology.Lab{Links: []topology.Link{
		{A: topology.Endpoint{Node: "web", Interface: "eth0", Addresses: prefixes("192.0.2.2/24", "2001:db8::2/64")}, B: topology.Endpoint{Bridge: "lan0"}},
		{A: topology.Endpoint{Node: "db", Interface: "eth0", Addresses: prefixes("192.0.2.3/24")}, B: topology.Endpoint{Bridge: "lan0"}},
		{A: topology.Endpoint{Node: "db", Interface: "p0", Addresses: prefixes("10.1.1.1/32")}, B: topology.Endpoint{Node: "web", Interface: "p0", Addresses: prefixes("10.1.1.2/32")}},
	}}
	text := func(node string, port uint16) string {
		var out []string
		for _, t := range targets(l, proto.PublishedPort{Node: node, Port: port, Protocol: "tcp"}) {
			out = append(out, t.String())
		}
		return strings.Join(out, " ")
	}
	for node, want := range map[string]string{
		"web":  "192.0.2.2:80 [2001:db8::2]:80 10.1.1.2:80 127.0.0.1:80 [::1]:80",
		"db":   "192.0.2.3:80 10.1.1.1:80 127.0.0.1:80 [::1]:80",
		"idle": "127.0.0.1:80 [::1]:80",
	} {
		if got := text(node, 80); got != want {
			t.Errorf("a port of %s leads to %s, not %s", node, got, want)
		}
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	refused := fmt.Errorf("the kernel: %w", unix.ENOSPC)
	for name, tc := range map[string]struct {
		err  error
		want proto.Failure
	}{
		"anything": {errors.New("odd"), proto.Failure{Op: "build the lab", Text: "odd"}},
		"an errno": {refused, proto.Failure{Op: "build the lab", Text: refused.Error(), Errno: uint32(unix.ENOSPC)}},
		"a step": {&buildError{op: "create link", node: "web", object: "web:eth0 -- lan0", err: refused},
			proto.Failure{Op: "create link", Node: "web", Object: "web:eth0 -- lan0", Text: refused.Error(), Errno: uint32(unix.ENOSPC)}},
		"a step, wrapped": {fmt.Errorf("again: %w", &buildError{op: "boot", node: "a", err: errors.New("no")}),
			proto.Failure{Op: "boot", Node: "a", Text: "no"}},
		"a command": {&buildError{op: "prepare", node: "a", err: &container.StepError{Label: container.FindCommand, Text: "ngnix", Err: unix.ENOENT}},
			proto.Failure{Op: "prepare", Node: "a", Text: "find the command: ngnix: no such file or directory", Errno: uint32(unix.ENOENT), Command: "ngnix"}},
	} {
		if got := failure(tc.err); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
	if !errors.Is(&buildError{op: "x", err: refused}, syscall.ENOSPC) {
		t.Error("a build error hides its errno")
	}
}

// short is a listener of a process that has no descriptors left for some time.
type short struct {
	net.Listener
	errs []error
}

func (s *short) Accept() (net.Conn, error) {
	if len(s.errs) == 0 {
		return nil, nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
}

// A flood of connections to a published port must not end the lab.
func TestAcceptOutlastsAWant(t *testing.T) {
	t.Parallel()
	s := &short{errs: []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}}
	if _, err := accept(s); err != nil || len(s.errs) != 0 {
		t.Errorf("%d errors to come, error %v", len(s.errs), err)
	}
	s.errs = []error{unix.EMFILE, unix.EBADF}
	if _, err := accept(s); !errors.Is(err, unix.EBADF) {
		t.Errorf("an error that does not pass is %v", err)
	}
}

// What this kernel has not is left out, and what is so already is not written again.
func TestUnlike(t *testing.T) {
	t.Parallel()
	got := unlike([][2]string{{"kernel.ostype", "Linux"}, {"kernel.ostype", "Plan 9"}, {"net.no.such.key", "1"}})
	if want := [][2]string{{"kernel.ostype", "Plan 9"}}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
