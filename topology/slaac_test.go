package topology

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSLAAC(t *testing.T) {
	t.Parallel()
	l, err := Parse("t.yaml", []byte(`
name: t
defaults: {sysctls: {net.ipv6.conf.all.forwarding: 1}}
nodes: {a: , b: {sysctls: {net.ipv6.conf.e.accept_dad: 1}}, c: }
links:
  - endpoints: [{node: a, interface: e0, slaac: true}, {node: a, interface: e.1, slaac: true}]
  - endpoints: [{node: a, interface: e2, slaac: false}, {node: b, interface: e, slaac: true}]
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{
		{"net.ipv6.conf.all.forwarding": "1", "net.ipv6.conf.e0.accept_ra": "2", "net.ipv6.conf.e/1.accept_ra": "2"},
		{"net.ipv6.conf.all.forwarding": "1", "net.ipv6.conf.e.accept_dad": "1", "net.ipv6.conf.e.accept_ra": "2"},
		{"net.ipv6.conf.all.forwarding": "1"}, // and not the others', whose map it had in common
	}
	for i := range want {
		if diff := cmp.Diff(want[i], l.Nodes[i].Sysctls); diff != "" {
			t.Errorf("%s (-want +got):\n%s", l.Nodes[i].Name, diff)
		}
	}
}
