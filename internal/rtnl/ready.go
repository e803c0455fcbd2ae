package rtnl

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Want says when an interface can carry packets: it is up in the sense of RFC 2863, and a
// bridge port that is to forward does.
type Want struct {
	Name    string
	Forward bool
	// Running is enough where the interface may never be told that it is up: it says so of itself
	// from the start (operational state UNKNOWN), or has no carrier (DOWN).
	Running bool
}

// NotReadyError is of interfaces that cannot carry packets after the time that they had.
type NotReadyError struct {
	Names []string
	After time.Duration
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("interfaces are not ready after %v: %s", e.After, strings.Join(e.Names, ", "))
}

// Ready waits until every wanted interface of the namespace can carry packets. The kernel
// reports a carrier and makes a port forward some time after the call that caused it; a
// packet sent before is lost. The error is a *NotReadyError when the time is over. The Conn must have joined unix.RTNLGRP_LINK.
func (c *Conn) Ready(want []Want, timeout time.Duration) error {
	return c.ReadyContext(context.Background(), want, timeout)
}

// ReadyContext is Ready, which the end of ctx ends, too, with its cause.
func (c *Conn) ReadyContext(ctx context.Context, want []Want, timeout time.Duration) error {
	stop, release, err := descriptor(ctx)
	if err != nil {
		return err
	}
	defer release()
	end := time.Now().Add(timeout)
	for {
		links, err := c.Links()
		if err != nil {
			return err
		}
		want = missing(want, links)
		if len(want) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		left := time.Until(end)
		if left <= 0 {
			names := make([]string, 0, len(want))
			for _, w := range want {
				names = append(names, w.Name)
			}
			slices.Sort(names)
			return &NotReadyError{names, timeout}
		}
		if _, err := c.wait(int(left.Milliseconds())+1, stop); err != nil {
			return err
		}
	}
}

// descriptor returns one that can be read when ctx has ended, -1 of one that never ends. eventfd(2).
func descriptor(ctx context.Context) (fd int, release func(), err error) {
	if ctx.Done() == nil {
		return -1, func() {}, nil
	}
	fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, nil, fmt.Errorf("make an event descriptor: %w", err)
	}
	told := make(chan struct{})
	keep := context.AfterFunc(ctx, func() {
		_, _ = unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 1))
		close(told)
	})
	return fd, func() {
		if !keep() {
			<-told // it writes to this descriptor, and not to the next of that number
		}
		_ = unix.Close(fd)
	}, nil
}

// Receives waits until packets to these IPv6 addresses of the namespace are its own, or the time is over: it may be that they never
// are, as on an interface without a carrier. The kernel's workqueue makes an address's local route some time after the call that gives
// the address, or brings up its interface (addrconf_dad_work in net/ipv6/addrconf.c); a packet that comes before is lost. The
// Conn must have joined unix.RTNLGRP_IPV6_ROUTE.
func (c *Conn) Receives(addrs []netip.Addr, timeout time.Duration) error {
	end := time.Now().Add(timeout)
	for {
		routes, err := c.Routes()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(addrs, func(a netip.Addr) bool {
			return !slices.ContainsFunc(routes, func(r TableRoute) bool {
				return r.Table == unix.RT_TABLE_LOCAL && r.Type == unix.RTN_LOCAL && r.To == netip.PrefixFrom(a, a.BitLen())
			})
		}) {
			return nil
		}
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if _, err := c.Wait(int(left.Milliseconds()) + 1); err != nil {
			return err
		}
	}
}

// missing returns those of want that no link satisfies yet.
func missing(want []Want, links []Link) []Want {
	const operUp, forwarding = 6, 3
	byName := make(map[string]*Link, len(links))
	for i := range links {
		byName[links[i].Name] = &links[i]
	}
	return slices.DeleteFunc(slices.Clone(want), func(w Want) bool {
		l := byName[w.Name]
		if l != nil && w.Running {
			return l.Flags&unix.IFF_RUNNING != 0
		}
		return l != nil && l.OperState == operUp && (!w.Forward || l.PortState == forwarding)
	})
}
