package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// Config is what a lab's table in the host's network namespace holds its legs to.
type Config struct {
	Lab  string
	Legs []Leg // all legs of the lab

	// Addresses are those of the lab's own interfaces that the host may come to know as neighbours. They have their place whatever
	// else a node claims to be.
	Addresses []netip.Addr
	// Subnets are those that the lab's packets come from, also from behind its routers.
	Subnets []netip.Prefix
	// Uplinks are bridges of the host that lead out of it, and not to containers or virtual machines on it.
	Uplinks []string

	// Beside says that the lab has a table which is about to be given up: the new one gets another name.
	Beside bool
}

// Leg is a leg of the lab in the host's network namespace.
type Leg struct {
	Interface string         // name
	Addresses []netip.Prefix // the host's on it
	NAT       bool           // what comes from it and leaves the host is translated
	Peers     []string       // legs of other labs that it is let reach, and that reach it
}

// Table is a lab's nftables table, which is there for as long as its socket is open anywhere.
type Table struct {
	file *os.File
}

// NewTable makes a lab's table in the calling thread's network namespace, see [Config]: it drops what the lab's legs have no
// business with, bounds how many connections the host tracks for them, see [Tracked], and gives what leaves by any other interface than a leg that one's address, in IPv4 and IPv6. Nothing
// else is touched. All of it comes in one transaction.
//
// The error wraps [errors.ErrUnsupported] where the kernel cannot do it, and [os.ErrExist] when
// the lab has a table, whose owner is then still alive.
func NewTable(cfg Config) (*Table, error) {
	name := TableName(cfg.Lab)
	if cfg.Beside && hasTable(name) {
		name += "-b"
	}
	t, err := newTable(func(b *batch) {
		cfg.host(b, name)
		cfg.ingress(b, name)
	})
	switch {
	case err == nil:
		return t, nil
	case unsupported(err):
		return nil, fmt.Errorf("make nftables table: %w: it needs Linux 5.12 with nf_tables, nft_masq, nft_chain_nat, nft_ct, nft_connlimit, "+
			"nft_limit and nft_fib_netdev (CONFIG_NF_TABLES_INET, CONFIG_NF_TABLES_NETDEV, CONFIG_NFT_MASQ, CONFIG_NFT_NAT, CONFIG_NFT_CT, CONFIG_NFT_CONNLIMIT, "+
			"CONFIG_NFT_LIMIT, CONFIG_NFT_FIB_NETDEV): %w", errors.ErrUnsupported, err)
	case errors.Is(err, unix.EPERM) && hasTable(name):
		err = os.ErrExist // what the kernel says of a table that another socket owns
	}
	return nil, fmt.Errorf("make nftables table of lab %s: %w", cfg.Lab, err)
}

func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOENT)
}

// hasTable tells whether there is a table of this name.
func hasTable(name string) bool {
	tables, err := new(nftables.Conn).ListTablesOfFamily(nftables.TableFamilyINet)
	return err == nil && slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == name })
}

// newTable makes tables that one new socket owns.
func newTable(fill func(*batch)) (_ *Table, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	// The tables hang on the socket, not on this descriptor of it.
	defer func() { err = errors.Join(err, conn.Close()) }()
	file, err := dup(conn)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	if err := failpoint.Hit("nftables", "make the table"); err != nil {
		return nil, err
	}
	b := &batch{}
	fill(b)
	if err := b.send(conn); err != nil {
		return nil, err
	}
	return &Table{file: file}, nil
}

// Names of sets and chains, as nft shows them.
const (
	setLegs    = "legs"
	setNAT     = "nat-legs"
	setUplinks = "uplink-bridges"

	chainForward = "forward"
	chainFrom    = "from-legs"
	chainTo      = "to-legs"
	chainHops    = "next-hops"
	chainNAT     = "postrouting"
)

// legNames are the interfaces of the legs that a condition is true for.
func (c *Config) legNames(want func(*Leg) bool) (names [][]byte) {
	for i := range c.Legs {
		if want(&c.Legs[i]) {
			names = append(names, name(c.Legs[i].Interface))
		}
	}
	return names
}

// host fills the table that looks at what the host forwards.
func (c *Config) host(b *batch, table string) {
	b.open(unix.NFPROTO_INET, table, mark(c.Lab))
	natLegs := c.legNames(func(l *Leg) bool { return l.NAT })
	b.set(set{name: setLegs, key: nftables.TypeIFName, elements: c.legNames(func(*Leg) bool { return true })})
	b.set(set{name: setNAT, key: nftables.TypeIFName, elements: natLegs})
	var uplinks [][]byte
	for _, u := range c.Uplinks {
		uplinks = append(uplinks, name(u))
	}
	b.set(set{name: setUplinks, key: nftables.TypeIFName, elements: uplinks})
	c.hops(b)
	size, busy := tracking()
	if busy || len(natLegs) > 0 {
		c.bound(b, size)
		c.input(b)
	}
	c.from(b, len(natLegs) > 0)
	c.to(b, len(natLegs) > 0)
	b.chain(chainForward, &hook{kind: "filter", number: unix.NF_INET_FORWARD})
	b.rule(chainForward, in(expr.MetaKeyIIFNAME, setLegs, false), verdict(expr.VerdictGoto, chainFrom))
	b.rule(chainForward, in(expr.MetaKeyOIFNAME, setLegs, false), verdict(expr.VerdictGoto, chainTo))
	if len(natLegs) == 0 {
		return
	}
	b.chain(chainNAT, &hook{kind: "nat", number: unix.NF_INET_POST_ROUTING, priority: int32(*nftables.ChainPriorityNATSource)})
	b.rule(chainNAT, isLeg(expr.MetaKeyOIFNAME, metaOIFKind), leave())
	b.rule(chainNAT, in(expr.MetaKeyIIFNAME, setNAT, false), masquerade())
	for i := range c.Legs { // what the host itself sends with an address of its own there
		if l := &c.Legs[i]; l.NAT {
			for _, a := range l.Addresses {
				b.rule(chainNAT, fromSubnet(a), masquerade())
			}
		}
	}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

// from decides on what comes in by a leg and goes on: to the lab's other legs, to peers and, with nat, out of the host. That is
// not to other networks on the host itself, of containers or virtual machines: they have a firewall that lets nobody in, which the
// rules of [PlanAccept] go around. What the host publishes of them is reached. Connections are looked at only where some are translated:
// the host does not track any for a lab without.
func (c *Config) from(b *batch, nat bool) {
	b.chain(chainFrom, nil)
	b.rule(chainFrom, in(expr.MetaKeyOIFNAME, setLegs, false), verdict(expr.VerdictGoto, chainHops))
	c.peers(func(leg, peer string) {
		b.rule(chainFrom, is(expr.MetaKeyIIFNAME, name(leg)), is(expr.MetaKeyOIFNAME, name(peer)), verdict(expr.VerdictGoto, chainHops))
	})
	b.rule(chainFrom, isLeg(expr.MetaKeyOIFNAME, metaOIFKind), drop())
	b.rule(chainFrom, in(expr.MetaKeyIIFNAME, setNAT, true), drop())
	if nat {
		b.rule(chainFrom, is(metaOIFKind, name("bridge")), in(expr.MetaKeyOIFNAME, setUplinks, true), ctHas(expr.CtKeySTATUS, ctDestinationNAT, true), drop())
		b.rule(chainFrom, verdict(expr.VerdictJump, chainBound))
	}
	b.rule(chainFrom, verdict(expr.VerdictGoto, chainHops))
}

// ctDestinationNAT is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
const ctDestinationNAT = 1 << 5

// to decides on what comes from elsewhere and goes into a leg.
func (c *Config) to(b *batch, nat bool) {
	b.chain(chainTo, nil)
	c.peers(func(leg, peer string) {
		b.rule(chainTo, is(expr.MetaKeyIIFNAME, name(peer)), is(expr.MetaKeyOIFNAME, name(leg)), accept())
	})
	if nat {
		b.rule(chainTo, in(expr.MetaKeyOIFNAME, setNAT, false), ctHas(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED, false), accept())
	}
	b.rule(chainTo, drop())
}

func (c *Config) peers(each func(leg, peer string)) {
	for i := range c.Legs {
		for _, p := range c.Legs[i].Peers {
			each(c.Legs[i].Interface, p)
		}
	}
}

// fromSubnet matches packets whose source address is in a subnet.
func fromSubnet(s netip.Prefix) []expr.Any {
	proto, offset := byte(unix.NFPROTO_IPV4), 12
	if s.Addr().Is6() {
		proto, offset = unix.NFPROTO_IPV6, 8
	}
	addr := s.Masked().Addr().AsSlice()
	mask := make([]byte, len(addr))
	for i := range s.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return append(is(expr.MetaKeyNFPROTO, []byte{proto}),
		load(expr.PayloadBaseNetworkHeader, offset, len(addr)),
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: uint32(len(addr)), Mask: mask, Xor: make([]byte, len(addr))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: addr})
}

// dup gives a descriptor of its own for a connection's socket.
func dup(conn *netlink.Conn) (*os.File, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(sock uintptr) {
		fd, dupErr = unix.FcntlInt(sock, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("dup", dupErr)
	}
	return os.NewFile(uintptr(fd), "nfnetlink"), nil
}

// File is the socket that owns the table, to be handed to the process that the lab hangs on.
// It is closed by Close.
func (t *Table) File() *os.File { return t.file }

// Close gives up this process's hold. The table goes when no process holds it any more.
func (t *Table) Close() error { return t.file.Close() }
