package labinit

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/supervise"
)

// memory counts the processes that a node has lost for want of memory. Its group is out of reach here, so up opens the kernel's file for it:
// memory.events of version 2, memory.oom_control of version 1. The zero value is that of a node that nobody counts for.
type memory struct {
	file    *os.File
	updates uint64 // killed by nsnet, for a new limit, which the kernel does not count
}

// count takes a descriptor of the kernel's file, in place of one that it had.
func (m *memory) count(fd int) {
	m.close()
	m.file = os.NewFile(uintptr(fd), "memory.events")
}

func (m *memory) close() {
	if m.file != nil {
		_ = m.file.Close()
	}
	m.file = nil
}

// kills is how many there were by now. What cannot be read, as the group is gone, counts nothing.
func (m *memory) kills() uint64 {
	if m.file == nil {
		return m.updates
	}
	b := make([]byte, 1024) // some lines of a word and a number
	n, _ := m.file.ReadAt(b, 0)
	return m.updates + oomKills(b[:n])
}

// oomKills finds the number of the line "oom_kill 3".
func oomKills(events []byte) uint64 {
	for s := bufio.NewScanner(bytes.NewReader(events)); s.Scan(); {
		if number, is := strings.CutPrefix(s.Text(), "oom_kill "); is {
			n, _ := strconv.ParseUint(number, 10, 64)
			return n
		}
	}
	return 0
}

// ranOut reports whether an end of the command was for want of memory: it was killed, or a shell that it is tells so of what it has run, and the node
// has lost a process since the command was started. The kernel counts before it kills. The supervisor's mutex is held.
func (n *node) ranOut(ws syscall.WaitStatus) bool {
	if !wasKilled(ws) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.memory.kills() > n.killsAtStart
}

func wasKilled(ws syscall.WaitStatus) bool {
	return ws.Signaled() && ws.Signal() == syscall.SIGKILL || ws.Exited() && ws.ExitStatus() == 128+int(syscall.SIGKILL)
}

// charge takes another file that counts for a node, and what an update has killed: maybe the command, whose end is known already, or is not yet.
func (l *labInit) charge(n *node, r *proto.ChargedNote, fd int) {
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		closeAll([]int{fd})
		return
	}
	n.memory.count(fd)
	n.killsAtStart = min(n.killsAtStart, n.memory.kills()) // that of a new group begins at 0
	n.memory.updates += r.Killed
	u := n.unit
	if r.Killed > 0 && u.Phase != supervise.Dead && u.Ended && u.EndedAt.UnixNano() >= r.Since && wasKilled(u.Status) {
		n.oom = true
		n.killsAtStart += r.Killed // of a command that runs by now, which it was not
	}
}
