package rtnl

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// An IPv6 address receives some time after it was given, or after its interface came up.
func TestReceives(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		c, err := Dial(newNetns(t), unix.RTNLGRP_IPV6_ROUTE)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := netip.MustParsePrefix("2001:db8::1/64")
		local := func() bool {
			routes, err := c.Routes()
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(routes, func(r TableRoute) bool { return r.Table == unix.RT_TABLE_LOCAL && r.To.Addr() == p.Addr() })
		}
		if err := c.Do(Address(1, p, "address")); err != nil { // of an interface that is down
			t.Fatal(err)
		}
		start := time.Now()
		if err := c.Receives([]netip.Addr{p.Addr()}, 100*time.Millisecond); err != nil || !local() && time.Since(start) < 100*time.Millisecond {
			t.Errorf("gave up after %v, error %v", time.Since(start), err)
		}
		if err := c.Do(Up("lo", "up")); err != nil {
			t.Fatal(err)
		}
		if err := c.Receives([]netip.Addr{p.Addr()}, 10*time.Second); err != nil || !local() {
			t.Errorf("it does not receive yet; error %v", err)
		}
	})
}
