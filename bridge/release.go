package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const nfgenmsgLen = 4 // struct nfgenmsg

// tableOwnerPort is NFTA_TABLE_OWNER of linux/netfilter/nf_tables.h: the port id of the socket that owns a table.
const tableOwnerPort = 7

// Release removes the tables that these sockets own, as closing them does, without the wait for all that may look at them still: when
// it returns no packet meets them, and the kernel gives their memory back by itself. The sockets, which other processes may hold, too, stay
// open. Those that are not of nfnetlink(7) are left alone, and the tables are looked for in the calling thread's network namespace.
func Release(sockets []*os.File) error {
	owners := map[uint32]*os.File{}
	for _, s := range sockets {
		if port, ok := nfnetlinkPort(s); ok {
			owners[port] = s
		}
	}
	if len(owners) == 0 {
		return nil
	}
	tables, err := ownedTables()
	if err != nil {
		return fmt.Errorf("list nftables tables: %w", err)
	}
	var errs []error
	for port, s := range owners {
		b := &batch{}
		for _, t := range tables {
			if t.port == port {
				b.family = t.family
				b.add(unix.NFT_MSG_DELTABLE, 0, text(unix.NFTA_TABLE_NAME, t.name))
			}
		}
		if len(b.msgs) > 0 {
			errs = append(errs, b.sendFrom(s))
		}
	}
	return errors.Join(errs...)
}

// nfnetlinkPort returns the port id of a socket of nfnetlink.
func nfnetlinkPort(s *os.File) (uint32, bool) {
	fd := int(s.Fd())
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_NETLINK {
		return 0, false
	}
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || protocol != unix.NETLINK_NETFILTER {
		return 0, false
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		return 0, false
	}
	nl, ok := addr.(*unix.SockaddrNetlink)
	return nl.Pid, ok
}

// ownedTable is a table that lives by a socket.
type ownedTable struct {
	family byte
	name   string
	port   uint32 // of the socket
}

// ownedTables lists those of the calling thread's network namespace. The library does not tell the owner.
func ownedTables() (tables []ownedTable, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	msgs, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE, Flags: netlink.Request | netlink.Dump},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return nil, err
	}
	for _, m := range msgs {
		if len(m.Data) < nfgenmsgLen {
			continue
		}
		attrs, err := netlink.NewAttributeDecoder(m.Data[nfgenmsgLen:])
		if err != nil {
			return nil, err
		}
		attrs.ByteOrder = binary.BigEndian
		t := ownedTable{family: m.Data[0]}
		for attrs.Next() {
			switch attrs.Type() {
			case unix.NFTA_TABLE_NAME:
				t.name = attrs.String()
			case tableOwnerPort:
				t.port = attrs.Uint32()
			}
		}
		if err := attrs.Err(); err != nil {
			return nil, err
		}
		if t.port != 0 {
			tables = append(tables, t)
		}
	}
	return tables, nil
}

// sendFrom has the kernel carry out the batch for a socket that is not this process's alone, so that no answer is read.
func (b *batch) sendFrom(s *os.File) error {
	if b.err != nil {
		return b.err
	}
	var all []byte
	for _, m := range b.framed() {
		m.Header.Length = uint32(unix.SizeofNlMsghdr + len(m.Data))
		data, err := m.MarshalBinary()
		if err != nil {
			return err
		}
		all = append(all, data...)
	}
	return os.NewSyscallError("sendto", unix.Sendto(int(s.Fd()), all, unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}
