package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// From linux/netfilter/nf_tables.h, not in x/sys/unix.
const (
	tableOwner    = 0x2 // NFT_TABLE_F_OWNER
	tableUserdata = 6   // NFTA_TABLE_USERDATA
	udataComment  = 0   // NFTNL_UDATA_TABLE_COMMENT, of libnftnl
	commentMax    = 128 // bytes that nft shows, the final NUL included
)

// NATConfig says whose packets are translated.
type NATConfig struct {
	Lab  string
	Legs []NATLeg // all legs of the lab
}

// NATLeg is a leg of the lab in the host's network namespace.
type NATLeg struct {
	Interface string         // name
	Subnets   []netip.Prefix // whose source addresses are translated; none for a bridge without nat
}

// Table is a lab's nftables table, which is there for as long as its socket is open anywhere.
type Table struct {
	file *os.File
}

// NewTable makes a lab's table in the calling thread's network namespace: what comes from the
// subnets and leaves by any other interface than the lab's own legs gets that interface's
// address, in IPv4 and IPv6. Nothing else is touched.
//
// The error wraps [errors.ErrUnsupported] where the kernel cannot do it, and [os.ErrExist] when
// the lab has a table, whose owner is then still alive.
func NewTable(cfg NATConfig) (*Table, error) {
	t, err := newTable(cfg)
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT),
		errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("make nat table: %w: it needs Linux 5.12 with nf_tables, nft_masq and "+
			"nft_chain_nat (CONFIG_NF_TABLES_INET, CONFIG_NFT_MASQ, CONFIG_NFT_NAT): %w", errors.ErrUnsupported, err)
	case errors.Is(err, unix.EPERM) && hasTable(TableName(cfg.Lab)):
		err = os.ErrExist // what the kernel says of a table that another socket owns
	}
	return nil, fmt.Errorf("make nat table of lab %s: %w", cfg.Lab, err)
}

// hasTable tells whether there is a table of this name.
func hasTable(name string) bool {
	tables, err := new(nftables.Conn).ListTablesOfFamily(nftables.TableFamilyINet)
	return err == nil && slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == name })
}

func newTable(cfg NATConfig) (_ *Table, err error) {
	var conn *netlink.Conn
	nft, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		conn = c
		return nil
	}))
	if err != nil {
		return nil, err
	}
	// The table hangs on the socket, not on this descriptor of it.
	defer func() { err = errors.Join(err, nft.CloseLasting()) }()

	file, err := dup(conn)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	if err := failpoint.Hit("nftables", "create the table"); err != nil {
		return nil, err
	}
	if err := addOwned(conn, TableName(cfg.Lab), mark(cfg.Lab)); err != nil {
		return nil, err
	}
	table := &nftables.Table{Name: TableName(cfg.Lab), Family: nftables.TableFamilyINet}
	chain := nft.AddChain(&nftables.Chain{
		Name:     "postrouting",
		Table:    table,
		Type:     nftables.ChainTypeNAT,
		Hooknum:  nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityNATSource,
	})
	for _, exprs := range natRules(cfg.Legs) {
		nft.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
	}
	if err := failpoint.Hit("nftables", "fill the table"); err != nil {
		return nil, err
	}
	if err := nft.Flush(); err != nil {
		return nil, err
	}
	return &Table{file: file}, nil
}

// natRules are the rules of the chain: first what stays within the lab is let go, then the
// rest is translated.
func natRules(legs []NATLeg) [][]expr.Any {
	var rules [][]expr.Any
	for _, l := range legs {
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, l.Interface)
		rules = append(rules, []expr.Any{
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
			&expr.Verdict{Kind: expr.VerdictReturn},
		})
	}
	for _, l := range legs {
		for _, s := range l.Subnets {
			rules = append(rules, append(fromSubnet(s), &expr.Masq{}))
		}
	}
	return rules
}

// fromSubnet matches packets whose source address is in a subnet.
func fromSubnet(s netip.Prefix) []expr.Any {
	proto, offset := byte(unix.NFPROTO_IPV4), uint32(12)
	if s.Addr().Is6() {
		proto, offset = unix.NFPROTO_IPV6, 8
	}
	addr := s.Masked().Addr().AsSlice()
	mask := make([]byte, len(addr))
	for i := range s.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(addr))},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(addr)), Mask: mask, Xor: make([]byte, len(addr))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addr},
	}
}

// addOwned makes a table that the socket owns. The library has no flags for a table, so this
// one message is written here.
func addOwned(conn *netlink.Conn, name, comment string) error {
	text := append([]byte(comment[:min(len(comment), commentMax-1)]), 0)
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(name), 0)},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binaryutil.BigEndian.PutUint32(tableOwner)},
		{Type: tableUserdata, Data: userdata.Append(nil, udataComment, text)},
	})
	if err != nil {
		return err
	}
	// struct nfgenmsg: family, version, and for a batch the subsystem in network byte order.
	batch := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}
	_, err = conn.SendMessages([]netlink.Message{
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request}, Data: batch},
		{
			Header: netlink.Header{
				Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE,
				Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Excl,
			},
			Data: append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, attrs...),
		},
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request}, Data: batch},
	})
	if err != nil {
		return err
	}
	_, err = conn.Receive()
	return err
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
