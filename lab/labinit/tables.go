package labinit

import (
	"os"
	"slices"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/lab/proto"
)

// takeTables takes over the sockets that the lab's tables on the host live by: its own, where there is a new one, those for the families
// of a commitment, and, with IPv4, one that tells of forwarding. The old table of its own is given up where another comes, or is true.
func (l *labInit) takeTables(fds []int, spec *proto.CommitSpec, other bool) {
	transit := spec.Transit
	more := len(transit)
	watched := slices.Contains(transit, string(bridge.IPv4))
	if watched {
		more++
	}
	if len(fds) < more { // it is not that up that has made them
		closeAll(fds)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(fds) > more {
		l.giveTable(os.NewFile(uintptr(fds[0]), "nfnetlink"))
		fds = fds[1:]
	} else if other {
		l.giveTable(nil)
	}
	for _, family := range spec.Open {
		l.dropTransit(family)
	}
	if l.transit == nil {
		l.transit = map[string]*os.File{}
	}
	for i, family := range transit {
		l.dropTransit(family)
		l.transit[family] = os.NewFile(uintptr(fds[i]), "nfnetlink")
	}
	if watched {
		l.others = os.NewFile(uintptr(fds[more-1]), "rtnetlink")
		go l.giveWay(l.others, l.transit[string(bridge.IPv4)])
	}
}

// giveTable has the lab's table be another one, or none. l.mu is held.
func (l *labInit) giveTable(f *os.File) {
	if l.table != nil {
		_ = l.table.Close()
	}
	l.table = f
}

// giveWay gives a table up when somebody else has the host forward, or nobody can tell any more.
func (l *labInit) giveWay(watch, table *os.File) {
	_ = bridge.AwaitOthers(watch)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ipv4 := string(bridge.IPv4); l.transit[ipv4] == table {
		l.dropTransit(ipv4)
	}
}

// dropTransit gives a family's table up, and for IPv4 no longer listens. l.mu is held.
func (l *labInit) dropTransit(family string) {
	f := l.transit[family]
	if f == nil {
		return
	}
	_ = f.Close()
	delete(l.transit, family)
	if family == string(bridge.IPv4) && l.others != nil {
		_ = l.others.Close()
		l.others = nil
	}
}
