package labinit

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

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
		l.table = hold(fds[0], TableFD)
		fds = fds[1:]
	} else if other && l.table {
		giveUp(TableFD)
		l.table = false
	}
	for _, family := range spec.Open {
		l.dropTransit(family)
	}
	if l.transit == nil {
		l.transit = map[string]bool{}
	}
	for i, family := range transit {
		l.dropTransit(family)
		l.transit[family] = hold(fds[i], transitFD(family))
	}
	if watched {
		l.others = os.NewFile(uintptr(fds[more-1]), "rtnetlink")
		go l.giveWay(l.others)
	}
}

// transitFD is the descriptor of a family's table of what the host is not to forward.
func transitFD(family string) int {
	if family == string(bridge.IPv4) {
		return Transit4FD
	}
	return Transit6FD
}

// hold has a socket be at a descriptor of the lab init's own, in place of what is there, and tells whether it is. dup(2).
func hold(fd, at int) bool {
	defer unix.Close(fd)
	return unix.Dup3(fd, at, unix.O_CLOEXEC) == nil
}

// giveUp lets go of the socket at a descriptor, which is not free for others then.
func giveUp(at int) { _ = unix.Dup3(AliveFD, at, unix.O_CLOEXEC) }

// giveWay gives the table for IPv4 up when somebody else has the host forward, or nobody can tell any more.
func (l *labInit) giveWay(watch *os.File) {
	_ = bridge.AwaitOthers(watch)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.others == watch {
		l.dropTransit(string(bridge.IPv4))
	}
}

// dropTransit gives a family's table up, and for IPv4 no longer listens. l.mu is held.
func (l *labInit) dropTransit(family string) {
	if !l.transit[family] {
		return
	}
	giveUp(transitFD(family))
	delete(l.transit, family)
	if family == string(bridge.IPv4) && l.others != nil {
		_ = l.others.Close()
		l.others = nil
	}
}
