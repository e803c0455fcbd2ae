package attach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

// surveyTarget looks at what is to have the interface, and pins a second target.
func (a *attachment) surveyTarget(ctx context.Context) error {
	var err error
	if v := &a.q.Via; v.Kind == ViaPeer {
		if a.peer, err = pin(ctx, v.Peer); err != nil {
			return err
		}
		a.far, v.Peer = a.peer.netns, a.peer.ref
	}
	return a.lookAtTarget()
}

func (a *attachment) lookAtTarget() (err error) {
	if a.o.target, err = look(a.target.netns, true); err != nil {
		return fmt.Errorf("look at its network: %w", err)
	}
	return nil
}

// surveyFar looks at all else that the decision depends on.
func (a *attachment) surveyFar() error {
	a.closeFar()
	a.o = observed{target: a.o.target}
	v := &a.q.Via
	var err error
	var l *topology.Lab
	switch {
	case v.Kind == ViaPeer:
	case v.Kind == ViaBridge && v.Lab != "":
		if a.far, l, err = lab.Fabric(v.Lab); err != nil {
			return err
		}
	default:
		if a.far, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return fmt.Errorf("open the host's network namespace: %w", err)
		}
	}
	if a.o.far, err = look(a.far, v.Kind == ViaNIC); err != nil {
		return fmt.Errorf("look at the network of the other end: %w", err)
	}
	if err := a.surveyVia(l); err != nil {
		return err
	}
	if len(a.q.DNS) == 0 {
		return nil
	}
	root, err := a.target.root()
	if err != nil {
		return fmt.Errorf("--dns: its files cannot be reached: %w", err)
	}
	defer unix.Close(root)
	own, err := ownersOf(a.target.place.PID)
	if err != nil {
		return fmt.Errorf("--dns: its files cannot be reached: %w", err)
	}
	a.resolv, a.o.resolv, err = resolvConf(root, own)
	if errors.Is(err, fs.ErrNotExist) {
		a.resolv, a.o.place, err = placeOf(root, own)
	}
	if err != nil {
		return fmt.Errorf("--dns: open its /etc/resolv.conf: %w", err)
	}
	return nil
}

// surveyVia looks at the bridge, the macvlan's parent or the NIC.
func (a *attachment) surveyVia(l *topology.Lab) error {
	v, o := &a.q.Via, &a.o
	if v.Kind != ViaBridge && v.Kind != ViaMACVLAN && v.Kind != ViaNIC {
		return nil
	}
	where := "this host"
	if v.Lab != "" {
		where = "lab " + v.Lab
	}
	link, found := o.far.link(v.Name)
	if !found && v.Kind == ViaNIC {
		if err := a.lentOut(v.Name); err != nil {
			return err
		}
		link, found = o.far.link(v.Name)
	}
	if v.Lab != "" && !slices.ContainsFunc(l.Bridges, func(b topology.Bridge) bool { return b.Name == v.Name && !b.External }) {
		found = false
	}
	if !found {
		return fmt.Errorf("%w: %s has no %s; ip link lists the interfaces, nsnet inspect a lab's bridges", lab.ErrNotFound, where, nameOf(v))
	}
	o.link = link
	switch v.Kind {
	case ViaBridge:
		return a.surveyBridge(l, where)
	case ViaNIC:
		o.masters = map[int]string{link.Master: o.far.named(link.Master)}
		var err error
		if o.settings, err = settings(v.Name); err != nil {
			return fmt.Errorf("read the settings of %s: %w", v.Name, err)
		}
		if link.Kind == "bridge" || link.Flags&unix.IFF_LOOPBACK != 0 {
			return fmt.Errorf("%s is a %s, which cannot be lent", v.Name, kindOf(link))
		}
	}
	if v.Kind == ViaMACVLAN && !link.Up() {
		return fmt.Errorf("%s is down; bring it up with ip link set %s up", v.Name, v.Name)
	}
	return nil
}

// lentOut looks for a NIC that is not on the host: one that was lent to a target which has died comes home.
func (a *attachment) lentOut(name string) error {
	all, err := records(a.journal.dir)
	for _, r := range all {
		if r.NIC == nil || r.NIC.Name != name {
			continue
		}
		if a.journal.lives(r) {
			return fmt.Errorf("%w: %s is lent to %s, as %s; nsnet detach brings it home", lab.ErrConflict, name, r.Request.Target, r.Request.Interface)
		}
		if err := a.journal.settle(r, nil); err != nil {
			return fmt.Errorf("bring %s home: %w", name, err)
		}
		if a.o.far, err = look(a.far, true); err != nil {
			return fmt.Errorf("look at the host's network: %w", err)
		}
	}
	return err
}

func nameOf(v *Via) string {
	if v.Kind == ViaBridge {
		return "bridge " + v.Name
	}
	return "interface " + v.Name
}

func (a *attachment) surveyBridge(l *topology.Lab, where string) error {
	o, name := &a.o, a.q.Via.Name
	switch {
	case o.link.Kind != "bridge":
		return fmt.Errorf("%w: %s of %s is a %s and no bridge", lab.ErrNotFound, name, where, kindOf(o.link))
	case !o.link.Up():
		return fmt.Errorf("bridge %s is down; bring it up with ip link set %s up", name, name)
	case a.q.VLAN != 0 && !o.link.Bridge.VLANFiltering:
		return fmt.Errorf("%w: bridge %s does not filter VLANs; switch it on with ip link set %s type bridge vlan_filtering 1, which needs the kernel option BRIDGE_VLAN_FILTERING", lab.ErrUnsupported, name, name)
	}
	var err error
	if o.users, err = bridgeUsers(a.far, &o.far, o.link.Index); err != nil {
		return fmt.Errorf("look at who is on bridge %s: %w", name, err)
	}
	o.pinned = l != nil || macIsSet(o.link) // a lab's bridges are given theirs
	if l == nil {
		for _, x := range o.far.addresses {
			if x.Index == o.link.Index {
				o.gateway = append(o.gateway, x.Prefix)
			}
		}
		return nil
	}
	for _, b := range l.Bridges {
		if b.Name == name {
			o.pools, o.gateway = b.Subnets, b.Addresses
		}
	}
	for _, b := range o.gateway {
		o.users = append(o.users, user{b.Addr(), "the host"})
	}
	for _, k := range l.Links {
		if k.B.Bridge == name {
			for _, p := range k.A.Addresses {
				o.taken = append(o.taken, p.Addr())
				o.users = append(o.users, user{p.Addr(), "node " + k.A.Node})
			}
		}
	}
	return nil
}
