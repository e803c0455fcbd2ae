package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawn is a random right topology in pieces, so that the pieces of maps can be put in any
// order.
type drawn struct {
	nodes, bridges, links []string
	subnets               map[string][]netip.Prefix
}

func (d drawn) text(nodes, bridges []int) string {
	var b strings.Builder
	b.WriteString("links:\n" + strings.Join(d.links, "") + "bridges:\n")
	for _, i := range bridges {
		b.WriteString(d.bridges[i])
	}
	b.WriteString("name: t\nnodes:\n")
	for _, i := range nodes {
		b.WriteString(d.nodes[i])
	}
	return b.String()
}

func topologies() *rapid.Generator[drawn] {
	return rapid.Custom(func(t *rapid.T) drawn {
		d := drawn{subnets: map[string][]netip.Prefix{}}
		nodes := rapid.IntRange(1, 8).Draw(t, "nodes")
		for i := range nodes {
			keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
				"tun: true", "env: {B: 1, A: 2}", "command: [a]", "limits: {cpu: 1}", "hostname: h"}), 0, 5, rapid.ID).Draw(t, "keys")
			d.nodes = append(d.nodes, fmt.Sprintf("  n%d: {%s}\n", i, strings.Join(keys, ", ")))
		}
		bridges := rapid.IntRange(0, 4).Draw(t, "bridges")
		for i := range bridges {
			v4 := fmt.Sprintf("10.%d.0.0/%d", i, rapid.IntRange(24, 28).Draw(t, "bits"))
			v6 := fmt.Sprintf("fd00:%d::/64", i)
			name := fmt.Sprintf("br%d", i)
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				d.bridges = append(d.bridges, "  "+name+": {}\n")
			case 1:
				d.bridges = append(d.bridges, fmt.Sprintf("  %s: {subnet: [%q, %q]}\n", name, v4, v6))
				d.subnets[name] = prefixes(v4, v6)
			case 2:
				d.bridges = append(d.bridges, fmt.Sprintf("  %s: {nat: true, address: %q}\n", name, strings.Replace(v4, "0/", "1/", 1)))
				d.subnets[name] = prefixes(v4)
			case 3:
				d.bridges = append(d.bridges, fmt.Sprintf("  %s: {external: true, subnet: %q}\n", name, v6))
				d.subnets[name] = prefixes(v6)
			}
		}
		for i := range rapid.IntRange(0, 12).Draw(t, "links") {
			a := fmt.Sprintf("n%d:e%d", rapid.IntRange(0, nodes-1).Draw(t, "a"), i)
			if b := rapid.IntRange(-2, bridges-1).Draw(t, "b"); b >= 0 {
				fixed := ""
				if s := d.subnets[fmt.Sprintf("br%d", b)]; len(s) > 0 && s[0].Addr().Is4() && rapid.Bool().Draw(t, "fixed") {
					fixed = fmt.Sprintf(", address: 10.%d.0.%d/%d", b, 2+rapid.IntRange(0, 11).Draw(t, "last"), s[0].Bits())
				}
				d.links = append(d.links, fmt.Sprintf("- {endpoints: [%q, br%d]%s}\n", a, b, fixed))
			} else {
				d.links = append(d.links, fmt.Sprintf("- {endpoints: [%q, \"n%d:f%d\"], addresses: [10.200.%d.1/32, 10.200.%d.2/32]}\n",
					a, rapid.IntRange(0, nodes-1).Draw(t, "b"), i, i, i))
			}
		}
		return d
	})
}

func upTo(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// TestRandomTopologies: a right file gives unique addresses inside their subnets, the same
// each time, whatever the order of the maps.
func TestRandomTopologies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := topologies().Draw(t, "topology")
		text := d.text(upTo(len(d.nodes)), upTo(len(d.bridges)))
		lab, err := Parse("/l/lab.yaml", []byte(text), Options{})
		if err != nil {
			// Two links may have drawn the same fixed address: the only error there can be.
			if !strings.Contains(err.Error(), "duplicate address") {
				t.Fatalf("%v\n%s", err, text)
			}
			return
		}
		seen := map[netip.Addr]bool{}
		macs := map[string]bool{}
		for _, b := range lab.Bridges {
			for _, a := range b.Addresses {
				seen[a.Addr()] = true
			}
		}
		for _, l := range lab.Links {
			for _, e := range []Endpoint{l.A, l.B} {
				if e.Node == "" {
					continue
				}
				if macs[e.MAC] {
					t.Fatalf("MAC %s twice", e.MAC)
				}
				macs[e.MAC] = true
				for _, a := range e.Addresses {
					if seen[a.Addr()] {
						t.Fatalf("%s twice\n%s", a, text)
					}
					seen[a.Addr()] = true
				}
			}
			if l.B.Bridge == "" {
				continue
			}
			var got []netip.Prefix
			for _, a := range l.A.Addresses {
				got = append(got, a.Masked())
			}
			if !slices.Equal(got, d.subnets[l.B.Bridge]) {
				t.Fatalf("%s has %v on bridge %s with %v", l.A.Node, l.A.Addresses, l.B.Bridge, d.subnets[l.B.Bridge])
			}
		}

		shuffled, err := Parse("/l/lab.yaml", []byte(d.text(
			rapid.Permutation(upTo(len(d.nodes))).Draw(t, "order of nodes"),
			rapid.Permutation(upTo(len(d.bridges))).Draw(t, "order of bridges"))), Options{})
		if err != nil {
			t.Fatal(err)
		}
		lab.AskedAt, shuffled.AskedAt = nil, nil // places
		slices.SortFunc(shuffled.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
		slices.SortFunc(shuffled.Bridges, func(a, b Bridge) int { return strings.Compare(a.Name, b.Name) })
		if diff := cmp.Diff(lab, shuffled, addressesAreEqual); diff != "" {
			t.Fatalf("the order of the maps matters: %s", diff)
		}
	})
}

// TestRandomText: no text makes Parse panic, and its errors have places.
func TestRandomText(t *testing.T) {
	words := []string{"name", "nodes", "bridges", "links", "endpoints", "defaults", "routes", "addresses", "a", "l", ":", ": ", "- ", "\n", "\n  ",
		"{", "}", "[", "]", ", ", "&x ", "*x", "<<: ", "'", `"`, "10.0.0.1/24", "a:e", "fd00::/64", "address: ", "subnet: ", "~", "1", "|", "#", "\t"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom(words)).Draw(t, "words"), "")
		verdict(t, []byte(text))
	})
}

// verdict parses a text twice and checks what must hold for every text.
func verdict(t interface{ Fatalf(string, ...any) }, data []byte) {
	lab, err := Parse("/l/lab.yaml", data, Options{})
	again, err2 := Parse("/l/lab.yaml", data, Options{})
	if fmt.Sprint(err) != fmt.Sprint(err2) {
		t.Fatalf("%v, then %v", err, err2)
	}
	if diff := cmp.Diff(lab, again, addressesAreEqual); diff != "" {
		t.Fatalf("not deterministic: %s", diff)
	}
	if err == nil {
		return
	}
	var errs Errors
	if !errors.As(err, &errs) || len(errs) == 0 {
		t.Fatalf("a %T: %v", err, err)
	}
	lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2
	for _, e := range errs {
		if e.Line < 0 || e.Line > lines || e.Msg == "" || len(e.Msg) > 4*maxMessage+10 ||
			strings.IndexFunc(e.Msg, unicode.IsControl) >= 0 || strings.Contains(e.Msg, "%!") && !strings.Contains(string(data), "%") {
			t.Fatalf("bad error %+v", e)
		}
	}
}
