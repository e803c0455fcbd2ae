package attach

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/ipam"
	"github.com/nsnet/nsnet/lab"
)

// identity is what is drawn by chance for an attachment: its id, and the indexes of its ends.
type identity struct {
	id         string
	index, far int
}

const defaultMTU = 1500

// decide makes of what is wanted and what there is what will be. It is pure: nothing is changed
// and nothing is looked up, and what cannot be is an error here.
func decide(q *Request, o *observed, who identity) (*Record, error) {
	r := &Record{Schema: schema, ID: who.id, Request: *q, Index: who.index, MTU: q.MTU}
	r.MAC, r.HostMAC = "02:"+colons(who.id), "fe:"+colons(who.id)
	if q.MAC != "" {
		r.MAC = strings.ToLower(q.MAC)
	}
	switch q.Via.Kind {
	case ViaBridge:
		r.Port, r.FarIndex = "ns"+who.id, who.far
	case ViaHost:
		r.Port, r.FarIndex = "ns"+who.id, who.far
	case ViaPeer:
		r.Port, r.FarIndex, r.HostMAC = q.Via.Interface, who.far, "02:"+colons(flip(who.id))
	case ViaMACVLAN:
		if q.Via.Mode == "passthru" {
			r.MAC = o.link.MAC.String()
		}
	case ViaNIC:
		r.NIC = lent(o)
		if q.MAC == "" {
			r.MAC = o.link.MAC.String()
		}
	}
	if r.MTU == 0 {
		if r.MTU = o.link.MTU; r.MTU == 0 {
			r.MTU = defaultMTU
		}
	}
	if err := r.free(o); err != nil {
		return nil, err
	}
	if err := r.address(q, o); err != nil {
		return nil, err
	}
	if err := r.route(q, o); err != nil {
		return nil, err
	}
	if len(q.DNS) > 0 {
		r.Resolv = &Resolv{Place: o.place, Before: o.resolv, After: withNameservers(o.resolv, q.DNS)}
	}
	return r, nil
}

// colons writes an id as five bytes of a hardware address.
func colons(id string) string {
	return strings.Join([]string{id[0:2], id[2:4], id[4:6], id[6:8], id[8:10]}, ":")
}

// flip is an id for the other end of a cable: its last bit is the other one.
func flip(id string) string {
	const digits = "0123456789abcdef"
	last := strings.IndexByte(digits, id[len(id)-1])
	return id[:len(id)-1] + string(digits[last^1])
}

// lent is a NIC as it is.
func lent(o *observed) *NIC {
	l := &o.link
	n := &NIC{Name: l.Name, Index: l.Index, MAC: l.MAC.String(), MTU: l.MTU, Alias: l.Alias, Up: l.Up(), Master: o.masters[l.Master], Settings: o.settings}
	for _, a := range rtnl.RestoreOrder(o.far.addresses) {
		if a.Index == l.Index && !a.Prefix.Addr().IsLinkLocalUnicast() {
			n.Addresses = append(n.Addresses, a.Raw)
		}
	}
	// A route by a next hop needs the one to the next hop first.
	for _, viaHop := range []bool{false, true} {
		for _, t := range o.far.routes {
			if t.Index == l.Index && t.Via.IsValid() == viaHop && !t.Kernel() {
				n.Routes = append(n.Routes, t.Raw)
			}
		}
	}
	return n
}

// free sees to it that names are free, and addresses.
func (r *Record) free(o *observed) error {
	q := &r.Request
	if q.Via.Kind == ViaBridge && o.link.MTU > 0 && q.MTU > o.link.MTU {
		return fmt.Errorf("--mtu %d is larger than that of bridge %s, which is %d", q.MTU, q.Via.Name, o.link.MTU)
	}
	if l, taken := o.target.link(q.Interface); taken {
		return fmt.Errorf("%w: it has an interface of that name, a %s that nsnet did not attach; choose another with --ifname", lab.ErrConflict, kindOf(l))
	}
	if q.Via.Kind == ViaPeer {
		if l, taken := o.far.link(q.Via.Interface); taken {
			return fmt.Errorf("%w: %s has an interface %s, a %s; choose another with --peer-ifname", lab.ErrConflict, q.Via.Peer, q.Via.Interface, kindOf(l))
		}
	}
	for _, p := range q.Addresses {
		for _, a := range o.target.addresses {
			if a.Prefix.Addr() == p.Addr() {
				return fmt.Errorf("%w: it has the address %s already, on %s", lab.ErrConflict, p.Addr(), o.target.named(a.Index))
			}
		}
		if i := slices.IndexFunc(o.users, func(u user) bool { return u.address == p.Addr() }); i >= 0 {
			return fmt.Errorf("%w: the address %s is in use on %s, by %s", lab.ErrConflict, p.Addr(), q.Via, o.users[i].who)
		}
	}
	if q.Via.Kind != ViaPeer && q.Via.Kind != ViaHost {
		return nil
	}
	for _, p := range q.Via.Addresses {
		for _, a := range o.far.addresses {
			if a.Prefix.Addr() == p.Addr() {
				return fmt.Errorf("%w: the other end has the address %s already, on %s", lab.ErrConflict, p.Addr(), o.far.named(a.Index))
			}
		}
	}
	if q.Via.Kind == ViaHost {
		for _, a := range o.far.addresses {
			if i := slices.IndexFunc(q.Addresses, func(p netip.Prefix) bool { return p.Addr() == a.Prefix.Addr() }); i >= 0 {
				return fmt.Errorf("%w: the host itself has the address %s, on %s", lab.ErrConflict, a.Prefix.Addr(), o.far.named(a.Index))
			}
		}
	}
	return nil
}

func kindOf(l rtnl.Link) string {
	if l.Kind == "" {
		return "network card"
	}
	return l.Kind
}

// address decides on the interface's addresses.
func (r *Record) address(q *Request, o *observed) error {
	r.Addresses = slices.Clone(q.Addresses)
	if !q.Auto {
		return nil
	}
	if len(o.pools) == 0 {
		return fmt.Errorf("%s has no pool of addresses: its lab's file gives it neither address nor subnet; give one with --ip", q.Via)
	}
	for _, subnet := range o.pools {
		pool, err := ipam.NewPool(subnet)
		if err != nil {
			return err
		}
		taken := slices.Clone(o.taken)
		for _, u := range o.users {
			taken = append(taken, u.address)
		}
		for _, p := range r.Addresses {
			taken = append(taken, p.Addr())
		}
		for _, g := range o.gateway {
			taken = append(taken, g.Addr())
		}
		for _, a := range taken {
			if subnet.Contains(a) {
				_ = pool.Reserve(a) // twice is once
			}
		}
		if len(ofFamily(q.Addresses, subnet.Addr().Is6())) > 0 {
			continue // as with the file: a fixed address of a family is in place of the pool's
		}
		p, err := pool.Next()
		if err != nil {
			return fmt.Errorf("%s: %w", q.Via, err)
		}
		r.Addresses = append(r.Addresses, p)
	}
	return nil
}

// route decides on the routes of both ends, and which default routes move aside.
func (r *Record) route(q *Request, o *observed) error {
	switch q.Via.Kind {
	case ViaPeer, ViaHost:
		r.Routes = toward(r.Addresses, q.Via.Addresses)
		r.PeerRoutes = toward(q.Via.Addresses, r.Addresses)
	}
	gateways, err := r.gateways(q, o)
	if err != nil {
		return err
	}
	for _, t := range q.Routes {
		via := t.Via
		if !via.IsValid() {
			via = gateways[t.To.Addr().Is6()]
		}
		if via.IsValid() && !r.reaches(via) {
			return fmt.Errorf("--route %s,%s: the next hop is on no subnet of the interface", t.To, via)
		}
		r.Routes = append(r.Routes, FinalRoute{To: t.To, Via: via})
	}
	for _, t := range r.Routes {
		for _, had := range o.target.routes {
			if had.Table == mainTable && had.To == t.To && had.Metric == orDefault(t.Metric, t.To) {
				return fmt.Errorf("%w: it has a route to %s already, through %s", lab.ErrConflict, t.To, o.target.named(had.Index))
			}
		}
	}
	if q.DefaultRoute {
		return r.defaultRoute(q, o, gateways)
	}
	return nil
}

const mainTable = 254

// orDefault is the metric that the kernel gives a route without one: IPv6 knows no 0.
func orDefault(metric int, to netip.Prefix) int {
	const ipv6 = 1024 // IP6_RT_PRIO_USER
	if metric == 0 && to.Addr().Is6() {
		return ipv6
	}
	return metric
}

// toward are the routes that an end needs to the addresses of the other one, as far as they are
// on no subnet of its own.
func toward(mine, theirs []netip.Prefix) (routes []FinalRoute) {
	for _, p := range theirs {
		covered := slices.ContainsFunc(mine, func(m netip.Prefix) bool { return m.Bits() < m.Addr().BitLen() && m.Contains(p.Addr()) })
		if !covered {
			routes = append(routes, FinalRoute{To: netip.PrefixFrom(p.Addr(), p.Addr().BitLen())})
		}
	}
	return routes
}

// reaches tells whether an address is reached through the interface without a next hop.
func (r *Record) reaches(a netip.Addr) bool {
	return a.IsLinkLocalUnicast() ||
		slices.ContainsFunc(r.Addresses, func(p netip.Prefix) bool { return p.Contains(a) && p.Addr() != a }) ||
		slices.ContainsFunc(r.Routes, func(t FinalRoute) bool { return !t.Via.IsValid() && t.To.Contains(a) })
}

// gateways are the next hops by family (IPv6: true): the given ones, else the bridge's own address
// or the other end's.
func (r *Record) gateways(q *Request, o *observed) (map[bool]netip.Addr, error) {
	g := map[bool]netip.Addr{}
	for _, a := range q.Gateways {
		if !r.reaches(a) {
			return nil, fmt.Errorf("--gateway %s: it is on no subnet of the interface; give an address with a wider mask with --ip", a)
		}
		g[a.Is6()] = a
	}
	for _, p := range append(slices.Clone(o.gateway), q.Via.Addresses...) {
		if a := p.Addr(); !g[a.Is6()].IsValid() && !a.IsLinkLocalUnicast() && r.reaches(a) {
			g[a.Is6()] = a
		}
	}
	return g, nil
}

// defaultRoute adds default routes, and sets those aside that would win over them or tie. With
// a metric of its own it stands beside the others, and the lowest wins.
func (r *Record) defaultRoute(q *Request, o *observed, gateways map[bool]netip.Addr) error {
	any4, any6 := netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	for _, to := range []netip.Prefix{any4, any6} {
		six := to.Addr().Is6()
		if len(ofFamily(r.Addresses, six)) == 0 {
			continue
		}
		via := gateways[six]
		if !via.IsValid() {
			continue
		}
		metric := orDefault(q.Metric, to)
		for _, had := range o.target.routes {
			if !had.Default() || had.To.Addr().Is6() != six {
				continue
			}
			switch {
			case q.Metric != 0 && had.Metric == metric:
				return fmt.Errorf("%w: it has a default route with metric %d already, through %s", lab.ErrConflict, metric, o.target.named(had.Index))
			case q.Metric == 0 && had.Metric <= metric:
				r.Former = append(r.Former, had.Raw)
			}
		}
		r.Routes = append(r.Routes, FinalRoute{To: to, Via: via, Metric: q.Metric})
	}
	if !slices.ContainsFunc(r.Routes, func(t FinalRoute) bool { return t.To.Bits() == 0 }) {
		return errors.New("--default-route: through which next hop? give --gateway")
	}
	return nil
}

// withNameservers is a resolv.conf with these servers in place of its own.
func withNameservers(before []byte, servers []netip.Addr) []byte {
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	for line := range strings.Lines(string(before)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "nameserver") {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return []byte(b.String())
}

// difference says how a request differs from what is attached, nothing if it does not. What it
// leaves to nsnet may be as it is.
func (r *Record) difference(q *Request) []string {
	had := &r.Request
	var d []string
	add := func(what string, is, wanted any) {
		d = append(d, fmt.Sprintf("%s %v, not %v", what, is, wanted))
	}
	if had.Via.String() != q.Via.String() || had.Via.Mode != q.Via.Mode {
		add("it leads to", had.Via, q.Via)
	}
	wanted := q.Addresses
	if q.Auto && had.Auto {
		wanted = r.Addresses
	}
	if !sameSet(r.Addresses, wanted) || q.Auto && !had.Auto {
		text := list(q.Addresses)
		if q.Auto {
			text = "auto"
		}
		add("it has the addresses", list(r.Addresses), text)
	}
	if !sameSet(had.Via.Addresses, q.Via.Addresses) {
		add("the other end has the addresses", list(had.Via.Addresses), list(q.Via.Addresses))
	}
	if q.MAC != "" && !strings.EqualFold(q.MAC, r.MAC) {
		add("it has the MAC", r.MAC, q.MAC)
	}
	if q.MTU != 0 && q.MTU != r.MTU {
		add("it has the MTU", r.MTU, q.MTU)
	}
	if q.VLAN != had.VLAN {
		add("it is in VLAN", had.VLAN, q.VLAN)
	}
	if q.DefaultRoute != had.DefaultRoute || q.Metric != had.Metric || !sameSet(q.Gateways, had.Gateways) {
		add("it has", gatewayText(had), gatewayText(q))
	}
	if !sameSet(q.Routes, had.Routes) {
		add("it has the routes", list(had.Routes), list(q.Routes))
	}
	if !slices.Equal(q.DNS, had.DNS) {
		add("it has the nameservers", list(had.DNS), list(q.DNS))
	}
	return d
}

// drift says what of an attached interface is not there, or not as it was made. Of the other end it
// knows where that has been looked at.
func (r *Record) drift(o *observed) []string {
	var d []string
	i := slices.IndexFunc(o.target.links, r.owns)
	if i < 0 {
		return []string{"it is gone"}
	}
	if !o.target.links[i].Up() {
		d = append(d, "it is down")
	}
	for _, p := range r.Addresses {
		if !slices.ContainsFunc(o.target.addresses, func(a rtnl.InterfaceAddress) bool { return a.Index == r.Index && a.Prefix == p }) {
			d = append(d, fmt.Sprintf("its address %s is missing", p))
		}
	}
	for _, t := range r.Routes {
		if !slices.ContainsFunc(o.target.routes, func(had rtnl.TableRoute) bool {
			return had.Table == mainTable && had.Index == r.Index && had.To == t.To && had.Via == t.Via
		}) {
			d = append(d, fmt.Sprintf("its route to %s is missing", t.To))
		}
	}
	if r.FarIndex == 0 || o.far.links == nil {
		return d
	}
	j := slices.IndexFunc(o.far.links, func(l rtnl.Link) bool { return l.Index == r.FarIndex && l.Alias == alias(r.ID) })
	switch {
	case j < 0:
		d = append(d, "its other end is gone")
	case !o.far.links[j].Up():
		d = append(d, "its other end is down")
	case r.Request.Via.Kind == ViaBridge && o.far.links[j].Master != o.link.Index:
		d = append(d, "its port "+r.Port+" is not plugged into the bridge")
	}
	if r.Request.Via.Kind != ViaBridge {
		for _, p := range r.Request.Via.Addresses {
			if !slices.ContainsFunc(o.far.addresses, func(a rtnl.InterfaceAddress) bool { return a.Index == r.FarIndex && a.Prefix == p }) {
				d = append(d, fmt.Sprintf("the other end's address %s is missing", p))
			}
		}
	}
	return d
}

func gatewayText(q *Request) string {
	text := "no default route"
	if q.DefaultRoute {
		text = fmt.Sprintf("a default route with metric %d", q.Metric)
	}
	if len(q.Gateways) > 0 {
		text += " and gateway " + list(q.Gateways)
	}
	return text
}

func sameSet[T comparable](a, b []T) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
}

func list[T any](l []T) string {
	if len(l) == 0 {
		return "none"
	}
	var s []string
	for _, x := range l {
		s = append(s, fmt.Sprint(x))
	}
	return strings.Join(s, ", ")
}

// String is a route as --route takes it.
func (r Route) String() string {
	if r.Via.IsValid() {
		return r.To.String() + "," + r.Via.String()
	}
	return r.To.String()
}
