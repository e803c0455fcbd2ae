package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/topology"
)

// checkIPv6 finds that a lab needs IPv6 of a kernel that has none: one that is built without, or booted with ipv6.disable=1. What only
// has it turned off, by sysctls or ipv6.disable_ipv6=1, has it for the lab's interfaces.
func checkIPv6(l *topology.Lab, root string) error {
	if hasIPv6(root) {
		return nil
	}
	object, what := needsIPv6(l)
	if object == "" {
		return nil
	}
	return &Error{Object: object, Err: fmt.Errorf("%w: it has no IPv6, which is needed for %s", ErrUnsupported, what),
		Remedy: bootWithIPv6 + ", or take IPv6 out of the file"}
}

const bootWithIPv6 = "boot without ipv6.disable=1 on the kernel's command line"

// NeedIPv6 returns an error, ErrUnsupported, on a kernel that has no IPv6.
func NeedIPv6() error {
	if hasIPv6("/") {
		return nil
	}
	return fmt.Errorf("%w: it has no IPv6; %s", ErrUnsupported, bootWithIPv6)
}

func hasIPv6(root string) bool {
	_, err := os.Stat(filepath.Join(root, "proc/sys/net/ipv6/conf/default"))
	return err == nil
}

// needsIPv6 returns what of a lab needs IPv6, and for what; nothing where all is IPv4.
func needsIPv6(l *topology.Lab) (object, what string) {
	first := func(object string, addrs []netip.Prefix) (string, string) {
		if i := slices.IndexFunc(addrs, func(p netip.Prefix) bool { return p.Addr().Is6() }); i >= 0 {
			return object, "the address " + addrs[i].String()
		}
		return "", ""
	}
	for i := range l.Bridges {
		if t := &l.Bridges[i]; !t.External {
			if object, what = first("bridge "+t.Name, t.Addresses); object != "" {
				return object, what
			}
		}
	}
	for i := range l.Links {
		for _, e := range []*topology.Endpoint{&l.Links[i].A, &l.Links[i].B} {
			if object, what = first(e.Node+":"+e.Interface, e.Addresses); object != "" {
				return object, what
			}
		}
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		for _, r := range n.Routes {
			if r.To.Addr().Is6() || r.Via.Is6() {
				return "node " + n.Name, "the route to " + r.To.String()
			}
		}
		for _, k := range slices.Sorted(maps.Keys(n.Sysctls)) {
			if strings.HasPrefix(container.SysctlPath(k), "net/ipv6/") {
				return "node " + n.Name, "the sysctl " + k
			}
		}
		for _, p := range n.Ports {
			if p.HostAddr.Is6() {
				return "node " + n.Name, "the port at " + p.HostAddr.String()
			}
		}
	}
	return "", ""
}
