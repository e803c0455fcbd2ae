package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// Plan says what Up would do, changing nothing: everything for a lab that is not up, and for one that is what makes
// it what the file says. What Up would be refused is an error, the same as Up's. A lab that is up is root's to look at; of one that
// is not, others than root are told of what can be read without rights.
func Plan(ctx context.Context, o PlanOptions) (planned []Action, err error) {
	l := o.Lab
	defer func() {
		advise(err)
		var e *Error
		if errors.As(err, &e) && e.Lab == "" {
			e.Lab = l.Name
		}
	}()
	if err := checkIPv6(l, "/"); err != nil {
		return nil, err
	}
	if needRoot() != nil {
		if _, err := os.Lstat(filepath.Join(NetnsDir, l.Name)); err == nil { // which everybody may see, unlike records
			return nil, &Error{Lab: l.Name, Op: "look at what is up under that name", Err: ErrPermission, Remedy: "run it as root, with sudo for example"}
		}
		for _, name := range externals(l) {
			if err := checkExternal(name); err != nil {
				return nil, (&builder{lab: l}).wrap(ctx, err, "")
			}
		}
		return actions(l), nil
	}
	l, gone := goneFrom(l)
	seen, err := runningLab(ctx, l, o.Replace)
	if err != nil {
		return nil, err
	}
	if seen == nil {
		return actions(l), foresee(ctx, l, o.Replace)
	}
	d := compare(l, seen)
	if err := d.sayUnplugged(l.Name); err != nil {
		return nil, err
	}
	if d.sayGone(gone); len(gone) > 0 {
		return d.actions, written(ctx, l, d.add)
	}
	return d.actions, foreseeChange(ctx, l, seen, d, !o.Untried, o.Replace)
}

// goneFrom returns a lab as it is to be compared, and the host's bridges that it has links to and that are gone.
func goneFrom(l *topology.Lab) (*topology.Lab, []string) {
	gone := missing(l)
	if len(gone) > 0 {
		if was, err := readLab(dirOf(l.Name)); err == nil {
			l = withoutBridges(l, was, gone)
		}
	}
	return l, gone
}

func (d *difference) sayGone(bridges []string) {
	for _, name := range bridges {
		d.say("~", "bridge", name, "", "the host's bridge is gone, and up fails until it is there", "")
		d.actions[len(d.actions)-1].Until = "the host has a bridge " + name
	}
}

// written refuses directories that unions of nodes to start would write, and another lab's do.
func written(ctx context.Context, l *topology.Lab, start []topology.Node) error {
	b := builder{lab: l}
	if err := b.findWritten(start); err != nil {
		return b.wrap(ctx, err, "")
	}
	return nil
}

// actions lists what a lab is made of, in the order of making.
func actions(l *topology.Lab) []Action {
	var out []Action
	add := func(kind, name, format string, args ...any) {
		out = append(out, Action{Op: "+", Kind: kind, Name: name, Detail: fmt.Sprintf(format, args...)})
	}
	for i := range l.Bridges {
		b := &l.Bridges[i]
		if b.External {
			continue
		}
		stp := "off"
		if b.STP {
			stp = "on"
		}
		add("bridge", b.Name, "mtu %d, stp %s", b.MTU, stp)
		if len(b.Addresses) > 0 {
			add("leg", bridge.LegName(l.Name, b.Name), "the host's, %s on %s", join(b.Addresses), b.Name)
		}
		if b.NAT {
			add("nat", b.Name, "nodes reach the outside through the host")
		}
		if len(b.Peers) > 0 {
			add("peers", b.Name, "with %s through the host, where that names it, too", strings.Join(b.Peers, ", "))
		}
	}
	if r := routingOf(l); len(r.between) > 0 {
		add("routing", strings.Join(r.between, ", "), "they reach each other through the host")
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		add("node", n.Name, "%s", nodeText(n))
	}
	for i := range l.Links {
		k := &l.Links[i]
		other := k.B.Bridge
		detail := join(k.A.Addresses)
		if other == "" {
			other = k.B.Node + ":" + k.B.Interface
			detail = wiring.BothEnds(detail, join(k.B.Addresses))
		}
		add("link", k.A.Node+":"+k.A.Interface+" -- "+other, "%s", detail)
	}
	w := wiring.Of(l, true)
	for i := range w.Cables {
		for _, r := range w.Cables[i].B.Routes {
			add("route", r.To.String(), "the host's, via %s dev %s", r.Via, r.Dev)
		}
	}
	return out
}

func join[T fmt.Stringer](l []T) string {
	s := make([]string, len(l))
	for i := range l {
		s[i] = l[i].String()
	}
	return strings.Join(s, ", ")
}
