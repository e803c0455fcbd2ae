package wiring

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// chunk is how many cables are made between two reports of progress.
const chunk = 200

// Applier carries out steps.
type Applier struct {
	Namespaces Namespaces
	Progress   func(done, total int) // of cables; may be nil
	HostLeg    func(leg *End) error  // told of each leg's end in the host before it comes up; may be nil
	Inside     bool                  // the host's interfaces are another process's
}

// Apply carries out steps, in the order that Steps gives, and stops at the first that fails.
func (a *Applier) Apply(steps []Step) error {
	if err := a.Remove(steps); err != nil {
		return err
	}
	if err := a.Create(steps); err != nil {
		return err
	}
	return a.Configure(steps)
}

// Remove carries out the steps that delete interfaces. One that went with its other end is
// gone, which is what was wanted.
func (a *Applier) Remove(steps []Step) error {
	return a.inPlaces(steps, []Verb{DelLink}, gone)
}

// Create carries out the steps that make bridges and cables, and change bridges.
func (a *Applier) Create(steps []Step) error {
	var bridges, cables []Step
	for _, s := range steps {
		switch s.Verb {
		case AddBridge, SetBridge:
			bridges = append(bridges, s)
		case AddCable:
			cables = append(cables, s)
		}
	}
	if len(bridges)+len(cables) == 0 {
		return nil
	}
	c, err := dial(a.Namespaces, Fabric)
	if err != nil {
		return &Error{Place: Fabric, Op: "enter its network namespace", Err: err}
	}
	defer c.Close()
	ends := &ends{ns: a.Namespaces, open: map[Place]*os.File{}}
	defer ends.close()
	if err := do(c, Fabric, bridges, ends, nil); err != nil {
		return err
	}
	for done := 0; done < len(cables); {
		part := cables[done:min(done+chunk, len(cables))]
		if err := do(c, Fabric, part, ends, nil); err != nil {
			return err
		}
		ends.close()
		done += len(part)
		if a.Progress != nil {
			a.Progress(done, len(cables))
		}
	}
	return nil
}

// Configure carries out the steps that are about interfaces which are there, in all places at a time. Bridges
// come up at the end, see Ready.
func (a *Applier) Configure(steps []Step) error {
	if a.HostLeg != nil {
		for _, s := range steps {
			if s.Verb == AddCable && s.Cable.Leg {
				if err := a.HostLeg(&s.Cable.B); err != nil {
					return &Error{Place: Host, Op: "set up", Object: s.Cable.B.Name, Err: err}
				}
			}
		}
	}
	return a.inPlaces(steps, []Verb{SetLink, SetSysctls, DelAddress, AddAddress, UpLink, DelRoute, AddRoute}, goneRoute)
}

// goneRoute is a route or an address that went with another one before it was deleted, or with the interface's IPv6, which an MTU
// that is too small for it takes away.
func goneRoute(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENXIO)
}

// inPlaces carries out the steps with these verbs, each place's in order.
func (a *Applier) inPlaces(steps []Step, verbs []Verb, ignore func(error) bool) error {
	by := map[Place][]Step{}
	var places []Place
	for _, s := range steps {
		if !slices.Contains(verbs, s.Verb) {
			continue
		}
		if _, seen := by[s.Place]; !seen {
			places = append(places, s.Place)
		}
		by[s.Place] = append(by[s.Place], s)
	}
	return rtnl.Visit(len(places), func(i int) (int, error) {
		fd, err := a.Namespaces.Open(places[i])
		if err != nil {
			err = &Error{Place: places[i], Op: "enter its network namespace", Err: err}
		}
		return fd, err
	}, func(i int, c *rtnl.Conn) error {
		p := places[i]
		c.Explain()
		sysctls, rest := part(by[p], func(s *Step) bool { return s.Verb == SetSysctls })
		if len(sysctls) == 0 {
			return do(c, p, rest, nil, ignore)
		}
		// They are between the changes of links, which may give them IPv6, and their addresses.
		links, rest := part(rest, func(s *Step) bool { return s.Verb == SetLink })
		if err := do(c, p, links, nil, ignore); err != nil {
			return err
		}
		for i := range sysctls {
			if err := setSysctls(&sysctls[i]); err != nil {
				return &Error{Place: p, Op: sysctls[i].label(), Err: err}
			}
		}
		return do(c, p, rest, nil, ignore)
	})
}

// do sends the requests of steps. A host's interface has the index that the host gave it.
func do(c *rtnl.Conn, p Place, steps []Step, ends *ends, ignore func(error) bool) error {
	if len(steps) == 0 {
		return nil
	}
	index := map[string]int{}
	if p == Host && slices.ContainsFunc(steps, func(s Step) bool { return s.Index == 0 }) {
		links, err := c.Links()
		if err != nil {
			return &Error{Place: p, Op: "list its interfaces", Err: err}
		}
		for _, l := range links {
			index[l.Name] = l.Index
		}
	}
	reqs := make([]rtnl.Request, len(steps))
	for i := range steps {
		s := &steps[i]
		if p == Host && s.Index == 0 {
			s.Index = index[s.Link]
		}
		var err error
		if reqs[i], err = s.request(ends); err != nil {
			return &Error{Place: p, Op: s.label(), Err: err}
		}
	}
	if err := c.DoIgnoring(ignore, reqs...); err != nil {
		return &Error{Place: p, Op: "configure", Err: err}
	}
	return nil
}

// ends holds network namespaces open while cables are made between them.
type ends struct {
	ns   Namespaces
	open map[Place]*os.File
}

// file is the namespace of an end, nil for the one that the request is sent in.
func (e *ends) file(p Place) (*os.File, error) {
	if p == Fabric {
		return nil, nil //nolint:nilnil // veth.End means this by nil
	}
	if f := e.open[p]; f != nil {
		return f, nil
	}
	fd, err := e.ns.Open(p)
	if err == nil && fd < 0 {
		fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "netns")
	e.open[p] = f
	return f, nil
}

func (e *ends) close() {
	for p, f := range e.open {
		_ = f.Close()
		delete(e.open, p)
	}
}

// Ready brings up the bridges that these steps are about when all ports have a carrier, so that
// each decides once about all of them, and waits until every interface that the steps made
// or brought up carries packets and its port forwards: the first packet is not lost.
func (a *Applier) Ready(want *Want, steps []Step, timeout time.Duration) error {
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
			waits[e.Place] = append(waits[e.Place], rtnl.Want{Name: e.Name, Forward: e.Forward})
		}
	}
	if err := a.fabricReady(waits[Fabric], bridges, timeout); err != nil {
		return err
	}
	delete(waits, Fabric)
	if a.Inside {
		delete(waits, Host)
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
		if err := c.Ready(waits[p], timeout); err != nil {
			return &Error{Place: p, Op: "wait for the links", Err: err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.receive(steps)
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
