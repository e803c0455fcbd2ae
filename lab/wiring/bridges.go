package wiring

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// bridges compares the fabric's bridges with those wanted.
func (p *planner) bridges() {
	f := p.place(Fabric)
	for name, l := range f.byName {
		if l.Kind == "bridge" {
			f.bridges[name] = l.Index
		}
	}
	if !p.focus.on(Fabric) {
		return
	}
	least := leastMTUs(p.want)
	for i := range p.want.Bridges {
		b := &p.want.Bridges[i]
		c := Change{Kind: "bridge", Name: b.Name}
		l := f.byName[b.Name]
		if l != nil && l.Kind == "bridge" {
			why := b.differs(l, least)
			if len(why) > 0 {
				set := *b
				set.MTU = b.mtu(least)
				c.Steps = append(c.Steps, Step{Verb: SetBridge, Place: Fabric, Link: b.Name, Index: l.Index, Bridge: &set})
			}
			if !l.Up() {
				why = append(why, "down -> up")
				c.Steps = append(c.Steps, Step{Verb: UpBridge, Place: Fabric, Link: b.Name, Index: l.Index, Bridge: b})
			}
			if len(why) > 0 {
				c.Op, c.Detail = "~", strings.Join(why, ", ")
				p.changes = append(p.changes, c)
			}
			continue
		}
		c.Op, c.Detail = "+", fmt.Sprintf("mtu %d, stp %s", b.MTU, onOff(b.STP))
		if l != nil {
			c.Op, c.Reason = "~", "an interface of another kind has its name"
			c.Steps = append(c.Steps, f.remove(Fabric, l))
		}
		index := f.take(firstBridge, 0)
		f.bridges[b.Name] = index
		c.Steps = append(c.Steps, Step{Verb: AddBridge, Place: Fabric, Link: b.Name, Index: index, Bridge: b},
			Step{Verb: UpBridge, Place: Fabric, Link: b.Name, Index: index, Bridge: b})
		p.changes = append(p.changes, c)
	}
}

// keepMAC gives a bridge of the host that has no port the hardware address that it has, once: else it would take that
// of the first port, and zeros when the last one leaves (br_stp_recalculate_bridge_id in net/bridge/br_stp_if.c). A bridge without
// ports has no neighbours that it could forget by that. Of one that has ports the least address stays the least, see portMAC.
func (pl *place) keepMAC(c *Change, name string) {
	l := pl.byName[name]
	if l == nil || l.Kind != "bridge" || pl.kept[name] || bytes.Equal(l.MAC, make([]byte, len(l.MAC))) {
		return
	}
	pl.kept[name] = true
	for i := range pl.net.Links {
		if pl.net.Links[i].Master == l.Index {
			return
		}
	}
	c.Steps = append(c.Steps, Step{Verb: SetLink, Place: Host, Link: name, Index: l.Index, Set: Set{MAC: l.MAC.String()}})
}

// mtu is what a bridge's comes to, with these ports.
func (b *Bridge) mtu(least map[string]int) int {
	if m, ok := least[b.Name]; ok {
		return m
	}
	return b.MTU
}

// MTUs returns what those of the lab's own bridges come to: the least of their ports'.
func (w *Want) MTUs() map[string]int {
	least, all := leastMTUs(w), make(map[string]int, len(w.Bridges))
	for i := range w.Bridges {
		all[w.Bridges[i].Name] = w.Bridges[i].mtu(least)
	}
	return all
}

// differs tells in what an interface is not the bridge.
func (b *Bridge) differs(l *rtnl.Link, least map[string]int) (why []string) {
	if mtu := b.mtu(least); l.MTU != mtu {
		why = append(why, fmt.Sprintf("mtu %d -> %d", l.MTU, mtu))
	}
	if l.MAC.String() != b.MAC {
		why = append(why, fmt.Sprintf("mac %s -> %s", l.MAC, b.MAC))
	}
	if l.Bridge.STP != b.STP {
		why = append(why, "stp "+onOff(l.Bridge.STP)+" -> "+onOff(b.STP))
	}
	return why
}

// leastMTUs are the least MTUs of the bridges' ports: a bridge's own follows them, br_mtu_auto_adjust in
// net/bridge/br_if.c, and says nothing about what it forwards.
func leastMTUs(w *Want) map[string]int {
	least := map[string]int{}
	for i := range w.Cables {
		for _, e := range []*End{&w.Cables[i].A, &w.Cables[i].B} {
			if e.Place != Fabric {
				continue
			}
			if m, ok := least[e.Master]; !ok || e.MTU < m {
				least[e.Master] = e.MTU
			}
		}
	}
	return least
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
