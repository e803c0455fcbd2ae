package wiring

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/topology"
	"github.com/nsnet/nsnet/veth"
)

// Verb is what a step does.
type Verb int

// The verbs, in the order in which a plan is carried out.
const (
	DelLink    Verb = iota + 1 // Link, Index
	AddBridge                  // Bridge, Index
	SetBridge                  // Bridge, Index
	AddCable                   // Cable, Index of end A, IndexB, Master
	NameLink                   // Link, Index, AltName
	SetLink                    // Link, Index, Set
	SetSysctls                 // Link, Sysctls
	DelAddress                 // Link, Index, Address
	AddAddress                 // Link, Index, Address
	UpLink                     // Link, Index
	DelRoute                   // Route, Raw
	AddRoute                   // Route, Index of the interface or 0
	UpBridge                   // Bridge
)

// Step is one request to the kernel, as data.
type Step struct {
	Verb    Verb
	Place   Place
	Link    string
	Index   int
	IndexB  int
	Master  int
	Bridge  *Bridge
	Cable   *Cable
	Set     Set
	AltName string
	Sysctls [][2]string
	Address netip.Prefix
	Route   Route
	Raw     []byte // of a route that a dump has shown
	done    *bool  // whether it is carried out, see Change.Done
}

// Done notes that a step is carried out.
func (s *Step) Done() {
	if s.done != nil {
		*s.done = true
	}
}

// Set is what to change of an interface. What is nil or empty stays.
type Set struct {
	MAC    string
	MTU    int
	Alias  string
	Master *int // index, 0: none
}

// Change is what a user is told of, and the steps that do it.
type Change struct {
	Op     string // "+", "~" or "-"
	Kind   string // "bridge", "link", "leg", "route", "interface"
	Name   string // "web:eth0 -- lan0"
	Detail string
	Reason string
	Node   string // whose route or interface it is
	Remade bool   // the cable is made anew: its packets are lost meanwhile
	Steps  []Step
}

// Done returns how many of a change's steps are carried out, of those that Steps has given of it.
func (c *Change) Done() int {
	n := 0
	for i := range c.Steps {
		if d := c.Steps[i].done; d != nil && *d {
			n++
		}
	}
	return n
}

// Steps are those of all changes, in the order of carrying out.
func Steps(changes []Change) []Step {
	n := 0
	for i := range changes {
		n += len(changes[i].Steps)
	}
	steps, done := make([]Step, 0, n), make([]bool, n)
	for i := range changes {
		for j := range changes[i].Steps {
			if s := &changes[i].Steps[j]; s.done == nil {
				s.done, done = &done[0], done[1:]
			}
		}
	}
	for v := DelLink; v <= UpBridge; v++ {
		for i := range changes {
			for _, s := range changes[i].Steps {
				if s.Verb == v {
					steps = append(steps, s)
				}
			}
		}
	}
	return steps
}

// label is a step in the words of an error.
func (s *Step) label() string {
	switch s.Verb {
	case DelLink:
		return "delete interface " + s.Link
	case AddBridge:
		return "create bridge " + s.Bridge.Name
	case SetBridge:
		return "change bridge " + s.Bridge.Name
	case AddCable:
		return "create link " + s.Cable.Name
	case NameLink:
		return "call " + s.Link + " " + s.AltName
	case SetLink:
		return "change " + s.Link
	case SetSysctls:
		return "set sysctls of " + s.Link
	case DelAddress:
		return fmt.Sprintf("delete address %s of %s", s.Address, s.Link)
	case AddAddress:
		if s.Address.Addr().IsLinkLocalUnicast() && s.Address.Addr().Is6() {
			return "add the link-local address of " + s.Link
		}
		return fmt.Sprintf("add address %s to %s", s.Address, s.Link)
	case UpLink:
		return "bring up " + s.Link
	case UpBridge:
		return "bring up bridge " + s.Bridge.Name
	case DelRoute:
		return "delete route " + s.Route.text()
	case AddRoute:
		return "add route " + s.Route.text()
	}
	return "?"
}

func (r *Route) text() string {
	var b strings.Builder
	b.WriteString(r.To.String())
	if r.Via.IsValid() {
		b.WriteString(" via " + r.Via.String())
	}
	if r.Dev != "" && !r.Via.IsValid() {
		b.WriteString(" dev " + r.Dev)
	}
	if r.Metric > 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	return b.String()
}

// request is the message that does a step. Of a cable, ns gives the namespaces of its ends.
func (s *Step) request(ends *ends) (rtnl.Request, error) {
	label := s.label()
	switch s.Verb {
	case DelLink:
		return rtnl.DeleteIndex(s.Index, label), nil
	case AddBridge:
		return bridge.Create(s.Bridge.spec(), s.Index)
	case SetBridge:
		return bridge.Change(s.Bridge.spec(), s.Index)
	case AddCable:
		return s.cable(ends)
	case NameLink:
		return rtnl.AltName(s.Index, s.AltName, label), nil
	case SetLink:
		c := rtnl.Change{Index: s.Index, MTU: s.Set.MTU, Master: s.Set.Master}
		if s.Set.MAC != "" {
			mac, err := net.ParseMAC(s.Set.MAC)
			if err != nil {
				return rtnl.Request{}, fmt.Errorf("%s: %w", label, err)
			}
			c.MAC = mac
		}
		if s.Set.Alias != "" {
			c.Alias = &s.Set.Alias
		}
		return c.Request(label), nil
	case DelAddress:
		return rtnl.DeleteAddress(s.Index, s.Address, label), nil
	case AddAddress:
		return rtnl.Address(s.Index, s.Address, label), nil
	case UpLink, UpBridge:
		return rtnl.Up(s.Link, label), nil
	case DelRoute:
		return rtnl.DeleteRoute(s.Raw, label), nil
	case AddRoute:
		if s.Route.OnLink {
			return rtnl.RouteOnLink(s.Route.To, s.Route.Via, s.Index, s.Route.Metric, label), nil
		}
		return rtnl.Route(s.Route.To, s.Route.Via, s.Index, s.Route.Metric, label), nil
	}
	return rtnl.Request{}, fmt.Errorf("no verb %d", s.Verb)
}

// cable is the one message that makes both ends where they belong. The fabric's end, which can be made a
// port and brought up in it, is the first; else the one whose index counts: of a peer's the kernel takes
// notice only where the first has one, too (veth_newlink in drivers/net/veth.c), and the
// host numbers its own.
func (s *Step) cable(ends *ends) (rtnl.Request, error) {
	c := s.Cable
	a := veth.End{Name: c.A.Name, Index: s.Index, MAC: c.A.MAC, MTU: c.A.MTU}
	b := veth.End{Name: c.B.Name, Index: s.IndexB, MAC: c.B.MAC, MTU: c.B.MTU}
	var err error
	if a.Netns, err = ends.file(c.A.Place); err != nil {
		return rtnl.Request{}, err
	}
	if b.Netns, err = ends.file(c.B.Place); err != nil {
		return rtnl.Request{}, err
	}
	switch Fabric {
	case c.A.Place:
		a.Master, a.Up = s.Master, true
	case c.B.Place:
		b.Master, b.Up = s.Master, true
		a, b = b, a
	default:
		if c.B.Place != Host {
			a, b = b, a
		}
	}
	return veth.Create(a, b, s.label())
}

// spec is a bridge as package bridge takes it.
func (b *Bridge) spec() *topology.Bridge {
	return &topology.Bridge{Name: b.Name, MAC: b.MAC, MTU: b.MTU, STP: b.STP}
}

// ofHost tells whether a step is for who may change the host's network namespace.
func (s *Step) ofHost() bool {
	return s.Place == Host || s.Cable != nil && s.Cable.B.Place == Host
}

// Inside are the steps that do not touch the host.
func Inside(steps []Step) []Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.ofHost() })
}

// Outside are the steps that do.
func Outside(steps []Step) []Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return !s.ofHost() })
}

// Legs parts steps into those of legs, between fabric and host, and the others.
func Legs(steps []Step) (legs, rest []Step) {
	names := map[string]bool{}
	for _, s := range steps {
		if s.Cable != nil && s.Cable.Leg {
			names[s.Cable.B.Name] = true
		}
	}
	return part(steps, func(s *Step) bool { return s.Cable != nil && s.Cable.Leg || s.Place == Host && names[s.Link] })
}

// Bridges parts steps into those that make or change bridges, and the others.
func Bridges(steps []Step) (bridges, rest []Step) {
	return part(steps, func(s *Step) bool { return s.Verb == AddBridge || s.Verb == SetBridge })
}

func part(steps []Step, first func(*Step) bool) (a, b []Step) {
	for i := range steps {
		if first(&steps[i]) {
			a = append(a, steps[i])
		} else {
			b = append(b, steps[i])
		}
	}
	return a, b
}

// String is a step in the words of an error.
func (s *Step) String() string { return s.label() }

// Wake are the places in which steps may have changed more than they say: an interface that goes takes its
// other end along, an address its routes. Where things were only added there is none.
func Wake(steps []Step) []Place {
	set := map[Place]bool{}
	for i := range steps {
		switch s := &steps[i]; s.Verb {
		case DelLink, SetLink, DelAddress, DelRoute:
			set[s.Place] = true
		}
	}
	if len(set) > 0 { // the ends of cables are compared with each other
		for i := range steps {
			if k := steps[i].Cable; k != nil {
				set[k.A.Place], set[k.B.Place] = true, true
			}
		}
	}
	places := make([]Place, 0, len(set))
	for p := range set {
		places = append(places, p)
	}
	return places
}

// Within are the steps that are about places which were looked at.
func Within(steps []Step, seen Seen) []Step {
	in, _ := part(steps, func(s *Step) bool {
		if k := s.Cable; k != nil {
			return seen[k.A.Place] != nil && seen[k.B.Place] != nil
		}
		return seen[s.Place] != nil
	})
	return in
}
