package topology

import (
	"maps"
	"strings"
)

// slaac returns a node's sysctls with those of its interfaces that configure themselves from router advertisements.
// accept_ra is 2, which goes for routers, too.
func (r *resolver) slaac(node int, sysctls map[string]string) map[string]string {
	out := sysctls
	for _, at := range r.ends[node] {
		w := &r.wires[at]
		for side := range w.sides() {
			e, spec := w.end(side), w.spec[side]
			if !spec.slaac.v || r.nodes[e.Node] != node {
				continue
			}
			key := "net.ipv6.conf." + strings.ReplaceAll(e.Interface, ".", "/") + ".accept_ra"
			if _, said := sysctls[key]; said {
				r.d.errorf(spec.slaac.n, "slaac of %s:%s and the sysctl %s say the same; give one of them", e.Node, e.Interface, key)
				continue
			}
			if off := r.ipv6Off(e); off != "" {
				r.d.errorf(spec.slaac.n, "slaac needs IPv6, which the sysctl %s turns off on %s:%s", off, e.Node, e.Interface)
			} else if e.MTU < minMTU6 {
				r.d.errorf(spec.slaac.n, "slaac needs IPv6, for which mtu %d of %s:%s is too small: it needs %d", e.MTU, e.Node, e.Interface, minMTU6)
			}
			if len(out) == len(sysctls) {
				if out = maps.Clone(sysctls); out == nil {
					out = map[string]string{}
				}
			}
			out[key] = "2"
		}
	}
	return out
}
