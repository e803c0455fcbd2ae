package wiring

import (
	"maps"
	"slices"

	"github.com/nsnet/nsnet/internal/announce"
	"github.com/nsnet/nsnet/internal/rtnl"
)

// Announcements are the interfaces of nodes and of the host that steps have made, or have given an address, a hardware address, or another
// bridge: neighbours may know others by what they have now. Those that were only made are announced where the link is older
// than they are. Keys are names of places, the host's among them.
func Announcements(w *Want, steps []Step) map[string][]announce.Interface {
	touched := map[end]bool{}
	for i := range steps {
		switch s := &steps[i]; s.Verb {
		case AddCable:
			touched[end{s.Cable.A.Place, s.Cable.A.Name}], touched[end{s.Cable.B.Place, s.Cable.B.Name}] = true, true
		case AddAddress, UpLink:
			touched[end{s.Place, s.Link}] = true
		case SetLink:
			if s.Set.MAC != "" || s.Set.Master != nil {
				touched[end{s.Place, s.Link}] = true
			}
		}
	}
	return announcements(w, func(k *Cable, e *End) bool {
		other := k.other(e) // a port whose bridge is another one now
		return touched[end{e.Place, e.Name}] || other.Place == Fabric && touched[end{other.Place, other.Name}]
	})
}

// Strangers are the interfaces of nodes that are on bridges of the host, where others than the lab's nodes are neighbours.
func Strangers(w *Want) map[string][]announce.Interface {
	return announcements(w, func(k *Cable, e *End) bool { return e == &k.A && k.B.Place == Host && !k.Leg })
}

func announcements(w *Want, which func(*Cable, *End) bool) map[string][]announce.Interface {
	all := map[string][]announce.Interface{}
	for i := range w.Cables {
		k := &w.Cables[i]
		for _, e := range []*End{&k.A, &k.B} {
			if e.Place == Fabric || e.MAC == "" || len(e.Addresses) == 0 || !which(k, e) {
				continue
			}
			in := announce.Interface{Name: e.Name, MAC: e.MAC}
			for _, a := range e.Addresses {
				in.Addrs = append(in.Addrs, a.Addr())
			}
			all[string(e.Place)] = append(all[string(e.Place)], in)
		}
	}
	return all
}

// Announce tells the neighbours of interfaces, in each of the places.
func Announce(ns Namespaces, all map[string][]announce.Interface, done *announce.Closer) error {
	places := slices.Collect(maps.Keys(all))
	return rtnl.Visit(len(places), func(i int) (int, error) {
		fd, err := ns.Open(Place(places[i]))
		if err != nil {
			err = &Error{Place: Place(places[i]), Op: "enter its network namespace", Err: err}
		}
		return fd, err
	}, func(i int, c *rtnl.Conn) error {
		if err := announce.Send(c, all[places[i]], done); err != nil {
			return &Error{Place: Place(places[i]), Op: "tell its neighbours", Err: err}
		}
		return nil
	})
}
