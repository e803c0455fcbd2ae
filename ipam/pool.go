package ipam

import (
	"errors"
	"fmt"
	"net/netip"
)

// Reasons why Reserve refuses an address, to be told apart with errors.Is.
var (
	ErrOutside  = errors.New("is outside the subnet")
	ErrTaken    = errors.New("is taken")
	ErrUnusable = errors.New("cannot be an interface's address")
)

// ExhaustedError says that a pool has no address left.
type ExhaustedError struct {
	Subnet netip.Prefix
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("no address is left in %s", e.Subnet)
}

// Pool is the set of free addresses of one subnet. It is not safe for concurrent use.
type Pool struct {
	subnet netip.Prefix
	last   netip.Addr
	next   netip.Addr // invalid when the end was reached
	taken  map[netip.Addr]struct{}
}

// NewPool makes a pool of all usable addresses of a subnet. Host bits in the prefix are
// ignored. An invalid prefix, or one that maps IPv4 into IPv6, is an error.
func NewPool(subnet netip.Prefix) (*Pool, error) {
	if !subnet.IsValid() {
		return nil, errors.New("make address pool: not a valid prefix")
	}
	if subnet.Addr().Is4In6() {
		return nil, fmt.Errorf("make address pool: %s maps IPv4 into IPv6", subnet)
	}
	subnet = subnet.Masked()
	first, last := usable(subnet)
	return &Pool{subnet: subnet, next: first, last: last, taken: map[netip.Addr]struct{}{}}, nil
}

// Subnet is the pool's prefix, masked.
func (p *Pool) Subnet() netip.Prefix { return p.subnet }

// Reserve sets an address aside, so that Next will not give it. The error is ErrOutside,
// ErrUnusable or ErrTaken; the last also for an address that Next has given.
func (p *Pool) Reserve(a netip.Addr) error {
	if !p.subnet.Contains(a) {
		return ErrOutside
	}
	if !Usable(netip.PrefixFrom(a, p.subnet.Bits())) {
		return ErrUnusable
	}
	if _, ok := p.taken[a]; ok {
		return ErrTaken
	}
	p.taken[a] = struct{}{}
	return nil
}

// Next takes the lowest free address and returns it with the subnet's mask. When none is
// left the error is an *ExhaustedError, now and at every later call.
func (p *Pool) Next() (netip.Prefix, error) {
	for p.next.IsValid() {
		a := p.next
		if a == p.last {
			p.next = netip.Addr{}
		} else {
			p.next = a.Next()
		}
		if _, ok := p.taken[a]; ok {
			continue
		}
		p.taken[a] = struct{}{}
		return netip.PrefixFrom(a, p.subnet.Bits()), nil
	}
	return netip.Prefix{}, &ExhaustedError{Subnet: p.subnet}
}

// Usable tells whether an interface may have this address with this mask: it is not its
// subnet's network, broadcast or subnet-router anycast address.
func Usable(p netip.Prefix) bool {
	if !p.IsValid() {
		return false
	}
	if p.Addr().BitLen()-p.Bits() < 2 {
		return true
	}
	a := p.Addr()
	return a != p.Masked().Addr() && (a.Is6() || a != highest(p))
}

// usable gives the first and the last address of a masked prefix that Usable accepts.
func usable(p netip.Prefix) (first, last netip.Addr) {
	first, last = p.Addr(), highest(p)
	if p.Addr().BitLen()-p.Bits() < 2 {
		return first, last
	}
	if first.Is4() {
		last = last.Prev()
	}
	return first.Next(), last
}

// highest is the address of a prefix with all host bits set.
func highest(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if keep := p.Bits() - 8*i; keep <= 0 {
			b[i] = 0xff
		} else if keep < 8 {
			b[i] |= 0xff >> keep
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
