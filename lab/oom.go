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

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/cgroups"
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
