package bridge

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const chainErrors = "errors"

// icmp is what differs between the errors of ICMP, RFC 792, and of ICMPv6, RFC 4443.
type icmp struct {
	proto       byte
	kinds       [][2]byte // ranges of types that are errors or, of ICMP, redirects
	destination int       // of the packet that one is about, from the beginning of the message
}

func (f ipFamily) icmp() icmp {
	const header = 8
	if f.length == 4 {
		return icmp{unix.IPPROTO_ICMP, [][2]byte{{3, 5}, {11, 12}}, header + 16}
	}
	return icmp{unix.IPPROTO_ICMPV6, [][2]byte{{0, 127}}, header + 24}
}

// errors is for who reports that a packet did not arrive, which the host believes of any: it has to be about one into the lab. Else a
// node says what the path to a machine elsewhere bears, and the host, which sent nothing to the lab, keeps to it.
func (c *Config) errors(b *batch, f ipFamily) {
	i := f.icmp()
	chain := chainErrors + f.suffix
	b.chain(chain, nil)
	for _, set := range []string{setOnLink, setSubnets} {
		b.rule(chain, []expr.Any{load(expr.PayloadBaseTransportHeader, i.destination, f.length), &expr.Lookup{SourceRegister: reg, SetName: set + f.suffix}}, leave())
	}
	b.rule(chain, drop()) // also what is too short to be looked at, as a first fragment can be
	for _, k := range i.kinds {
		kind := []expr.Any{load(expr.PayloadBaseTransportHeader, 0, 1), &expr.Range{Op: expr.CmpOpEq, Register: reg, FromData: []byte{k[0]}, ToData: []byte{k[1]}}}
		b.rule(chainLeg, ether(f.etherType), is(expr.MetaKeyL4PROTO, []byte{i.proto}), kind, verdict(expr.VerdictJump, chain))
	}
}
