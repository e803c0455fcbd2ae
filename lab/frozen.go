package lab

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/lab/proto"
)

// markKilled makes nodes dead whose init was killed while it was paused: in a group of version 1 a frozen process does not die before it is thawed, and
// the lab's init is not told until then.
func markKilled(st *proto.LabState) {
	for i := range st.Nodes {
		n := &st.Nodes[i]
		if !n.Paused || n.State == StateDead {
			continue
		}
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(n.PID) + "/status"); err == nil && killPending(b) {
			n.State, n.Reason = StateDead, "the node's init was killed while it was paused"
			n.WaitStatus, n.Ended, n.EndedAt = 0, false, 0 // of the command: how the init ends is not told yet
		}
	}
}

// killPending tells whether a process, by its status, is to die by SIGKILL and has not yet. proc_pid_status(5).
func killPending(status []byte) bool {
	for line := range bytes.Lines(status) {
		name, mask, _ := bytes.Cut(line, []byte(":"))
		if string(name) != "SigPnd" && string(name) != "ShdPnd" {
			continue
		}
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(mask)), 16, 64); err == nil && n&(1<<(unix.SIGKILL-1)) != 0 {
			return true
		}
	}
	return false
}

// thawRemoved lets the processes of paused nodes go on that are about to be killed, without which they would stay.
func (c *change) thawRemoved() error {
	var frozen []string
	paused := statesByName(c.seen.state)
	for _, name := range c.todo.remove {
		if s := paused[name]; s != nil && s.Paused {
			frozen = append(frozen, name)
		}
	}
	if len(frozen) == 0 {
		return nil
	}
	h, err := cgroups.Probe()
	if err == nil {
		err = h.Thaw(c.rec.Name, frozen...)
	}
	if err != nil {
		return &Error{Op: "end what is paused", Err: fmt.Errorf("let it go on: %w", err)}
	}
	return nil
}
