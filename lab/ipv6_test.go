package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/topology"
)

// A kernel without IPv6 is enough for a lab that has none, and refused for others before anything is changed.
func TestKernelWithoutIPv6(t *testing.T) {
	t.Parallel()
	without, with := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(with, "proc/sys/net/ipv6/conf/default"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":            {"nodes: {a: }", ""},
		"IPv4":               {"nodes: {a: {ports: ['80:80'], routes: [{to: 10.9.0.0/24, via: 10.0.0.1}]}}\nbridges: {l: {address: 10.0.0.1/24}}\nlinks: [{endpoints: ['a:e', l]}]", ""},
		"a bridge":           {"nodes: {a: }\nbridges: {l: {address: 'fd00::1/64'}}", "bridge l: not supported by this kernel: it has no IPv6, which is needed for the address fd00::1/64"},
		"a pool":             {"nodes: {a: }\nbridges: {l: {subnet: 'fd00::/64'}}\nlinks: [{endpoints: ['a:e', l]}]", "a:e: not supported by this kernel: it has no IPv6, which is needed for the address fd00::1/64"},
		"of the other end":   {"nodes: {a: , b: }\nlinks: [{endpoints: ['a:e', 'b:e'], addresses: [10.0.0.1/32, [10.0.0.2/32, 'fd00::2/128']]}]", "b:e: "},
		"a route":            {"nodes: {a: {routes: [{to: '::/0', dev: e}]}, b: }\nlinks: [{endpoints: ['a:e', 'b:e']}]", "node a: not supported by this kernel: it has no IPv6, which is needed for the route to ::/0"},
		"a sysctl":           {"nodes: {a: {sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}}}", "needed for the sysctl net.ipv6.conf.all.forwarding"},
		"a port of the host": {"nodes: {a: {ports: ['[::1]:80:80']}}", "needed for the port at ::1"},
		"slaac":              {"nodes: {a: }\nbridges: {l: {}}\nlinks: [{endpoints: [{node: a, interface: e, slaac: true}, l]}]", "needed for the sysctl net.ipv6.conf.e.accept_ra"},
	} {
		l, err := topology.Parse("t.yaml", []byte("name: t\n"+tt.text), topology.Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := checkIPv6(l, with); err != nil {
			t.Errorf("%s, on a kernel with IPv6: %v", name, err)
		}
		err = checkIPv6(l, without)
		if (err != nil) != (tt.want != "") || err != nil && (!errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
