package bridge

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// From linux/netfilter/nf_tables.h, not in x/sys/unix.
const (
	tableOwner    = 0x2 // NFT_TABLE_F_OWNER
	tableUserdata = 6   // NFTA_TABLE_USERDATA
	udataComment  = 0   // NFTNL_UDATA_TABLE_COMMENT, of libnftnl
	commentMax    = 128 // bytes that nft shows, the final NUL included
	hookDevs      = 4   // NFTA_HOOK_DEVS
	deviceName    = 1   // NFTA_DEVICE_NAME
	devicesMax    = 256 // NFT_NETDEVICE_MAX, of one chain
)

// elementsChunk bounds the elements of one message, of which an attribute holds 64 KiB.
const elementsChunk = 1000

// batch is a transaction of nftables in the making: the kernel carries out all of it or nothing. The library has neither owners nor
// chains at several devices, and one message for each of its calls to be acknowledged; here the last alone is.
type batch struct {
	family byte // of the messages to come
	table  string
	msgs   []netlink.Message
	err    error // the first
}

// set is a named set of nftables.
type set struct {
	name     string
	key      nftables.SetDatatype
	elements [][]byte
	interval bool // the elements are bounds of ranges: the first one's begin, then where that ends, and so on
	size     int  // of a set that packets add to: what it holds at most
	stays    bool // such a set has no timeouts
}

// hook is where a base chain looks at packets.
type hook struct {
	kind     string // filter or nat
	number   int
	priority int32
	devices  []string // of an ingress hook
}

func (b *batch) add(message, flags int, attrs ...netlink.Attribute) {
	data, err := netlink.MarshalAttributes(attrs)
	if b.err == nil {
		b.err = err
	}
	b.msgs = append(b.msgs, netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | message), Flags: netlink.Request | netlink.Create | netlink.HeaderFlags(flags)},
		Data:   append([]byte{b.family, unix.NFNETLINK_V0, 0, 0}, data...), // struct nfgenmsg
	})
}

func text(kind uint16, s string) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: append([]byte(s), 0)}
}

func number(kind uint16, n int) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: binaryutil.BigEndian.PutUint32(uint32(n))}
}

func (b *batch) nest(kind uint16, attrs ...netlink.Attribute) netlink.Attribute {
	data, err := netlink.MarshalAttributes(attrs)
	if b.err == nil {
		b.err = err
	}
	return netlink.Attribute{Type: kind | unix.NLA_F_NESTED, Data: data}
}

// open makes a table, which the socket owns that the batch is sent by. What follows is in it.
func (b *batch) open(family byte, name, comment string) {
	b.family, b.table = family, name
	shown := append([]byte(comment[:min(len(comment), commentMax-1)]), 0)
	b.add(unix.NFT_MSG_NEWTABLE, int(netlink.Excl), text(unix.NFTA_TABLE_NAME, name), number(unix.NFTA_TABLE_FLAGS, tableOwner),
		netlink.Attribute{Type: tableUserdata, Data: userdata.Append(nil, udataComment, shown)})
}

// chain makes a chain that others lead to, or with a hook a base chain, which lets pass what it does not drop.
func (b *batch) chain(name string, at *hook) {
	attrs := []netlink.Attribute{text(unix.NFTA_CHAIN_TABLE, b.table), text(unix.NFTA_CHAIN_NAME, name)}
	if at != nil {
		hooked := []netlink.Attribute{number(unix.NFTA_HOOK_HOOKNUM, at.number), number(unix.NFTA_HOOK_PRIORITY, int(at.priority))}
		var devices []netlink.Attribute
		for _, d := range at.devices {
			devices = append(devices, text(deviceName, d))
		}
		if len(devices) > 0 {
			hooked = append(hooked, b.nest(hookDevs, devices...))
		}
		attrs = append(attrs, b.nest(unix.NFTA_CHAIN_HOOK, hooked...), text(unix.NFTA_CHAIN_TYPE, at.kind))
	}
	b.add(unix.NFT_MSG_NEWCHAIN, 0, attrs...)
}

// set makes a set with its elements.
func (b *batch) set(s set) {
	flags := 0
	if s.interval {
		flags = unix.NFT_SET_INTERVAL
	}
	attrs := []netlink.Attribute{
		text(unix.NFTA_SET_TABLE, b.table), text(unix.NFTA_SET_NAME, s.name), number(unix.NFTA_SET_ID, len(b.msgs)),
		number(unix.NFTA_SET_KEY_TYPE, int(s.key.GetNFTMagic())), number(unix.NFTA_SET_KEY_LEN, int(s.key.Bytes)),
	}
	if s.key == nftables.TypeIFName { // which nft shows as text if it is in the byte order of the host
		attrs = append(attrs, netlink.Attribute{Type: unix.NFTA_SET_USERDATA, Data: userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, 1)})
	}
	if s.size > 0 {
		flags |= unix.NFT_SET_EVAL
		if !s.stays {
			flags |= unix.NFT_SET_TIMEOUT
		}
		attrs = append(attrs, b.nest(unix.NFTA_SET_DESC, number(unix.NFTA_SET_DESC_SIZE, s.size)))
	}
	b.add(unix.NFT_MSG_NEWSET, int(netlink.Excl), append(attrs, number(unix.NFTA_SET_FLAGS, flags))...)
	for from := 0; from < len(s.elements); from += elementsChunk {
		var list []netlink.Attribute
		for i, key := range s.elements[from:min(from+elementsChunk, len(s.elements))] {
			element := []netlink.Attribute{b.nest(unix.NFTA_SET_ELEM_KEY, netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: key})}
			if s.interval && i%2 == 1 {
				element = append(element, number(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END))
			}
			list = append(list, b.nest(unix.NFTA_LIST_ELEM, element...))
		}
		b.add(unix.NFT_MSG_NEWSETELEM, 0, text(unix.NFTA_SET_ELEM_LIST_TABLE, b.table), text(unix.NFTA_SET_ELEM_LIST_SET, s.name),
			b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...))
	}
}

// rule adds a rule to a chain: its parts in turn.
func (b *batch) rule(chain string, parts ...[]expr.Any) {
	var list []netlink.Attribute
	for _, part := range parts {
		for _, e := range part {
			data, err := expr.Marshal(b.family, e)
			if b.err == nil {
				b.err = err
			}
			list = append(list, netlink.Attribute{Type: unix.NFTA_LIST_ELEM | unix.NLA_F_NESTED, Data: data})
		}
	}
	b.add(unix.NFT_MSG_NEWRULE, int(netlink.Append), text(unix.NFTA_RULE_TABLE, b.table), text(unix.NFTA_RULE_CHAIN, chain),
		b.nest(unix.NFTA_RULE_EXPRESSIONS, list...))
}

// send has the kernel carry out the batch. nfnetlink(7).
func (b *batch) send(conn *netlink.Conn) error {
	if b.err != nil {
		return b.err
	}
	b.msgs[len(b.msgs)-1].Header.Flags |= netlink.Acknowledge
	msgs := b.framed()
	size := 0
	for _, m := range msgs {
		size += len(m.Data) + unix.SizeofNlMsghdr + unix.NLA_ALIGNTO
	}
	if size > 1<<16 {
		if err := conn.SetWriteBuffer(2 * size); err != nil {
			return fmt.Errorf("make room for %d bytes: %w", size, err)
		}
	}
	if _, err := conn.SendMessages(msgs); err != nil {
		return err
	}
	_, err := conn.Receive()
	return err
}

// framed are the batch's messages between those that begin and end one. For these the subsystem is in network byte order.
func (b *batch) framed() []netlink.Message {
	border := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}
	msgs := append([]netlink.Message{{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request}, Data: border}}, b.msgs...)
	return append(msgs, netlink.Message{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request}, Data: border})
}
