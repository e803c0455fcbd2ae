package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// onNetwork tells of a file system of another machine: a lock in it, which tells whether a lab lives, is that machine's word,
// and not the kernel's. statfs(2).
func onNetwork(kind int64) bool {
	const nfs, smb, smb2, cifs, ceph, afs, v9fs = 0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0xc36400, 0x5346414f, 0x01021997
	switch uint32(kind) {
	case nfs, smb, smb2, cifs, ceph, afs, v9fs:
		return true
	}
	return false
}

// checkSubnets finds that the host reaches a bridge's subnet otherwise already: packets would go there, without a word.
func (b *builder) checkSubnets() error {
	var wanted []topology.Bridge
	for _, t := range b.lab.Bridges {
		if !t.External && len(t.Addresses) > 0 {
			wanted = append(wanted, t)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	c, err := rtnl.Dial(nil)
	if err != nil {
		return &Error{Op: "look at the host's routes", Err: err}
	}
	defer c.Close()
	routes, err := c.Routes()
	if err != nil {
		return &Error{Op: "look at the host's routes", Err: err}
	}
	links, err := c.Links()
	if err != nil {
		return &Error{Op: "look at the host's interfaces", Err: err}
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Index] = l.Name
		if of, leg := wiring.LegOf(l.Alias); of != "" {
			names[l.Index] += fmt.Sprintf(", the host's leg to bridge %s of lab %s,", leg, of)
		}
		if strings.HasPrefix(l.Alias, wiring.Mark(b.lab.Name)) { // of a lab that runs
			routes = slices.DeleteFunc(routes, func(r rtnl.TableRoute) bool { return r.Index == l.Index })
		}
	}
	b.uplinks = uplinkBridges(links, routes)
	for _, t := range wanted {
		for _, a := range t.Addresses {
			r := clash(a.Masked(), routes)
			if r == nil {
				continue
			}
			name := ""
			if n := names[r.Index]; n != "" {
				name = " by " + n
			}
			return &Error{Object: "bridge " + t.Name, Err: fmt.Errorf("%w: the host reaches %s%s already, and its packets to %s would go either way", ErrConflict, r.To, name, a.Masked()),
				Remedy: "give the bridge another subnet, or take away what has this one"}
		}
	}
	return nil
}

// clash is a route of the host that a subnet would take packets from, or that would take packets from it: one to the same
// subnet or a part of it, or to a network around it that an interface of the host is in. A route to a larger network by way of a
// router, as the default route, is there to be refined.
func clash(subnet netip.Prefix, routes []rtnl.TableRoute) *rtnl.TableRoute {
	for i := range routes {
		r := &routes[i]
		if r.Table != unix.RT_TABLE_MAIN || r.Default() || r.To.Addr().IsLinkLocalUnicast() || !r.To.Overlaps(subnet) {
			continue
		}
		if r.To.Bits() >= subnet.Bits() || r.Protocol == unix.RTPROT_KERNEL {
			return r
		}
	}
	return nil
}
