package wiring

import (
	"bytes"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// The kernel has one table of neighbours for all network namespaces of a machine, of 1,024 entries where nobody has changed
// gc_thresh3, and loses packets without an error when it is full. Labs below fewPairs are far from that. Beyond manyPairs the
// entries would take longer to make than the lab: nsnet doctor tells of the table then.
const (
	fewPairs  = 512
	manyPairs = 16384
)

// Neighbour is an address that an interface reaches, and who has it.
type Neighbour struct {
	Interface string
	Addr      netip.Addr
	MAC       string
}

// Neighbours are those of each node's interfaces, as far as the lab knows them: the others on the same bridge, its host's address, or the
// other end of a cable. There are none in a lab of so few that the kernel finds them by itself, or of too many.
func Neighbours(w *Want) map[Place][]Neighbour {
	segments := map[string][]*End{} // by bridge
	var pairs [][]*End
	for i := range w.Cables {
		k := &w.Cables[i]
		switch {
		case k.A.Master != "" && k.A.Place == Fabric:
			segments[k.A.Master] = append(segments[k.A.Master], &k.B)
		case k.B.Master != "" && k.B.Place == Fabric:
			segments[k.B.Master] = append(segments[k.B.Master], &k.A)
		case k.A.Place != Host && k.B.Place != Host:
			pairs = append(pairs, []*End{&k.A, &k.B})
		}
	}
	for _, s := range segments {
		pairs = append(pairs, s)
	}
	count := 0
	for _, s := range pairs {
		for _, e := range s {
			count += (len(s) - 1) * len(known(e))
		}
	}
	if count <= fewPairs || count > manyPairs {
		return nil
	}
	all := map[Place][]Neighbour{}
	for _, s := range pairs {
		for _, from := range s {
			if from.Place == Host {
				continue
			}
			for _, to := range s {
				for _, a := range known(to) {
					if to != from {
						all[from.Place] = append(all[from.Place], Neighbour{from.Name, a, to.MAC})
					}
				}
			}
		}
	}
	return all
}

// known are an end's addresses, if it is known which hardware has them.
func known(e *End) []netip.Addr {
	if e.MAC == "" {
		return nil
	}
	var list []netip.Addr
	for _, p := range e.Addresses {
		if !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Addr())
		}
	}
	return list
}

// Neighbours tells the kernel of the lab's neighbours, and takes away what it was told of others before. In a lab that has none and
// had none, told is false and it looks at nothing.
func (a *Applier) Neighbours(w *Want, told bool) error {
	want := Neighbours(w)
	if len(want) == 0 && !told {
		return nil
	}
	return rtnl.Visit(len(w.Nodes), func(i int) (int, error) {
		p := Place(w.Nodes[i].Name)
		fd, err := a.Namespaces.Open(p)
		if err != nil {
			err = &Error{Place: p, Op: "enter its network namespace", Err: err}
		}
		return fd, err
	}, func(i int, c *rtnl.Conn) error {
		p := Place(w.Nodes[i].Name)
		if err := tellNeighbours(c, want[p]); err != nil {
			return &Error{Place: p, Op: "tell it of its neighbours", Err: err}
		}
		return nil
	})
}

func tellNeighbours(c *rtnl.Conn, want []Neighbour) error {
	links, err := c.Links()
	if err != nil {
		return err
	}
	index := make(map[string]int, len(links))
	for _, l := range links {
		index[l.Name] = l.Index
	}
	there, err := c.Neighbours()
	if err != nil {
		return err
	}
	type key struct {
		index int
		addr  netip.Addr
	}
	had := make(map[key]net.HardwareAddr, len(there))
	for _, n := range there {
		had[key{n.Index, n.Addr}] = n.MAC
	}
	var reqs []rtnl.Request
	for _, n := range want {
		mac, err := net.ParseMAC(n.MAC)
		if err != nil {
			return err
		}
		k := key{index[n.Interface], n.Addr}
		if k.index != 0 && !bytes.Equal(had[k], mac) {
			reqs = append(reqs, rtnl.Neighbour(k.index, n.Addr, mac, "neighbour "+n.Addr.String()))
		}
		delete(had, k)
	}
	for k := range had {
		reqs = append(reqs, rtnl.DeleteNeighbour(k.index, k.addr, "forget neighbour "+k.addr.String()))
	}
	return c.DoIgnoring(func(err error) bool { return errors.Is(err, unix.ENOENT) }, reqs...)
}
