package bridge

import (
	"net/netip"
	"slices"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The parts of rules: each is a condition or what is done, for batch.rule.

// reg is the register that all parts load what they look at into: NFT_REG_1, of 16 bytes.
const reg = unix.NFT_REG_1

// name is an interface's name as rules compare it.
func name(s string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, s)
	return b
}

func is(key expr.MetaKey, data []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: reg}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}}
}

// in is for what a set has, or with not for what it has not.
func in(key expr.MetaKey, set string, not bool) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: reg}, &expr.Lookup{SourceRegister: reg, SetName: set, Invert: not}}
}

// isLeg is for interfaces that are a leg of any lab: what [LegName] gives, of a kind that no card is.
func isLeg(nameKey, kindKey expr.MetaKey) []expr.Any {
	const length = 12 // "ns" and ten digits
	pattern, shape := make([]byte, unix.IFNAMSIZ), name("ns")
	for i := range pattern {
		if i < 2 || i >= length {
			pattern[i] = 0xff
		}
	}
	last := make([]byte, unix.IFNAMSIZ)
	last[length-1] = 0xff
	load, zero := &expr.Meta{Key: nameKey, Register: reg}, make([]byte, unix.IFNAMSIZ)
	return append(is(kindKey, name("veth")),
		load, &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: unix.IFNAMSIZ, Mask: pattern, Xor: zero},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: shape},
		load, &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: unix.IFNAMSIZ, Mask: last, Xor: zero},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: zero})
}

// Keys of linux/netfilter/nf_tables.h, not in x/sys/unix: kinds of interfaces, as ip link shows them.
const (
	metaIIFKind expr.MetaKey = 26 // NFT_META_IIFKIND
	metaOIFKind expr.MetaKey = 27 // NFT_META_OIFKIND
)

// field is for packets with these bytes at a place in a header.
func field(base expr.PayloadBase, offset int, data []byte) []expr.Any {
	return []expr.Any{load(base, offset, len(data)), &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}}
}

func load(base expr.PayloadBase, offset, length int) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: base, Offset: uint32(offset), Len: uint32(length)}
}

// ctHas is for packets of a connection that has any of the bits, or with none has none.
func ctHas(key expr.CtKey, bits uint32, none bool) []expr.Any {
	op := expr.CmpOpNeq
	if none {
		op = expr.CmpOpEq
	}
	zero := make([]byte, 4)
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: zero},
		&expr.Cmp{Op: op, Register: reg, Data: zero},
	}
}

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}

func accept() []expr.Any { return verdict(expr.VerdictAccept, "") }
func drop() []expr.Any   { return verdict(expr.VerdictDrop, "") }
func leave() []expr.Any  { return verdict(expr.VerdictReturn, "") }

// ranges are the bounds of what prefixes of one family cover, in order: where a range begins, and where it has ended. One
// that ends with the last address there is has no end.
func ranges(prefixes []netip.Prefix) [][]byte {
	sorted := slices.SortedFunc(slices.Values(prefixes), func(a, b netip.Prefix) int {
		if c := a.Masked().Addr().Compare(b.Masked().Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var bounds [][]byte
	var end netip.Addr // of the last range; not valid: it has none
	for _, p := range sorted {
		start := p.Masked().Addr()
		if len(bounds) > 0 && (!end.IsValid() || start.Less(end)) {
			continue // prefixes overlap only as one holding the other
		}
		if len(bounds) > 0 && start == end {
			bounds = bounds[:len(bounds)-1]
		} else {
			bounds = append(bounds, start.AsSlice())
		}
		if end = last(p).Next(); end.IsValid() {
			bounds = append(bounds, end.AsSlice())
		}
	}
	return bounds
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
