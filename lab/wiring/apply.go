package wiring

import (
	"errors"
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

	Slow    map[string]time.Duration                // the host's bridges on which a port takes its time to forward, see SlowBridges
	Waiting func(bridge string, most time.Duration) // told before a port of one is waited for; may be nil
	Late    []string                                // after Ready: those on which a port did not forward in that time
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
	// A second name that something else has is not worth to fail for.
	if err := a.inPlaces(steps, []Verb{NameLink}, func(err error) bool { return errors.Is(err, unix.EEXIST) }); err != nil {
		return err
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
			sysctls[i].Done()
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
	if err := c.DoNoting(ignore, func(i int) { steps[i].Done() }, reqs...); err != nil {
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
