package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/stall"
	"github.com/nsnet/nsnet/topology"
)

// oomSuffix ends the name of a node's file in the record that counts the processes which Update has killed
// to get below a new limit of memory. What the kernel kills, it counts itself.
const oomSuffix = ".oom"

// oomOf tells how many processes of a node its limit of memory has cost.
func oomOf(host *cgroups.Host, lab, node string) (cgroups.OOMStatus, error) {
	s, err := host.OOM(lab, node)
	if err != nil {
		return s, err
	}
	n, err := updateKills(lab, node)
	s.Kills += n
	return s, err
}

func updateKills(lab, node string) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(dirOf(lab), node+oomSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// countKills adds to what an update has killed. The caller holds the lab's lock.
func countKills(lab, node string, killed int) error {
	if killed == 0 {
		return nil
	}
	n, err := updateKills(lab, node)
	if err != nil {
		return err
	}
	dir := dirOf(lab)
	return renameio.WriteFile(filepath.Join(dir, node+oomSuffix), fmt.Appendln(nil, n+uint64(killed)), 0o600, renameio.WithTempDir(dir))
}

// setLimits gives a running node other limits, and has what was killed for them counted. The caller holds the lab's lock.
func setLimits(ctx context.Context, host *cgroups.Host, lab string, n cgroups.Node, set topology.Limits, lift []string) error {
	since := time.Now()
	killed, err := host.Update(ctx, lab, n, set, lift)
	return errors.Join(err, countKills(lab, n.Name, killed), tellCharged(ctx, host, lab, n.Name, killed, since))
}

// tellCharged tells the lab's init where the kernel counts what it kills of a node by now, and what an update has killed since a time: a lab's init
// knows of each end of a command whether it was for that. One of an older nsnet takes no such note.
func tellCharged(ctx context.Context, host *cgroups.Host, lab, node string, killed int, since time.Time) error {
	events, err := host.OOMEvents(lab, node)
	if err != nil || events == nil {
		return err
	}
	defer events.Close()
	c, err := dial(lab)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer waiting.Say(ctx, func() string { return stall.Init(lab) })()
	err = proto.Send(c, proto.Charged, proto.ChargedNote{Node: node, Killed: uint64(killed), Since: since.UnixNano()}, int(events.Fd())) //nolint:gosec // not negative
	if err != nil {
		return fmt.Errorf("tell the lab's init of its memory: %w", err)
	}
	if _, _, fds, err := c.Receive(); err == nil {
		closeFDs(fds)
	}
	return context.Cause(ctx)
}

// oomText says it in words: "out of memory: limit 10 MiB, peak 9.9 MiB, 2 processes killed".
func oomText(s cgroups.OOMStatus) string {
	text := "out of memory:"
	if s.Limit > 0 {
		text += " limit " + size(int64(s.Limit)) + ","
	}
	if s.Peak > 0 {
		text += fmt.Sprintf(" peak %.1f MiB,", float64(s.Peak)/(1<<20))
	}
	if s.Kills == 1 {
		return text + " 1 process killed"
	}
	return fmt.Sprintf("%s %d processes killed", text, s.Kills)
}

// labOOMText says of a lab what oomText says of a node.
func labOOMText(m *cgroups.LabMemory) string {
	s := cgroups.OOMStatus{Limit: uint64(m.Limit), Peak: m.Peak, Kills: m.Kills} //nolint:gosec // not negative
	return "all nodes together " + oomText(s)
}

// OutOfMemory says what a node's limit of memory has cost it, with the limit and the peak; nothing if no
// process was killed for it.
func OutOfMemory(_ context.Context, lab, node string) (string, error) {
	if !hasLimits(dirOf(lab)) {
		return "", nil
	}
	host, err := cgroups.Probe()
	if err != nil {
		return "", &Error{Lab: lab, Node: node, Op: "look at the control groups", Err: err}
	}
	s, err := oomOf(host, lab, node)
	if err != nil {
		return "", &Error{Lab: lab, Node: node, Op: "look at its memory", Err: err}
	}
	if s.Kills == 0 {
		return "", nil
	}
	return oomText(s), nil
}

// EndedOutOfMemory says what OutOfMemory does, of a node whose command has last ended for that, or whose init has been killed; else nothing.
func EndedOutOfMemory(ctx context.Context, lab, node string) (string, error) {
	if !hasLimits(dirOf(lab)) || !alive(dirOf(lab)) {
		return "", nil
	}
	st, err := askState(ctx, lab, proto.StatusRequest{Node: node})
	if hasGone(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	s := statesByName(st)[node]
	if s == nil || !s.OOMKilled && !initKilled(s) {
		return "", nil
	}
	return OutOfMemory(ctx, lab, node)
}

// initKilled reports whether a node is dead as its init was killed.
func initKilled(s *proto.NodeState) bool {
	ws := syscall.WaitStatus(s.WaitStatus)
	return s.State == StateDead && s.Ended && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

// charge notes what a node's limit of memory has cost it. An end of its command is told so where it was for that, and not where a process of exec was
// killed at another time.
func (s *NodeStatus) charge(o cgroups.OOMStatus) {
	s.OOMKills, s.MemoryPeak = o.Kills, o.Peak
	switch s.State {
	case StateExited, StateStopped, StateRestarting:
		s.OOMKilled = s.LastEnd != nil && s.LastEnd.OOMKilled
	case StateDead:
		s.OOMKilled = s.Signal == "SIGKILL"
	default:
		s.OOMKilled = true
	}
	switch {
	case !s.OOMKilled:
	case s.Reason == "":
		s.Reason = oomText(o)
	case s.State == StateDead:
		s.Reason += "; " + oomText(o)
	}
}
