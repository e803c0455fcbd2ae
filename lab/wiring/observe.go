package wiring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// Seen is what dumps have shown. A place that is not in it has nothing.
type Seen map[Place]*Net

// Net is what a network namespace has.
type Net struct {
	Links     []rtnl.Link
	IDs       map[Place]int // by which links tell that their other end is in one of these
	Addresses []rtnl.InterfaceAddress
	Routes    []rtnl.TableRoute // of nodes, and of the host where a lab has legs
}

// ErrNotThere is of a node that does not run.
var ErrNotThere = errors.New("the node does not run")

// Namespaces opens network namespaces. The caller closes what it gets; -1 is its own.
type Namespaces interface {
	Open(Place) (fd int, err error)
}

// Observe reads places, on all processors: one dump of links, one of addresses, one of routes
// in each. Of the host it reads links and addresses.
func Observe(ns Namespaces, places []Place) (Seen, error) { return visit(ns, places, &Focus{}) }

// ObserveHost reads of the host what a lab needs to know of it to have something there: its routes, too, if some are to lead by legs.
func (w *Want) ObserveHost(ns Namespaces) (Seen, error) {
	return visit(ns, []Place{Host}, &Focus{routes: w.hasRoutes()})
}

// Observe reads what is in the focus.
func (f *Focus) Observe(ns Namespaces) (Seen, error) { return visit(ns, f.places, f) }

// ObserveAll reads all of some places that are in the focus.
func (f *Focus) ObserveAll(ns Namespaces, places []Place) (Seen, error) {
	return visit(ns, places, &Focus{peers: f.peers, routes: f.routes})
}

// visit reads places, as much of each as is in the focus.
func visit(ns Namespaces, places []Place, f *Focus) (Seen, error) {
	nets := make([]*Net, len(places))
	err := rtnl.Visit(len(places), func(i int) (int, error) {
		fd, err := ns.Open(places[i])
		if err != nil {
			err = &Error{Place: places[i], Op: "enter its network namespace", Err: err}
		}
		return fd, err
	}, func(i int, c *rtnl.Conn) (err error) {
		if places[i] == Fabric && len(f.names) > 0 {
			nets[i], err = named(c, f.names)
		} else {
			nets[i], err = observe(c, places[i], f.routes)
		}
		if err == nil && len(f.peers[places[i]]) > 0 {
			nets[i].IDs, err = identify(c, ns, places[i], f.peers[places[i]])
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	seen := make(Seen, len(places))
	for i, p := range places {
		seen[p] = nets[i]
	}
	return seen, nil
}

func observe(c *rtnl.Conn, p Place, hostRoutes bool) (*Net, error) {
	n := &Net{}
	var err error
	if n.Links, err = c.Links(); err != nil {
		return nil, &Error{Place: p, Op: "list its interfaces", Err: err}
	}
	if p == Fabric {
		return n, nil // its interfaces have no addresses, and what routes there are mean nothing
	}
	if n.Addresses, err = c.Addresses(rtnl.ThisNetns); err != nil {
		return nil, &Error{Place: p, Op: "list its addresses", Err: err}
	}
	if p == Host && !hostRoutes {
		return n, nil
	}
	if n.Routes, err = c.Routes(); err != nil {
		return nil, &Error{Place: p, Op: "list its routes", Err: err}
	}
	return n, nil
}

// named reads a few interfaces of the fabric. One that is missing is not in it.
func named(c *rtnl.Conn, names map[string]bool) (*Net, error) {
	n := &Net{}
	for name := range names {
		l, err := c.LinkNamed(name)
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, &Error{Place: Fabric, Op: "look up its interface " + name, Err: err}
		}
		n.Links = append(n.Links, l)
	}
	return n, nil
}

// identify finds out by which ids links of a place tell that their other ends are in others.
func identify(c *rtnl.Conn, ns Namespaces, p Place, others []Place) (map[Place]int, error) {
	ids := make(map[Place]int, len(others))
	for _, o := range others {
		var id int
		fd, err := ns.Open(o)
		if errors.Is(err, ErrNotThere) {
			continue
		}
		if err == nil {
			id, err = c.NetnsID(fd)
			if fd >= 0 {
				_ = unix.Close(fd)
			}
		}
		if err != nil {
			return nil, &Error{Place: p, Op: "identify another network namespace", Err: err}
		}
		if id >= 0 { // else no link leads there
			ids[o] = id
		}
	}
	return ids, nil
}

// Touched looks up interfaces of the fabric by their indexes. ok is false when one of them is not there.
func Touched(ns Namespaces, indexes []int) (links []rtnl.Link, ok bool, err error) {
	if len(indexes) == 0 {
		return nil, true, nil
	}
	c, err := dial(ns, Fabric)
	if err != nil {
		return nil, false, &Error{Place: Fabric, Op: "enter its network namespace", Err: err}
	}
	defer c.Close()
	for _, i := range indexes {
		l, err := c.Link(i)
		if errors.Is(err, unix.ENODEV) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, &Error{Place: Fabric, Op: "look up an interface", Err: err}
		}
		links = append(links, l)
	}
	return links, true, nil
}

func dial(ns Namespaces, p Place, groups ...int) (*rtnl.Conn, error) {
	fd, err := ns.Open(p)
	if err != nil {
		return nil, err
	}
	if fd < 0 {
		return rtnl.Dial(nil, groups...)
	}
	f := os.NewFile(uintptr(fd), "netns")
	defer f.Close()
	return rtnl.Dial(f, groups...)
}

// each calls f for 0 to n-1, on all processors, and returns the first error of any.
func each(n int, f func(int) error) error {
	work := make(chan int)
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for range min(2*runtime.NumCPU(), n) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range work {
				if err := f(i); err != nil {
					errs <- err
				}
			}
		}()
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// Error is what went wrong in which place.
type Error struct {
	Place  Place
	Op     string
	Object string // "link web:eth0 -- lan0"
	Err    error
}

func (e *Error) Error() string {
	s := e.Op
	if e.Object != "" {
		s += " " + e.Object
	}
	switch e.Place {
	case Fabric:
		return fmt.Sprintf("fabric: %s: %v", s, e.Err)
	case Host:
		return fmt.Sprintf("host: %s: %v", s, e.Err)
	}
	return fmt.Sprintf("node %s: %s: %v", string(e.Place), s, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Taken tells of an interface of the host that has a name which the lab needs, and not the lab's mark.
type Taken struct{ Interface string }

func (e *Taken) Error() string {
	return "the host has an interface " + e.Interface + " that is not this lab's"
}

// gone tells whether a refusal means that what was to be removed is not there.
func gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL)
}
