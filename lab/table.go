package lab

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// tableConfig is what the lab's table on the host holds its legs to: nothing where it has none.
func tableConfig(l *topology.Lab, w *wiring.Want) bridge.Config {
	c := bridge.Config{Lab: l.Name}
	for i := range l.Bridges {
		t := &l.Bridges[i]
		if t.External || len(t.Addresses) == 0 {
			continue
		}
		leg := bridge.Leg{Interface: bridge.LegName(l.Name, t.Name), Addresses: t.Addresses, NAT: t.NAT}
		for _, p := range t.Peers {
			other, name, _ := strings.Cut(p, "/")
			leg.Peers = append(leg.Peers, bridge.LegName(other, name))
		}
		c.Legs = append(c.Legs, leg)
	}
	if len(c.Legs) > 0 {
		r := wiring.ReachOf(l, w)
		c.Addresses = r.Addresses
		// What others have in the internet is the lab's where it is a leg's, which took consent, or the host routes it there.
		c.Subnets = slices.DeleteFunc(r.Subnets, topology.TakesOthers)
		for i := range c.Legs {
			for _, a := range c.Legs[i].Addresses {
				c.Subnets = append(c.Subnets, a.Masked())
			}
		}
	}
	return c
}

// makeTable makes the lab's table on the host, beside one that is about to be given up, if it has legs. A kernel that cannot do it
// has labs without address translation all the same, which is noted.
func (b *builder) makeTable(w *wiring.Want, beside bool) error {
	cfg := tableConfig(b.lab, w)
	if len(cfg.Legs) == 0 {
		return nil
	}
	cfg.Uplinks, cfg.Beside = b.uplinks, beside
	table, err := bridge.NewTable(cfg)
	switch {
	case err == nil:
		b.table, b.rec.NoTable = table.File(), false
		return nil
	case !errors.Is(err, errors.ErrUnsupported):
	case slices.ContainsFunc(cfg.Legs, func(l bridge.Leg) bool { return l.NAT }):
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	default:
		b.noTable(err)
		return nil
	}
	return &Error{Op: "set up the table of the host's legs", Err: err}
}

// forgetConnections has the host track those of a lab no longer that is gone but for its record, where they are many.
func forgetConnections(dir string) error {
	if !bridge.Crowded() {
		return nil
	}
	l, err := readLab(dir)
	if err != nil {
		return nil //nolint:nilerr // nobody knows which they are, and they end by themselves
	}
	cfg := tableConfig(l, wiring.Of(l, false))
	if len(cfg.Legs) == 0 {
		return nil
	}
	return cfg.Forget()
}

// noTable notes that the kernel cannot hold the lab's legs to what is theirs. Nothing is forwarded for it then that was not before.
func (b *builder) noTable(err error) {
	b.rec.NoTable, b.rec.Forwards, b.rec.Routed = true, nil, nil
	b.notes = append(b.notes, fmt.Sprintf("nothing keeps the lab's nodes from the host's other networks, where that forwards, or others from the nodes, and its bridges do not reach each other where it does not: %v", err))
}

// makeTransit makes the tables that keep the host from forwarding for others what it is about to forward for labs.
func (b *builder) makeTransit(families []bridge.Family, routers map[bridge.Family][]string) error {
	for _, f := range families {
		table, err := bridge.NewTransit(b.lab.Name, f, routers[f])
		if err == nil {
			b.transit, b.families = append(b.transit, table.File()), append(b.families, string(f))
		}
		if err != nil && errors.Is(err, errors.ErrUnsupported) {
			err = fmt.Errorf("%w: %w", ErrUnsupported, err)
		}
		if err != nil {
			return &Error{Op: "set up what the host is not to forward", Err: err}
		}
	}
	if slices.Contains(families, bridge.IPv4) {
		watch, err := bridge.WatchOthers()
		if err != nil {
			return &Error{Op: "set up what the host is not to forward", Err: err}
		}
		b.watch = watch
	}
	return nil
}

// tables are the descriptors of the lab's tables, in the order of proto.CommitSpec.
func (b *builder) tables() (fds []int) {
	for _, f := range slices.Concat([]*os.File{b.table}, b.transit, []*os.File{b.watch}) {
		if f != nil {
			fds = append(fds, int(f.Fd()))
		}
	}
	return fds
}

// uplinkBridges are bridges of the host that lead out of it: a default route does so, or one of their ports is a card, a bond of some, or
// a VLAN on one.
func uplinkBridges(links []rtnl.Link, routes []rtnl.TableRoute) (names []string) {
	out := map[int]bool{}
	for i := range routes {
		if r := &routes[i]; r.Default() && r.Table == unix.RT_TABLE_MAIN {
			out[r.Index] = true
		}
	}
	for i := range links {
		switch links[i].Kind {
		case "", "bond", "team", "vlan":
			out[links[i].Master] = true
		}
	}
	for i := range links {
		if l := &links[i]; l.Kind == "bridge" && out[l.Index] {
			names = append(names, l.Name)
		}
	}
	return names
}
