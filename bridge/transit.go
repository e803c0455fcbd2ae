package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// NewTransit makes a table, which dies with its socket, that drops what the host would forward between interfaces of which
// none is a leg of a lab: what it did not forward before labs had it forward, see [Forwarding]. Routers are
// interfaces that have forwarded all the same.
//
// It is to be closed as soon as somebody else turns forwarding on. For IPv4 that is what [AwaitOthers] waits for. Of IPv6 the kernel
// does not tell: there what comes in or goes out by a virtual interface that is made later, as an engine's bridge for
// containers is, passes from the beginning.
func NewTransit(lab string, family Family, routers []string) (*Table, error) {
	var there [][]byte
	if family == IPv6 {
		var err error
		if there, err = interfaces(); err != nil {
			return nil, fmt.Errorf("list the host's interfaces: %w", err)
		}
	}
	t, err := newTable(func(b *batch) { transit(b, lab, family, routers, there) })
	if err != nil {
		if unsupported(err) {
			err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		return nil, fmt.Errorf("make %s nftables table of lab %s: %w", family, lab, err)
	}
	return t, nil
}

func transit(b *batch, lab string, family Family, routers []string, there [][]byte) {
	const set6, chain = "before", "transit"
	nfproto := byte(unix.NFPROTO_IPV4)
	if family == IPv6 {
		nfproto = unix.NFPROTO_IPV6
	}
	b.open(nfproto, TableName(lab), mark(lab))
	b.chain(chain, &hook{kind: "filter", number: unix.NF_INET_FORWARD})
	b.rule(chain, isLeg(expr.MetaKeyIIFNAME, metaIIFKind), leave())
	b.rule(chain, isLeg(expr.MetaKeyOIFNAME, metaOIFKind), leave())
	for _, r := range routers {
		b.rule(chain, is(expr.MetaKeyIIFNAME, name(r)), leave())
	}
	if family == IPv6 {
		b.set(set{name: set6, key: nftables.TypeIFIndex, elements: there})
		for _, k := range [][2]expr.MetaKey{{expr.MetaKeyIIF, metaIIFKind}, {expr.MetaKeyOIF, metaOIFKind}} {
			// A card has no kind, so that the comparison is not made and the rule does not match.
			virtual := []expr.Any{&expr.Meta{Key: k[1], Register: reg}, &expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: name("")}}
			b.rule(chain, in(k[0], set6, true), virtual, leave())
		}
	}
	b.rule(chain, drop())
}

// interfaces are the indexes of the calling thread's network namespace's.
func interfaces() (indexes [][]byte, err error) {
	c, err := rtnl.Dial(nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.Links()
	for _, l := range links {
		indexes = append(indexes, binary.NativeEndian.AppendUint32(nil, uint32(l.Index)))
	}
	return indexes, err
}

// WatchOthers begins to listen for who turns IPv4 forwarding on in the calling thread's network namespace, for AwaitOthers, wherever that
// is called. rtnetlink(7), RTNLGRP_IPV4_NETCONF.
func WatchOthers() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.RTNLGRP_IPV4_NETCONF - 1)}); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen to changes of forwarding: %w", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

// AwaitOthers returns when somebody has turned IPv4 forwarding on, or the file is closed. What labs themselves set is a value of
// their own.
func AwaitOthers(watch *os.File) error {
	b := make([]byte, unix.Getpagesize())
	for {
		n, err := watch.Read(b)
		if errors.Is(err, unix.ENOBUFS) {
			continue // of many interfaces that changed; the switch of all comes first
		}
		if err != nil {
			return err
		}
		if v, ok := rtnl.ForwardingOfAll(b[:n]); ok && v == 1 {
			return nil
		}
	}
}
