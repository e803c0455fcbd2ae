package wiring

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// cables compares the cables that are to be judged with what is seen of their ends.
func (p *planner) cables() error {
	for i := range p.want.Cables {
		k := &p.want.Cables[i]
		if !p.focus.judges(i) {
			p.settled(k)
			continue
		}
		if err := p.cable(k); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) cable(k *Cable) error {
	a, b := p.place(k.A.Place), p.place(k.B.Place)
	la, lb := a.byName[k.A.Name], b.byName[k.B.Name]
	c := Change{Op: "~", Kind: "link", Name: k.Name}
	if k.Leg {
		c.Kind = "leg"
	}
	if lb != nil && k.B.Place == Host && !strings.HasPrefix(lb.Alias, Mark(p.want.Lab)) && !p.paired(k, la, lb) {
		return &Taken{lb.Name}
	}
	if p.paired(k, la, lb) {
		a.index[k.A.Name], b.index[k.B.Name] = la.Index, lb.Index
		why := append(p.end(&c, &k.A, a, la), p.end(&c, &k.B, b, lb)...)
		if len(c.Steps) > 0 {
			c.Detail = strings.Join(why, ", ")
			p.changes = append(p.changes, c)
		}
		return nil
	}
	c.Remade, c.Reason = true, p.broken(k, la, lb)
	if la == nil && lb == nil {
		c.Op, c.Remade = "+", false
		if c.Reason = ""; p.known(k) {
			c.Op, c.Reason = "~", "both of its interfaces are missing"
			c.Remade = true
		}
	}
	c.Detail = detail(k)
	for _, e := range []struct {
		at   *place
		name Place
		link *rtnl.Link
	}{{a, k.A.Place, la}, {b, k.B.Place, lb}} {
		if e.link != nil {
			c.Steps = append(c.Steps, e.at.remove(e.name, e.link))
		}
	}
	add := Step{Verb: AddCable, Place: Fabric, Cable: k}
	switch {
	case k.Leg:
		add.Index, add.Master = a.take(firstFar, 0), a.bridges[k.A.Master]
	case k.B.Place == Host:
		add.Index = a.take(firstFar, 0)
	case k.B.Place == Fabric:
		add.Index = a.take(firstInterface, 0)
		add.IndexB, add.Master = b.take(firstPort, add.Index), b.bridges[k.B.Master]
	default:
		add.Index = a.take(firstInterface, 0)
		add.IndexB = b.take(firstInterface, add.Index)
	}
	a.index[k.A.Name], b.index[k.B.Name] = add.Index, add.IndexB
	c.Steps = append(c.Steps, add)
	p.freshEnd(&c, &k.A, add.Index, a)
	p.freshEnd(&c, &k.B, add.IndexB, b)
	p.changes = append(p.changes, c)
	return nil
}

// settled takes note of the ends in view of a cable that needs no look.
func (p *planner) settled(k *Cable) {
	for _, e := range []*End{&k.A, &k.B} {
		if !p.focus.on(e.Place) {
			continue
		}
		if pl := p.place(e.Place); pl.byName[e.Name] != nil {
			pl.index[e.Name] = pl.byName[e.Name].Index
		}
	}
}

// known tells whether a cable was there by the last file: its nodes are not new, and one of its
// ends had addresses.
func (p *planner) known(k *Cable) bool {
	for _, e := range []*End{&k.A, &k.B} {
		if _, there := p.seen[e.Place]; !there {
			return false
		}
	}
	_, a := p.had.addresses[k.A.Place][k.A.Name]
	_, b := p.had.addresses[k.B.Place][k.B.Name]
	return a || b
}

// paired tells whether two interfaces are the ends of a cable, one veth pair: each has the index that the other says its
// other end has, which goes for ends of different pairs, too, and that is in the namespace of the other. veth(4).
func (p *planner) paired(k *Cable, a, b *rtnl.Link) bool {
	if a == nil || b == nil || a.Kind != "veth" || b.Kind != "veth" || a.Lower != b.Index || b.Lower != a.Index {
		return false
	}
	if k.A.Place == k.B.Place {
		return a.LowerNS < 0
	}
	id, known := p.place(k.A.Place).net.IDs[k.B.Place]
	return known && a.LowerNS == id
}

// broken is why a cable has to be made anew. What a node has that is about to be started is not looked at.
func (p *planner) broken(k *Cable, a, b *rtnl.Link) string {
	if a == nil && b == nil {
		return ""
	}
	var fresh []string
	for _, e := range []*End{&k.A, &k.B} {
		if e.Place != Fabric && e.Place != Host && p.seen[e.Place] == nil {
			fresh = append(fresh, "node "+string(e.Place))
		}
	}
	if len(fresh) > 0 {
		return strings.Join(fresh, " and ") + " is started anew"
	}
	name := func(e *End) string {
		switch e.Place {
		case Fabric:
			return "its port " + e.Name
		case Host:
			return "the host's interface " + e.Name
		}
		return string(e.Place) + ":" + e.Name
	}
	switch {
	case a == nil:
		return name(&k.A) + " is missing"
	case b == nil:
		return name(&k.B) + " is missing"
	}
	return name(&k.A) + " and " + name(&k.B) + " are not its two ends"
}

func detail(k *Cable) string {
	if k.Leg {
		return fmt.Sprintf("the host's, %s on %s", join(k.B.Addresses), k.A.Master)
	}
	d := join(global(k.A.Addresses))
	if k.B.Place != Fabric && k.B.Place != Host {
		d = BothEnds(d, join(global(k.B.Addresses)))
	}
	return d
}

// BothEnds returns the addresses of a cable's two ends as one text, which is empty where neither has any.
func BothEnds(a, b string) string {
	switch {
	case a == "" && b == "":
		return ""
	case a == "":
		a = "none"
	case b == "":
		b = "none"
	}
	return a + " -- " + b
}

// global leaves out what is derived from the hardware address.
func global(l []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(l), func(a netip.Prefix) bool { return a.Addr().IsLinkLocalUnicast() && a.Addr().Is6() })
}

func join(l []netip.Prefix) string {
	s := make([]string, len(l))
	for i := range l {
		s[i] = l[i].String()
	}
	return strings.Join(s, ", ")
}

// freshEnd adds what an interface gets after it was made.
func (p *planner) freshEnd(c *Change, e *End, index int, pl *place) {
	switch e.Place {
	case Fabric: // made as a port that is up
		if e.AltName != "" {
			c.Steps = append(c.Steps, Step{Verb: NameLink, Place: Fabric, Link: e.Name, Index: index, AltName: e.AltName})
		}
		return
	case Host:
		s := Step{Verb: SetLink, Place: Host, Link: e.Name, Index: index, Set: Set{Alias: e.Alias}}
		if e.Master != "" {
			m := pl.bridges[e.Master]
			s.Set.Master = &m
			pl.keepMAC(c, e.Master)
		}
		c.Steps = append(c.Steps, s)
	}
	if len(e.Sysctls) > 0 {
		c.Steps = append(c.Steps, Step{Verb: SetSysctls, Place: e.Place, Link: e.Name, Index: index, Sysctls: e.Sysctls})
	}
	for _, a := range e.Addresses {
		c.Steps = append(c.Steps, Step{Verb: AddAddress, Place: e.Place, Link: e.Name, Index: index, Address: a})
	}
	c.Steps = append(c.Steps, Step{Verb: UpLink, Place: e.Place, Link: e.Name, Index: index})
	p.legRoutes(c, e, pl, index, nil)
}

// end compares an end with an interface and adds the steps that make it so. It returns the reasons.
func (p *planner) end(c *Change, e *End, pl *place, l *rtnl.Link) (why []string) {
	who := e.Name
	if e.Place != Fabric && e.Place != Host {
		who = string(e.Place) + ":" + e.Name
	}
	var set Set
	if e.MAC != "" && l.MAC.String() != e.MAC {
		set.MAC = e.MAC
		why = append(why, fmt.Sprintf("%s mac %s -> %s", who, l.MAC, e.MAC))
	}
	if e.MTU > 0 && l.MTU != e.MTU {
		set.MTU = e.MTU
		why = append(why, fmt.Sprintf("%s mtu %d -> %d", who, l.MTU, e.MTU))
	}
	if e.Alias != "" && l.Alias != e.Alias {
		set.Alias = e.Alias
		why = append(why, who+" is not marked")
	}
	if m, there := pl.bridges[e.Master]; e.Master != "" && (!there || m != l.Master) { // one of the host's may be gone
		set.Master = &m
		why = append(why, who+" is not a port of "+e.Master)
		if e.Place == Host {
			pl.keepMAC(c, e.Master)
		}
	}
	if set != (Set{}) {
		c.Steps = append(c.Steps, Step{Verb: SetLink, Place: e.Place, Link: e.Name, Index: l.Index, Set: set})
	}
	if l.MTU < leastIPv6 && set.MTU >= leastIPv6 && len(e.Sysctls) > 0 { // the kernel makes IPv6's part of it anew
		c.Steps = append(c.Steps, Step{Verb: SetSysctls, Place: e.Place, Link: e.Name, Index: l.Index, Sysctls: e.Sysctls})
	}
	if e.AltName != "" && !slices.Contains(l.AltNames, e.AltName) {
		c.Steps = append(c.Steps, Step{Verb: NameLink, Place: e.Place, Link: e.Name, Index: l.Index, AltName: e.AltName})
		why = append(why, who+" is not called "+e.AltName)
	}
	if e.Place != Fabric {
		why = append(why, p.addresses(c, e, pl, l, who)...)
	}
	if !l.Up() {
		c.Steps = append(c.Steps, Step{Verb: UpLink, Place: e.Place, Link: e.Name, Index: l.Index})
		why = append(why, who+" down -> up")
	}
	if e.Place == Host {
		for _, w := range p.legRoutes(c, e, pl, l.Index, pl.net.Routes) {
			why = append(why, who+" "+w)
		}
	}
	return why
}

// addresses compares the addresses of an interface. What the file does not say and the lab has not
// given stays, unless it stands in the place of an address that the lab has given and somebody has taken away.
func (p *planner) addresses(c *Change, e *End, pl *place, l *rtnl.Link, who string) (why []string) {
	has := pl.byIndex[l.Index]
	missing := map[bool]bool{} // by whether it is IPv4
	for _, w := range e.Addresses {
		if !slices.ContainsFunc(has, func(a rtnl.InterfaceAddress) bool { return a.Prefix == w }) && !p.replaced(e, l, has, w) {
			missing[w.Addr().Is4()] = true
			c.Steps = append(c.Steps, Step{Verb: AddAddress, Place: e.Place, Link: e.Name, Index: l.Index, Address: w})
			why = append(why, fmt.Sprintf("%s + %s", who, w))
		}
	}
	lost := map[bool]bool{} // likewise
	for _, h := range p.had.addresses[e.Place][e.Name] {
		if !slices.ContainsFunc(has, func(a rtnl.InterfaceAddress) bool { return a.Prefix == h }) {
			lost[h.Addr().Is4()] = true
		}
	}
	for _, a := range has {
		if slices.Contains(e.Addresses, a.Prefix) {
			if l.Up() && e.Master == "" && !pl.connected(a) {
				c.Steps = append(c.Steps, Step{Verb: DelAddress, Place: e.Place, Link: e.Name, Index: l.Index, Address: a.Prefix},
					Step{Verb: AddAddress, Place: e.Place, Link: e.Name, Index: l.Index, Address: a.Prefix})
				why = append(why, fmt.Sprintf("%s has lost the route to %s", who, a.Prefix.Masked()))
			}
			continue
		}
		ll := a.Prefix.Addr().IsLinkLocalUnicast() && a.Prefix.Addr().Is6()
		ours := slices.Contains(p.had.addresses[e.Place][e.Name], a.Prefix)
		same := slices.ContainsFunc(e.Addresses, func(w netip.Prefix) bool { return w.Addr() == a.Prefix.Addr() })
		instead := missing[a.Prefix.Addr().Is4()] && lost[a.Prefix.Addr().Is4()] && !ll && a.Flags&unix.IFA_F_PERMANENT != 0
		if ours || same || instead {
			c.Steps = append(c.Steps, Step{Verb: DelAddress, Place: e.Place, Link: e.Name, Index: l.Index, Address: a.Prefix})
			why = append(why, fmt.Sprintf("%s - %s", who, a.Prefix))
		}
	}
	return why
}

// replaced reports whether the link-local address that the hardware address gives is missing because
// somebody in the node has given the interface another one, as dhcpcd does after a down and up.
func (p *planner) replaced(e *End, l *rtnl.Link, has []rtnl.InterfaceAddress, w netip.Prefix) bool {
	if ll, ok := linkLocal(e.MAC); !ok || ll != w || l.MAC.String() != e.MAC {
		return false
	}
	return slices.ContainsFunc(has, func(a rtnl.InterfaceAddress) bool {
		to := a.Prefix.Addr()
		return to.Is6() && to.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_DADFAILED == 0 &&
			!slices.Contains(e.Addresses, a.Prefix) && !slices.Contains(p.had.addresses[e.Place][e.Name], a.Prefix)
	})
}

// connected tells whether the route is there that the kernel makes with an address, to its subnet.
func (pl *place) connected(a rtnl.InterfaceAddress) bool {
	if a.Prefix.IsSingleIP() || a.Flags&unix.IFA_F_NOPREFIXROUTE != 0 {
		return true // there is none
	}
	return slices.ContainsFunc(pl.net.Routes, func(r rtnl.TableRoute) bool { return r.To == a.Prefix.Masked() && r.Index == a.Index })
}
