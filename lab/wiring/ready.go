package wiring

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/rtnl"
)

// Ready brings up the bridges that these steps are about when all ports have a carrier, so that
// each decides once about all of them, and waits until every interface that the steps made
// or brought up carries packets and its port forwards: the first packet is not lost.
func (a *Applier) Ready(ctx context.Context, want *Want, steps []Step, timeout time.Duration) error {
	fresh := map[Place]map[string]bool{}
	note := func(p Place, name string) {
		if fresh[p] == nil {
			fresh[p] = map[string]bool{}
		}
		fresh[p][name] = true
	}
	var bridges []Step
	rising := map[string]bool{}
	for _, s := range steps {
		switch s.Verb {
		case UpBridge:
			bridges = append(bridges, s)
			rising[s.Link] = true
		case AddCable:
			note(s.Cable.A.Place, s.Cable.A.Name)
			note(s.Cable.B.Place, s.Cable.B.Name)
		case UpLink:
			if s.Link != "lo" {
				note(s.Place, s.Link)
			}
		case SetLink:
			if s.Set.Master != nil {
				note(s.Place, s.Link)
			}
		}
	}
	waits := map[Place][]rtnl.Want{}
	slow := map[string][]rtnl.Want{}
	var learning []rtnl.Want
	for i := range want.Cables {
		k := &want.Cables[i]
		if !fresh[k.A.Place][k.A.Name] && !fresh[k.B.Place][k.B.Name] && !rising[k.A.Master] && !rising[k.B.Master] {
			continue
		}
		for _, e := range []*End{&k.A, &k.B} {
			// A bridge port comes up before its node's end, which is ready at once.
			if other := k.other(e); e.Place != Fabric && e.Place != Host && other.Place == Fabric {
				continue
			}
			w := rtnl.Want{Name: e.Name, Forward: e.Forward}
			if e.Place == Host && a.Slow[e.Master] > 0 {
				slow[e.Master] = append(slow[e.Master], w)
				w.Forward = false
			}
			waits[e.Place] = append(waits[e.Place], w)
			if e.Learns {
				learning = append(learning, rtnl.Want{Name: e.Name, Forward: true})
			}
		}
	}
	if err := a.fabricReady(waits[Fabric], bridges, timeout); err != nil {
		return err
	}
	delete(waits, Fabric)
	if a.Inside {
		delete(waits, Host)
		clear(slow)
	}
	places := make([]Place, 0, len(waits))
	for p := range waits {
		places = append(places, p)
	}
	err := each(len(places), func(i int) error {
		p := places[i]
		c, err := dial(a.Namespaces, p, unix.RTNLGRP_LINK)
		if err != nil {
			return &Error{Place: p, Op: "watch its interfaces", Err: err}
		}
		defer c.Close()
		if err := c.ReadyContext(ctx, waits[p], timeout); err != nil {
			return &Error{Place: p, Op: "wait for the links", Err: err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.learned(ctx, learning); err != nil {
		return err
	}
	if err := a.slowReady(ctx, slow); err != nil {
		return err
	}
	return a.receive(steps)
}

// learned waits until ports of the lab's bridges forward that have the spanning tree protocol on. One that does not in the time
// that this takes would close a loop.
func (a *Applier) learned(ctx context.Context, ports []rtnl.Want) error {
	if len(ports) == 0 {
		return nil
	}
	c, err := dial(a.Namespaces, Fabric, unix.RTNLGRP_LINK)
	if err != nil {
		return &Error{Place: Fabric, Op: "watch its interfaces", Err: err}
	}
	defer c.Close()
	const spare = time.Second
	var late *rtnl.NotReadyError
	if err := c.ReadyContext(ctx, ports, 2*bridge.ForwardDelay+spare); err != nil && !errors.As(err, &late) {
		return &Error{Place: Fabric, Op: "wait for the bridges", Err: err}
	}
	return nil
}

// slowReady waits until ports of the host's bridges forward that have the spanning tree protocol on. One that does not in the
// time that this takes may be one that never will, as it would close a loop.
func (a *Applier) slowReady(ctx context.Context, slow map[string][]rtnl.Want) error {
	if len(slow) == 0 {
		return nil
	}
	c, err := dial(a.Namespaces, Host, unix.RTNLGRP_LINK)
	if err != nil {
		return &Error{Place: Host, Op: "watch its interfaces", Err: err}
	}
	defer c.Close()
	start := time.Now()
	for _, b := range slices.Sorted(maps.Keys(slow)) {
		if a.Waiting != nil {
			a.Waiting(b, a.Slow[b])
		}
		var late *rtnl.NotReadyError
		switch err := c.ReadyContext(ctx, slow[b], max(0, a.Slow[b]-time.Since(start))); {
		case errors.As(err, &late):
			a.Late = append(a.Late, b)
		case err != nil:
			return &Error{Place: Host, Op: "wait for the ports of", Object: b, Err: err}
		}
	}
	return nil
}

// SlowBridges returns the bridges of a place on which new ports do not forward at once, and how long that may take.
func SlowBridges(n *Net) map[string]time.Duration {
	slow := map[string]time.Duration{}
	if n == nil {
		return slow
	}
	for i := range n.Links {
		if l := &n.Links[i]; l.Kind == "bridge" && l.Bridge.STP {
			slow[l.Name] = l.Bridge.Forwarding()
		}
	}
	return slow
}

// receiveTime bounds the wait for addresses of IPv6, of which nobody can say that packets to them will ever come.
const receiveTime = 2 * time.Second

// receive waits until the nodes take packets to their new IPv6 addresses. Those of links, which every interface has, are left
// out: protocols that use them try again.
func (a *Applier) receive(steps []Step) error {
	fresh := map[Place][]netip.Addr{}
	for _, s := range steps {
		if to := s.Address.Addr(); s.Verb == AddAddress && s.Place != Host && to.Is6() && !to.IsLinkLocalUnicast() && !to.IsLoopback() {
			fresh[s.Place] = append(fresh[s.Place], to)
		}
	}
	places := slices.Sorted(maps.Keys(fresh))
	return each(len(places), func(i int) error {
		p := places[i]
		c, err := dial(a.Namespaces, p, unix.RTNLGRP_IPV6_ROUTE)
		if err == nil {
			err = c.Receives(fresh[p], receiveTime)
			c.Close()
		}
		if err != nil {
			return &Error{Place: p, Op: "wait for its addresses", Err: err}
		}
		return nil
	})
}

func (k *Cable) other(e *End) *End {
	if e == &k.A {
		return &k.B
	}
	return &k.A
}

func (a *Applier) fabricReady(ports []rtnl.Want, bridges []Step, timeout time.Duration) error {
	if len(ports)+len(bridges) == 0 {
		return nil
	}
	c, err := dial(a.Namespaces, Fabric, unix.RTNLGRP_LINK)
	if err != nil {
		return &Error{Place: Fabric, Op: "watch its interfaces", Err: err}
	}
	defer c.Close()
	carriers := slices.Clone(ports)
	for i := range carriers {
		carriers[i].Forward = false
	}
	if err := c.Ready(carriers, timeout); err != nil {
		return &Error{Place: Fabric, Op: "wait for the links", Err: err}
	}
	if err := do(c, Fabric, bridges, nil, nil); err != nil {
		return err
	}
	if err := c.Ready(ports, timeout); err != nil {
		return &Error{Place: Fabric, Op: "wait for the bridges", Err: err}
	}
	return nil
}
