package lab

import (
	"fmt"
	"slices"
	"syscall"

	"github.com/nsnet/nsnet/container"
)

// Ids of labs are taken from what no distribution gives to anything else; see systemd's table of user ids, "unused" from 0x70000000 on, and its
// ids of foreign systems, from lastID on. The first range is for ids with power over namespaces: no node of any lab has ever had one of these, so
// that no file can belong to one.
const (
	firstID     = 0x70000000
	firstNodeID = firstID + container.IDs
	lastID      = 0x7ffe0000
)

// spareNodes is how many nodes more than it begins with a lab of few nodes can get while it runs: the map of a
// user namespace can be written only once. A larger lab can get as many again.
const spareNodes = 64

// spares are how many nodes a lab with so many may get besides, the best first. How many others have of all ids tells which
// is had: others need room for theirs.
func spares(nodes int) []int {
	var all []int
	for n := nodes; n > spareNodes; n /= 2 {
		all = append(all, n)
	}
	return append(all, spareNodes, 0)
}

// enoughLeft reports whether so many ids of labs leave room for other labs: half of all, or more for spares above the common ones.
func enoughLeft(taken uint32, spare int) bool {
	const all = lastID - firstNodeID
	switch {
	case spare > spareNodes:
		return taken <= all/8*3
	case spare > 0:
		return taken <= all/2
	}
	return true
}

// labIDs are the ids that a lab has on the host: a range for each node, and one id for each of those with power over the lab and its nodes.
type labIDs struct {
	base, count uint32 // of nodes
	powers      uint32 // the first of those with power; 0: the lab was made by an earlier nsnet, which took them from the first range of count
}

func (r *record) ids() labIDs { return labIDs{r.Base, r.IDs, r.Powers} }

// own is how many ids of count are no node's.
func (l labIDs) own() uint32 {
	if l.powers == 0 {
		return container.IDs
	}
	return 0
}

// of is the first id of the node that has a lab's slot, as the host sees it.
func (l labIDs) of(slot int) uint32 { return l.base + l.own() + uint32(slot)*container.IDs }

// slots is how many nodes the lab has ids for.
func (l labIDs) slots() int { return max(0, int(l.count/container.IDs)-int(l.own()/container.IDs)) }

// power is the range of ids with power over the lab.
func (l labIDs) power() span {
	from := l.powers
	if from == 0 {
		from = l.base
	}
	return span{from, from + uint32(firstOwnerID+l.slots())}
}

// fits reports whether these can be a lab's.
func (l labIDs) fits() bool {
	first := uint32(firstNodeID)
	if l.powers == 0 {
		first = firstID
	} else if p := l.power(); p.from < firstID || p.to > firstNodeID || p.to < p.from {
		return false
	}
	return l.base >= first && l.count%container.IDs == 0 && l.base+l.count <= lastID && l.base+l.count >= l.base
}

// mapped is the map of the lab's user namespace: in it the ids with power are the first, and those of nodes begin at container.IDs.
func (l labIDs) mapped() []syscall.SysProcIDMap {
	p := l.power()
	return []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(p.from), Size: int(p.to - p.from)},
		{ContainerID: container.IDs, HostID: int(l.of(0)), Size: l.slots() * container.IDs}}
}

// span is a range of ids.
type span struct{ from, to uint32 }

// allot finds ids for a lab with so many nodes, and for some more where there is plenty: none that another lab has, and none that a file may
// belong to, for as long as there are others. Then the ranges that were left first are forgotten, of which it tells.
func allot(nodes int, taken []labIDs, left *leftIDs) (labIDs, error) {
	var powers, others []span
	var has uint32
	for _, t := range taken {
		powers = append(powers, t.power())
		others = append(others, span{t.base, t.base + t.count})
		has += t.count
	}
	for {
		if l, ok := allotBeside(nodes, has, slices.Concat(others, left.spans), left.First); ok {
			p, ok := room(powers, uint32(firstOwnerID+l.slots()), firstID, firstNodeID)
			if !ok {
				return labIDs{}, fmt.Errorf("the labs of this host have all %d ids that have power over labs", container.IDs)
			}
			l.powers = p
			return l, nil
		}
		if !left.forget() {
			return labIDs{}, fmt.Errorf("all labs of a host together have room for %d nodes: this one has %d, and %d are taken", (lastID-firstNodeID)/container.IDs, nodes, has/container.IDs)
		}
	}
}

// allotBeside finds ids for nodes that are in none of these spans, at first or behind.
func allotBeside(nodes int, has uint32, spans []span, first uint32) (labIDs, bool) {
	for _, spare := range spares(nodes) {
		count := uint32(max(1, nodes+spare)) * container.IDs
		if !enoughLeft(has+count, spare) {
			continue
		}
		for _, from := range []uint32{first, firstNodeID} {
			if count > (lastID-firstNodeID)/8 {
				from = firstNodeID // it needs all the room that there is in one piece
			}
			if base, ok := room(spans, count, from, lastID); ok {
				return labIDs{base: base, count: count}, true
			}
		}
	}
	return labIDs{}, false
}

// room finds the first gap of count ids between spans, within two bounds.
func room(spans []span, count, from, to uint32) (uint32, bool) {
	slices.SortFunc(spans, func(a, b span) int { return int(a.from) - int(b.from) })
	for _, s := range spans {
		if from+count <= s.from {
			break
		}
		from = max(from, s.to)
	}
	return from, from <= to && count <= to-from
}

// allocateIDs takes ids for the lab that no other lab's record claims. The caller holds the host's lock and writes its own
// record before it gives that back.
func (b *builder) allocateIDs() error {
	taken, err := takenIDs(b.rec.Name)
	if err != nil {
		return &Error{Op: "allocate user ids", Err: err}
	}
	left := readLeft()
	l, err := allot(len(b.lab.Nodes), taken, left)
	if err != nil {
		return &Error{Op: "allocate user ids", Err: err, Remedy: "take another lab down, or make this one smaller"}
	}
	b.rec.Base, b.rec.IDs, b.rec.Powers = l.base, l.count, l.powers
	leaves := false
	for i := range b.lab.Nodes { // the lab init gives them slots in this order
		if leavesFiles(&b.lab.Nodes[i]) {
			left.add(l.of(i))
			leaves = true
		}
	}
	if !leaves {
		return nil
	}
	return writeLeft(left)
}

// takenIDs are those of other labs.
func takenIDs(self string) (taken []labIDs, err error) {
	names, err := Names()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if n == self {
			continue
		}
		r, err := readRecord(dirOf(n))
		if err == nil {
			taken = append(taken, r.ids())
		} else if alive(dirOf(n)) {
			return nil, fmt.Errorf("lab %s runs, and which ids it has is not known: %w", n, err)
		}
	}
	return taken, nil
}
