package testenv

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// observeLinks lists the links of this network namespace without their counters.
func observeLinks() ([]string, error) {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	var items []string
	for _, l := range links {
		a := l.Attrs()
		up := a.Flags&net.FlagUp != 0
		items = append(items, fmt.Sprintf("%d %s %s mac %s mtu %d up %t master %d alias %q altnames %v",
			a.Index, a.Name, l.Type(), a.HardwareAddr, a.MTU, up, a.MasterIndex, a.Alias, a.AltNames))
	}
	return items, nil
}

// observeRoutes lists addresses, routes of every table, rules, and the neighbours that somebody set.
func observeRoutes() ([]string, error) {
	var items []string
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		addrs, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, family) })
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			items = append(items, fmt.Sprintf("address %s of link %d", a.IPNet, a.LinkIndex))
		}
		routes, err := dump(func() ([]netlink.Route, error) {
			// The filter asks for every table; without it the library returns main alone.
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			items = append(items, fmt.Sprintf("route type %d %s", r.Type, r))
		}
		rules, err := dump(func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			items = append(items, fmt.Sprintf("rule family %d %s", family, r))
		}
		neighbours, err := dump(func() ([]netlink.Neigh, error) { return netlink.NeighList(0, family) })
		if err != nil {
			return nil, err
		}
		for _, n := range neighbours {
			if n.State&netlink.NUD_PERMANENT != 0 {
				items = append(items, fmt.Sprintf("neighbour %s %s of link %d", n.IP, n.HardwareAddr, n.LinkIndex))
			}
		}
	}
	return items, nil
}

// dump retries a netlink dump that was interrupted by a change, for up to two seconds.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	deadline := time.Now().Add(2 * time.Second)
	for {
		items, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || time.Now().After(deadline) {
			return items, err
		}
	}
}
