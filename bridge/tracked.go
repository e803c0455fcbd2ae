package bridge

import (
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The kernel's table of connections has a bound, for each network namespace, and what begins a new one is dropped when it is full. An
// entry of an established one stays for five days, and who sends both sides of it by himself need not wait for anybody's answer. So
// what goes from leg to leg is not tracked, and what has to be is bounded for each lab.
const (
	trackedMost  = 1 << 14 // connections at a time
	trackedLeast = 1 << 10
	tableUnknown = 1 << 16 // of a kernel that has not loaded what tracks: the least that one with 1 GiB has

	// Connections that both sides have closed are not counted, and stay for two minutes: they are bounded by how many begin.
	closedStays = 120 // seconds, nf_conntrack_tcp_timeout_time_wait

	// Who begins a connection has the kernel look at all that are counted with it. So they are counted in parts, by the source's port:
	// by bits above the lowest one, which connect(2) prefers to be 0.
	countedApart = 1 << 4
)

const (
	setNear     = "near-legs"
	setCounts   = "connections"
	chainBound  = "new-connections"
	chainInput  = "input"
	lastInput   = 300    // behind what the host's own firewall drops
	ctConfirmed = 1 << 3 // IPS_CONFIRMED of linux/netfilter/nf_conntrack_common.h
)

// Tracked tells how many of the connections that the host tracks a lab may have at a time, and how many more it may begin each second
// for long: of a table of this size all that it can have is less than a half. 0 is a size that is not known.
func Tracked(table int) (connections, perSecond int) {
	if table <= 0 {
		table = tableUnknown
	}
	connections = max(trackedLeast, min(trackedMost, table/8))
	return connections, max(1, (table/2-2*connections)/closedStays)
}

// tracking reads the size of the kernel's table of connections, and whether there are any in the calling thread's network namespace. An error
// means that nothing tracks.
func tracking() (size int, busy bool) {
	size, err := readCount("nf_conntrack_max")
	if err != nil {
		return 0, false
	}
	count, err := readCount("nf_conntrack_count")
	return size, err == nil && count > 0
}

// readCount reads one of /proc/sys/net/netfilter, which is not there where nothing has been tracked since the kernel began.
func readCount(name string) (int, error) {
	s, err := readSysctl("net/netfilter/" + name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

// bound makes the chain that drops what begins a connection too many.
func (c *Config) bound(b *batch, table int) {
	connections, perSecond := Tracked(table)
	b.set(set{name: setCounts, key: nftables.TypeInetService, size: countedApart, stays: true})
	b.chain(chainBound, nil)
	b.rule(chainBound, ctHas(expr.CtKeySTATE, expr.CtStateBitINVALID|expr.CtStateBitUNTRACKED, false), leave())
	b.rule(chainBound, ctHas(expr.CtKeySTATUS, ctConfirmed, false), leave()) // not its first packet
	b.rule(chainBound, []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(perSecond), Unit: expr.LimitTimeSecond, Burst: uint32(connections), Over: true}}, drop())
	part := []expr.Any{load(expr.PayloadBaseTransportHeader, 0, 2),
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 2, Mask: []byte{0, (countedApart - 1) << 1}, Xor: make([]byte, 2)}}
	counted := &expr.Dynset{SrcRegKey: reg, SetName: setCounts, Operation: uint32(unix.NFT_DYNSET_OP_ADD),
		Exprs: []expr.Any{&expr.Connlimit{Count: uint32(connections / countedApart)}}}
	b.rule(chainBound, part, []expr.Any{counted}, leave())
	b.rule(chainBound, drop())
}

// input bounds what the legs begin with the host itself.
func (c *Config) input(b *batch) {
	b.chain(chainInput, &hook{kind: "filter", number: unix.NF_INET_LOCAL_IN, priority: lastInput})
	b.rule(chainInput, in(expr.MetaKeyIIFNAME, setLegs, false), verdict(expr.VerdictGoto, chainBound))
}

// near are the interfaces that what comes in by a leg is not translated for: the lab's legs and its peers.
func (c *Config) near() (names [][]byte) {
	seen := map[string]bool{}
	add := func(leg string) {
		if !seen[leg] {
			seen[leg] = true
			names = append(names, name(leg))
		}
	}
	for i := range c.Legs {
		add(c.Legs[i].Interface)
	}
	c.peers(func(_, peer string) { add(peer) })
	return names
}

// untracked has the host not track what it forwards from a leg to another. Where a packet will go is known before it is
// routed: nothing changes its destination, for that is no address of the host.
func (c *Config) untracked(b *batch, chain string) {
	for _, f := range families() {
		b.rule(chain, ether(f.etherType), []expr.Any{&expr.Fib{Register: reg, ResultOIFNAME: true, FlagDADDR: true},
			&expr.Lookup{SourceRegister: reg, SetName: setNear}}, []expr.Any{&expr.Notrack{}})
	}
}
