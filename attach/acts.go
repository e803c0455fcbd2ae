package attach

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"

	"github.com/nsnet/nsnet/attach/worker"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/veth"
)

// handles are the descriptors that acts refer to.
type handles struct {
	target *os.File // network namespace
	far    *os.File // the host's, the fabric's or the peer's
	resolv *os.File // the target's resolv.conf, or the directory for one; nil: it is not to be changed
	dir    *os.File // of the records
}

// act is one act with the words for its failure.
type act struct {
	worker.Act
	labels []string // of its requests, or of the step itself
}

// script collects acts.
type script []act

// batch bounds the requests of one datagram: more answers than fit a socket's buffer are lost.
const batch = 64

// netlink adds requests in one namespace, sent as one datagram if they are not too many, and what takes them
// all back.
func (s *script) netlink(ns *os.File, undo []worker.Step, reqs ...rtnl.Request) {
	for len(reqs) > 0 {
		part := reqs[:min(len(reqs), batch)]
		var labels []string
		for _, r := range part {
			labels = append(labels, r.Label)
		}
		*s = append(*s, act{worker.Act{Do: step(ns, part...), Undo: undo}, labels})
		reqs, undo = reqs[len(part):], nil
	}
}

// sysctl adds a write to a kernel setting of one interface, which may not exist.
func (s *script) sysctl(ns *os.File, family, iface, key, value string) {
	path := fmt.Sprintf("/proc/sys/net/%s/conf/%s/%s", family, iface, key)
	*s = append(*s, act{worker.Act{Do: worker.Step{Kind: worker.Sysctl, FD: int(ns.Fd()), Path: path, Data: []byte(value)}}, []string{"set " + key + " of " + iface}})
}

func step(ns *os.File, reqs ...rtnl.Request) worker.Step {
	return worker.Step{Kind: worker.Netlink, FD: int(ns.Fd()), Data: rtnl.Datagram(reqs...)}
}

// acts is everything that has to be done for a record, in order.
func (r *Record) acts(h *handles, o *observed) (script, error) {
	var s script
	var err error
	switch r.Request.Via.Kind {
	case ViaBridge:
		err = r.bridgeActs(&s, h, o)
	case ViaHost, ViaPeer:
		err = r.cableActs(&s, h)
	case ViaMACVLAN:
		err = r.macvlanActs(&s, h, o)
	case ViaNIC:
		err = r.nicActs(&s, h, o)
	}
	if err != nil {
		return nil, err
	}
	if r.Resolv != nil && h.resolv != nil && r.Resolv.Place != "" {
		file := worker.Step{Kind: worker.Create, FD: int(h.resolv.Fd()), Path: path.Base(r.Resolv.Place), Data: r.Resolv.After}
		back := file
		back.Kind = worker.Remove
		s = append(s, act{worker.Act{Do: file, Undo: []worker.Step{back}}, []string{"create /" + r.Resolv.Place}})
	} else if r.Resolv != nil && h.resolv != nil {
		fd := int(h.resolv.Fd())
		s = append(s, act{worker.Act{
			Do:   worker.Step{Kind: worker.Write, FD: fd, Data: r.Resolv.After},
			Undo: []worker.Step{{Kind: worker.Write, FD: fd, Data: r.Resolv.Before}},
		}, []string{"write resolv.conf"}})
	}
	s = append(s, act{worker.Act{Do: worker.Step{Kind: worker.Rename, FD: int(h.dir.Fd()), Path: r.ID + attaching, Data: []byte(r.ID + attached)}}, []string{"complete the record"}})
	return s, nil
}

// pair makes the cable, with both ends where they belong, and marks this one.
func (r *Record) pair(s *script, h *handles, farMTU int) error {
	name := r.Request.Interface
	create, err := veth.Create(
		veth.End{Name: name, Index: r.Index, MAC: r.MAC, MTU: r.MTU},
		veth.End{Name: r.Port, Index: r.FarIndex, MAC: r.HostMAC, MTU: farMTU, Netns: h.far},
		"create "+name)
	if err != nil {
		return err
	}
	mark := alias(r.ID)
	s.netlink(h.target, []worker.Step{step(h.target, rtnl.DeleteIndex(r.Index, ""))},
		create, rtnl.Change{Index: r.Index, Alias: &mark}.Request("mark "+name))
	return nil
}

func (r *Record) bridgeActs(s *script, h *handles, o *observed) error {
	if mac, needed := o.keepMAC(r.HostMAC); needed {
		s.netlink(h.far, nil, rtnl.Change{Index: o.link.Index, MAC: mac}.Request("keep the MAC of bridge "+o.link.Name))
	}
	// A bridge whose MTU nobody has set takes the least of its ports'.
	if err := r.pair(s, h, max(r.MTU, o.link.MTU)); err != nil {
		return err
	}
	r.configure(s, h)
	// A port has no use for an address of its own, and for the chatter that comes with one.
	s.sysctl(h.far, "ipv6", r.Port, "disable_ipv6", "1")
	mark, up := alias(r.ID), true
	reqs := []rtnl.Request{rtnl.Change{Index: r.FarIndex, Alias: &mark, Master: &o.link.Index, Up: &up}.Request("plug into bridge " + o.link.Name)}
	if v := r.Request.VLAN; v != 0 {
		reqs = append(reqs, rtnl.PortVLAN(r.FarIndex, v, fmt.Sprintf("put port %s into VLAN %d", r.Port, v))...)
	}
	s.netlink(h.far, nil, reqs...)
	return nil
}

// keepMAC tells whether a bridge would change its MAC as a port with this one comes or goes, and which it
// is to keep. To be given it makes a bridge forget its neighbours, so that it is left out where it can be.
func (o *observed) keepMAC(port string) (net.HardwareAddr, bool) {
	if o.pinned || bytes.Equal(o.link.MAC, make([]byte, len(o.link.MAC))) { // nobody's, since its last port left
		return nil, false
	}
	mac, err := net.ParseMAC(port)
	if err != nil || bytes.Compare(mac, o.link.MAC) < 0 {
		return o.link.MAC, true
	}
	for _, l := range o.far.links {
		// It is the lowest of its ports' already, and the new one's is higher.
		if l.Master == o.link.Index && l.MAC.String() == o.link.MAC.String() {
			return nil, false
		}
	}
	return o.link.MAC, true
}

// cableActs makes a cable that has addresses at both ends.
func (r *Record) cableActs(s *script, h *handles) error {
	if err := r.pair(s, h, r.MTU); err != nil {
		return err
	}
	r.configure(s, h)
	if r.Request.Via.Kind == ViaHost {
		// The host takes nothing that a container says for its own configuration.
		for _, key := range []string{"accept_ra", "accept_redirects"} {
			s.sysctl(h.far, "ipv6", r.Port, key, "0")
		}
		s.sysctl(h.far, "ipv4", r.Port, "accept_redirects", "0")
		s.sysctl(h.far, "ipv4", r.Port, "rp_filter", "0")
	}
	r.ipv6(s, h.far, r.Port, r.Request.Via.Addresses)
	mark := alias(r.ID)
	reqs := []rtnl.Request{rtnl.Change{Index: r.FarIndex, Alias: &mark}.Request("mark " + r.Port)}
	reqs = append(reqs, use(r.FarIndex, r.Port, r.Request.Via.Addresses, r.PeerRoutes)...)
	s.netlink(h.far, nil, reqs...)
	return nil
}

func (r *Record) macvlanActs(s *script, h *handles, o *observed) error {
	mac, err := net.ParseMAC(r.MAC)
	if err != nil {
		return err
	}
	name, mark := r.Request.Interface, alias(r.ID)
	create, err := rtnl.MACVLAN{Name: name, Index: r.Index, Parent: o.link.Index, Mode: r.Request.Via.Mode, MAC: mac, MTU: r.MTU, Netns: h.target}.
		Request("create " + name + " on " + o.link.Name)
	if err != nil {
		return err
	}
	s.netlink(h.far, []worker.Step{step(h.target, rtnl.DeleteIndex(r.Index, ""))}, create)
	s.netlink(h.target, nil, rtnl.Change{Index: r.Index, Alias: &mark}.Request("mark "+name))
	r.configure(s, h)
	return nil
}

// nicActs moves a card of the host and marks it, in one message.
func (r *Record) nicActs(s *script, h *handles, o *observed) error {
	name, mark := r.Request.Interface, alias(r.ID)
	s.netlink(h.far, r.home(h.target, h.far, indexes(o.far.links)),
		rtnl.Change{Index: r.NIC.Index, Netns: h.target, Rename: name, NewIndex: r.Index, Alias: &mark}.Request("move "+r.NIC.Name))
	change := rtnl.Change{Index: r.Index, MTU: r.MTU}
	if r.MAC != r.NIC.MAC {
		mac, err := net.ParseMAC(r.MAC)
		if err != nil {
			return err
		}
		change.MAC = mac
	}
	s.netlink(h.target, nil, change.Request("set MAC and MTU of "+name))
	r.configure(s, h)
	return nil
}

// configure gives the target's end its addresses, brings it up and sets the routes, in one datagram: a
// default route is never missing. Taken back, the former default routes come behind the interface's end.
func (r *Record) configure(s *script, h *handles) {
	name := r.Request.Interface
	r.ipv6(s, h.target, name, r.Addresses)
	if r.hasNeighbours() {
		s.sysctl(h.target, "ipv4", name, "arp_notify", "1") // see tell
		s.sysctl(h.target, "ipv6", name, "ndisc_notify", "1")
	}
	down := false
	swap, back := []rtnl.Request{}, []rtnl.Request{rtnl.Change{Index: r.Index, Up: &down}.Request("")}
	for _, raw := range r.Former {
		swap = append(swap, rtnl.DeleteRoute(raw, "set the former default route aside"))
		back = append(back, rtnl.RestoreRoute(raw, 0, ""))
	}
	// What next hops are reached by comes first.
	var first, last []FinalRoute
	for _, t := range r.Routes {
		switch {
		case t.To.Bits() == 0:
			swap = append(swap, through(r.Index, []FinalRoute{t})...)
		case t.Via.IsValid():
			last = append(last, t)
		default:
			first = append(first, t)
		}
	}
	reqs := use(r.Index, name, r.Addresses, first)
	undo := []worker.Step{step(h.target, back...)}
	if len(reqs)+len(swap)+len(last) > batch {
		// The exchange of the default route is never cut in two.
		s.netlink(h.target, undo, reqs...)
		s.netlink(h.target, undo, swap...)
		s.netlink(h.target, undo, through(r.Index, last)...)
		return
	}
	s.netlink(h.target, undo, append(append(reqs, swap...), through(r.Index, last)...)...)
}

// ipv6 has an interface's addresses usable at once, also where the namespace has IPv6 switched off
// for new interfaces, as Docker's have, and addresses of that family are asked for.
func (r *Record) ipv6(s *script, ns *os.File, name string, addresses []netip.Prefix) {
	if hasIPv6(addresses) {
		s.sysctl(ns, "ipv6", name, "disable_ipv6", "0")
	}
	s.sysctl(ns, "ipv6", name, "accept_dad", "0")
}

// use addresses an interface and brings it up, with its routes.
func use(index int, name string, addresses []netip.Prefix, routes []FinalRoute) []rtnl.Request {
	var reqs []rtnl.Request
	for _, p := range addresses {
		reqs = append(reqs, rtnl.Address(index, p, fmt.Sprintf("add address %s to %s", p, name)))
	}
	up := true
	reqs = append(reqs, rtnl.Change{Index: index, Up: &up}.Request("bring up "+name))
	return append(reqs, through(index, routes)...)
}

func through(index int, routes []FinalRoute) []rtnl.Request {
	var reqs []rtnl.Request
	for _, t := range routes {
		reqs = append(reqs, rtnl.Route(t.To, t.Via, index, t.Metric, fmt.Sprintf("add route to %s", t.To)))
	}
	return reqs
}

// home are the steps that bring a lent card back from a namespace to the host's as it was.
// masters are the host's bridges by name.
func (r *Record) home(from, host *os.File, masters map[string]int) []worker.Step {
	steps := []worker.Step{step(from, r.moveHome(host, r.NIC.Index))}
	for _, s := range r.NIC.Settings {
		steps = append(steps, worker.Step{Kind: worker.Sysctl, FD: int(host.Fd()), Path: s.Path, Data: []byte(s.Value)})
	}
	return append(steps, step(host, r.NIC.restore(r.NIC.Index, masters)...))
}

// indexes are those of interfaces by name.
func indexes(links []rtnl.Link) map[string]int {
	m := make(map[string]int, len(links))
	for _, l := range links {
		m[l.Name] = l.Index
	}
	return m
}

// moveHome moves a lent card to the host's namespace, to have this index there.
func (r *Record) moveHome(host *os.File, index int) rtnl.Request {
	return rtnl.Change{Index: r.Index, Netns: host, Rename: r.NIC.Name, NewIndex: index, Alias: &r.NIC.Alias}.Request("move " + r.NIC.Name + " home")
}

// restore is what a card that is home needs to be as it was.
func (n *NIC) restore(index int, masters map[string]int) []rtnl.Request {
	change := rtnl.Change{Index: index, MTU: n.MTU}
	if mac, err := net.ParseMAC(n.MAC); err == nil && len(mac) > 0 {
		change.MAC = mac
	}
	reqs := []rtnl.Request{change.Request("restore MAC and MTU of " + n.Name)}
	for _, raw := range n.Addresses {
		reqs = append(reqs, rtnl.RestoreAddress(raw, index, "restore an address of "+n.Name))
	}
	if master, ok := masters[n.Master]; ok && n.Master != "" {
		reqs = append(reqs, rtnl.Change{Index: index, Master: &master}.Request("plug "+n.Name+" into "+n.Master))
	}
	if n.Up {
		up := true
		reqs = append(reqs, rtnl.Change{Index: index, Up: &up}.Request("bring up "+n.Name))
	}
	for _, raw := range n.Routes {
		reqs = append(reqs, rtnl.RestoreRoute(raw, index, "restore a route of "+n.Name))
	}
	return reqs
}
