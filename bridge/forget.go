package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// forgetFrom is from how many connections on those of a lab that is gone are looked for: to go through them takes a while, and fewer are nobody's harm.
const forgetFrom = trackedMost / 2

// Crowded reports whether the calling thread's network namespace tracks many connections. Where it tracks few, those of a lab that is gone
// do no harm, and [Forget] need not look for them.
func Crowded() bool {
	count, err := readCount("nf_conntrack_count")
	return err == nil && count >= forgetFrom
}

// Forget has the host track the connections of a lab no longer, whose legs are gone. An established one would have its place for five
// days. The subnets of its legs are the lab's; what came from others behind its routers is known by its translation. ctnetlink.
func (c *Config) Forget() error {
	if err := failpoint.Hit("conntrack", "forget connections"); err != nil {
		return err
	}
	f := connections{behind: c.Subnets}
	for i := range c.Legs {
		f.legs = append(f.legs, c.Legs[i].Addresses...)
	}
	var errs []error
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, f); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("forget connections of lab %s: %w", c.Lab, err)
	}
	return nil
}

// connections are those of a lab.
type connections struct{ legs, behind []netip.Prefix }

// MatchConntrackFlow implements [netlink.CustomConntrackFilter].
func (c connections) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	within := func(subnets []netip.Prefix, ip net.IP) bool {
		a, ok := netip.AddrFromSlice(ip)
		return ok && slices.ContainsFunc(subnets, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
	}
	translated := !flow.Reverse.DstIP.Equal(flow.Forward.SrcIP)
	return within(c.legs, flow.Forward.SrcIP) || within(c.legs, flow.Forward.DstIP) || translated && within(c.behind, flow.Forward.SrcIP)
}
