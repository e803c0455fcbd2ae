package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v4"
)

// resolveNodes fills in the nodes: their own keys, the defaults, routes.
func (r *resolver) resolveNodes() {
	def := &r.f.defaults
	defEnv := envLines(def.env.v)
	ports := map[Port]owner{}
	for i := range r.f.nodes {
		s := &r.f.nodes[i]
		if r.d.halted {
			return
		}
		inherit(s, def)
		// Merged maps, and routes and ports of the defaults, cost for each node again, and
		// several times what visiting a YAML node does.
		cost := len(s.env.v) + len(s.sysctls.v) + len(s.ports.v) + len(s.routes.v)*(1+len(r.ends[i])) +
			len(s.binds.v) + len(s.tmpfs.v) + len(s.layers.v)
		for _, u := range s.unions.v {
			cost += 1 + len(u.Layers)
		}
		if !r.d.spend(s.n, 4*cost) {
			return
		}
		n := &r.lab.Nodes[i]
		*n = Node{
			Name: s.name, Image: s.image.v, Hostname: s.hostname.v,
			Workdir: s.workdir.v, User: s.user.v, Sysctls: s.sysctls.v, Caps: s.caps.v,
			Privileged: s.privileged.v, Seccomp: s.seccomp.v, NoNewPrivs: s.nnp.n == nil || s.nnp.v,
			Tun: s.tun.v, Hosts: orNil(s.hosts.v), Limits: s.limits.v, Restart: s.restart.v, StopSignal: s.stopSignal.v,
			Layers: orNil(s.layers.v), Storage: s.storage.v, Writable: Writable{Size: s.writable.v, Persist: s.persist.v},
		}
		if id, beyond := idBeyond(n.User); beyond && !n.Privileged {
			r.d.errorf(s.user.n, "user %q: a node has the ids from 0 to %d, and no %s", n.User, maxID, id)
		}
		n.Limits.IO = orNil(n.Limits.IO)
		if err := n.Limits.Conflict(); err != nil {
			r.d.errorf(s.limits.n, "node %s: %v", n.Name, err)
		}
		if n.Sysctls = r.slaac(i, n.Sysctls); len(n.Sysctls) == 0 {
			n.Sysctls = nil
		}
		n.setCommand(s)
		if n.Image.Kind == "" {
			n.Image.Kind = ImageHost
		}
		if n.Hostname == "" {
			n.Hostname = n.Name
		}
		if n.Seccomp == "" {
			n.Seccomp = "default"
		}
		if s.env.n == def.env.n {
			n.Env = defEnv
		} else {
			n.Env = envLines(s.env.v)
		}
		if s.dns.n != nil {
			n.DNS = &DNS{orNil(s.dns.v.Nameservers), orNil(s.dns.v.Search), orNil(s.dns.v.Options)}
		}
		if s.ready.v != nil {
			own := *s.ready.v // that of the defaults is every node's
			n.Ready = &own
		}
		r.mounts(s, n)
		r.checkLayers(n, s.layers.n)
		if n.Storage == StorageCopy && n.Image.Kind == ImageHost {
			r.d.errorf(s.storage.n, "node %s is on the host's root, which is too much to be copied: give it another image, or leave out storage: copy", n.Name)
		}
		for _, p := range s.ports.v {
			if other, ok := ports[withoutTarget(p.Port)]; ok {
				r.d.errorf(p.n, "port %d/%s of the host's %s is published by %s already (line %d)",
					p.HostPort, p.Protocol, p.HostAddr, other.who, other.n.Line)
				continue
			}
			ports[withoutTarget(p.Port)] = owner{"node " + s.name, p.n}
			n.Ports = append(n.Ports, p.Port)
		}
		n.Routes = r.routes(i, s)
		r.sysctlInterfaces(i, s, def)
	}
}

// setCommand puts entrypoint and command together, unless the image has a say in either.
func (n *Node) setCommand(s *nodeSpec) {
	if n.Image.Stored() {
		n.ReadyGiven = s.ready.n != nil
		n.Entrypoint, n.Command = orNil(s.entrypoint.v), orNil(s.command.v)
		n.EntrypointGiven, n.CommandGiven = s.entrypoint.n != nil, s.command.n != nil
		return
	}
	n.Command = orNil(slices.Concat(s.entrypoint.v, s.command.v))
}

// withoutTarget is what two published ports must not have in common.
func withoutTarget(p Port) Port {
	p.Port = 0
	return p
}

// inherit gives a node what the defaults say and the node does not. Mappings are merged key
// by key and binds by target, anything else is taken whole.
func inherit(s, def *nodeSpec) {
	s.image = s.image.or(def.image)
	s.hostname = s.hostname.or(def.hostname)
	s.command = s.command.or(def.command)
	s.entrypoint = s.entrypoint.or(def.entrypoint)
	s.env = mergeMaps(s.env, def.env)
	s.workdir = s.workdir.or(def.workdir)
	s.user = s.user.or(def.user)
	s.binds = mergeBinds(s.binds, def.binds)
	s.tmpfs = s.tmpfs.or(def.tmpfs)
	s.sysctls = mergeMaps(s.sysctls, def.sysctls)
	s.caps = s.caps.or(def.caps)
	s.privileged = s.privileged.or(def.privileged)
	s.seccomp = s.seccomp.or(def.seccomp)
	s.nnp = s.nnp.or(def.nnp)
	s.tun = s.tun.or(def.tun)
	s.hosts = s.hosts.or(def.hosts)
	s.routes = s.routes.or(def.routes)
	s.ports = s.ports.or(def.ports)
	s.layers = s.layers.or(def.layers)
	s.unions = s.unions.or(def.unions)
	s.storage = s.storage.or(def.storage)
	s.persist = s.persist.or(def.persist)
	s.writable = s.writable.or(def.writable)
	s.restart = s.restart.or(def.restart)
	s.stopSignal = s.stopSignal.or(def.stopSignal)
	s.ready = s.ready.or(def.ready)
	s.depends = s.depends.or(def.depends)

	s.dns.n = s.dns.or(def.dns).n
	s.dns.v.Nameservers = orList(s.dns.v.Nameservers, def.dns.v.Nameservers)
	s.dns.v.Search = orList(s.dns.v.Search, def.dns.v.Search)
	s.dns.v.Options = orList(s.dns.v.Options, def.dns.v.Options)

	s.limits = opt[Limits]{s.limits.v.or(def.limits.v), s.limits.or(def.limits).n}
}

// orList keeps an empty list: it was given to have none of the defaults.
func orList[T any](own, def []T) []T {
	if own == nil {
		return def
	}
	return own
}

// orNil makes an empty list none at all: in a Lab they mean the same, and one that was
// written as JSON and read back is equal to the first.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// mergeMaps shares nothing with the defaults unless the node says nothing itself; then the
// map is a copy, so that no two nodes of a Lab share one.
func mergeMaps(own, def opt[map[string]string]) opt[map[string]string] {
	if def.n == nil {
		return own
	}
	if own.n == nil {
		return opt[map[string]string]{maps.Clone(def.v), def.n}
	}
	m := make(map[string]string, len(own.v)+len(def.v))
	maps.Copy(m, def.v)
	maps.Copy(m, own.v)
	return opt[map[string]string]{m, own.n}
}

// mergeBinds adds the binds of the defaults at whose targets the node has none of its own. An
// empty list of the node's own is kept: it was given to have none of the defaults.
func mergeBinds(own, def opt[[]bindSpec]) opt[[]bindSpec] {
	if own.n == nil {
		return def
	}
	if len(own.v) == 0 || len(def.v) == 0 {
		return own
	}
	taken := make(map[string]bool, len(own.v))
	for _, b := range own.v {
		taken[b.Target] = true
	}
	all := make([]bindSpec, 0, len(def.v)+len(own.v))
	for _, b := range def.v {
		if !taken[b.Target] {
			all = append(all, b)
		}
	}
	return opt[[]bindSpec]{append(all, own.v...), own.n}
}

// envLines is a map as sorted "K=V".
func envLines(env map[string]string) []string {
	if len(env) == 0 {
		return nil
	}
	lines := make([]string, 0, len(env))
	for k, v := range env {
		lines = append(lines, k+"="+v)
	}
	slices.Sort(lines)
	return lines
}

// mounts copies binds, tmpfs and unions and refuses two on one path.
func (r *resolver) mounts(s *nodeSpec, n *Node) {
	if s.persist.v && s.writable.n != nil {
		r.d.errorf(s.writable.n, "writable_size bounds a writable layer in memory; with persist: true node %s has it on disk", s.name)
	}
	if len(s.binds.v)+len(s.tmpfs.v)+len(s.unions.v) == 0 {
		return
	}
	taken := make(map[string]*yaml.Node, len(s.binds.v)+len(s.tmpfs.v))
	free := func(target string, at *yaml.Node) bool {
		if first, ok := taken[target]; ok {
			r.d.errorf(at, "node %s has a mount on %s already (line %d)", s.name, target, first.Line)
			return false
		}
		taken[target] = at
		return true
	}
	for _, b := range s.binds.v {
		if free(b.Target, b.n) {
			n.Binds = append(n.Binds, b.Bind)
		}
	}
	for _, t := range s.tmpfs.v {
		if free(t.Target, t.n) {
			n.Tmpfs = append(n.Tmpfs, t.Tmpfs)
		}
	}
	for _, u := range s.unions.v {
		if !free(u.Path, u.n) {
			continue
		}
		if u.Storage == "" {
			u.Storage, u.storage = n.Storage, s.storage.n
		}
		r.checkUnion(s.name, &u)
		n.Unions = append(n.Unions, u.Union)
	}
}

// routes checks a node's routes and adds the default ones through a bridge's gateway.
func (r *resolver) routes(node int, s *nodeSpec) []Route {
	out := make([]Route, 0, len(s.routes.v)+2)
	var explicit [2]bool
	type key struct {
		to     netip.Prefix
		metric int
	}
	seen := map[key]*yaml.Node{}
	for _, rt := range s.routes.v {
		k := key{rt.To, rt.Metric}
		if first, ok := seen[k]; ok {
			r.d.errorf(rt.n, "node %s has a route to %s already (line %d); give them different metrics", s.name, rt.To, first.Line)
			continue
		}
		seen[k] = rt.n
		if rt.To.Bits() == 0 {
			explicit[family(rt.To.Addr())] = true
		}
		r.checkRoute(node, s, rt)
		out = append(out, rt.Route)
	}
	for _, i := range r.ends[node] {
		w := &r.wires[i]
		if w.bridge < 0 {
			continue
		}
		for _, gw := range r.lab.Bridges[w.bridge].Addresses {
			f := family(gw.Addr())
			if explicit[f] || gw.Addr().IsLinkLocalUnicast() || !reaches(w.link.A.Addresses, gw.Addr()) {
				continue
			}
			explicit[f] = true
			to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if f == 1 {
				to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
			out = append(out, Route{To: to, Via: gw.Addr()})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// reaches tells whether an interface with these addresses is on the same subnet as a.
func reaches(own []netip.Prefix, a netip.Addr) bool {
	for _, p := range own {
		if p.Contains(a) && p.Addr() != a {
			return true
		}
	}
	return false
}

// standing tells that a route is there by itself, or one in whose place the kernel takes no other: that to the subnet of an interface's
// address, which has the metric 0, of IPv6 256, or that to the other end of a point-to-point link.
func standing(e *Endpoint, rt *Route) string {
	const subnet6, user6 = 256, 1024 // IP6_RT_PRIO_ADDRCONF, IP6_RT_PRIO_USER
	same := !rt.Via.IsValid() && rt.Dev == e.Interface
	for _, p := range e.Addresses {
		if p.Masked() != rt.To.Masked() || p.Bits() == p.Addr().BitLen() {
			continue
		}
		its := 0
		if p.Addr().Is6() {
			its = subnet6
		}
		switch {
		case rt.Metric != its:
		case same:
			return fmt.Sprintf("the route to %s through %s is there by itself, for the address %s: leave it out", rt.To, e.Interface, p)
		default:
			return fmt.Sprintf("a route to %s is there by itself, through %s for the address %s, with metric %d: give this one another metric, with which it comes after that, or the parts of the subnet that it is for", rt.To, e.Interface, p, its)
		}
	}
	for _, p := range e.Peers {
		if p == rt.To && (rt.Metric == 0 || p.Addr().Is6() && rt.Metric == user6) {
			return fmt.Sprintf("the route to %s is there by itself, through %s to the other end of the link: leave it out, or give it a metric", rt.To, e.Interface)
		}
	}
	return ""
}

// atOtherEnd tells whether an address is one that the other end of a link has. A link-local one needs dev, as each link has such.
func atOtherEnd(far *Endpoint, a netip.Addr) bool {
	return !a.IsLinkLocalUnicast() && slices.ContainsFunc(far.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
}

// checkRoute tells whether a node can use a route: the device exists, the next hop is on
// one of its subnets or at the other end of a point-to-point link.
func (r *resolver) checkRoute(node int, s *nodeSpec, rt routeSpec) {
	found, onLink := false, false
	var ifaces []string
	for _, i := range r.ends[node] {
		w := &r.wires[i]
		for side := range w.sides() {
			e := w.end(side)
			if e.Node != s.name {
				continue
			}
			found = found || e.Interface == rt.Dev
			if text := standing(e, &rt.Route); text != "" {
				r.d.errorf(rt.n, "%s", text)
				return
			}
			if rt.dev != nil {
				ifaces = append(ifaces, e.Interface)
			}
			for _, p := range e.Addresses {
				if p.Addr() == rt.Via {
					r.d.errorf(rt.via, "via %s is node %s's own address", rt.Via, s.name)
					return
				}
				onLink = onLink || p.Contains(rt.Via)
			}
			onLink = onLink || w.bridge < 0 && atOtherEnd(w.end(1-side), rt.Via)
		}
	}
	switch {
	case rt.dev != nil && !found && !r.d.full():
		r.d.errorf(rt.dev, "node %s has no interface %q%s", s.name, rt.Dev, didYouMean(rt.Dev, ifaces))
	case rt.dev != nil && !found:
		r.d.more++
	case rt.dev == nil && !onLink:
		r.d.errorf(rt.via, "via %s is on no subnet of node %s; give dev to use it anyway", rt.Via, s.name)
	}
}
