package cgroups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
	oc "github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Where systemd manages the version 2 tree, what it has not been told of is not to be made there: it sets and takes
// back controllers of its groups as its own units need them. A lab gets a scope from it, delegated, in which it makes
// its groups as it likes. https://systemd.io/CGROUP_DELEGATION
const (
	slice       = "nsnet.slice"
	scopePrefix = "nsnet-"
	scopeSuffix = ".scope"
	leaf        = ".lab" // of the lab init and what has no group of its own: a group with groups below holds no process
)

// managed tells whether systemd manages a version 2 hierarchy, and can be asked.
func (hy hierarchy) managed() bool {
	if !hy.unified {
		return false
	}
	for _, path := range []string{filepath.Join(hy.root, "init.scope"), "/run/systemd/private"} {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	return true
}

// scopeName is the unit of a lab.
func scopeName(lab string) string { return scopePrefix + lab + scopeSuffix }

// Adopt gives a lab the place in which its groups can be made, with the lab's init, by its pid as the caller sees it,
// in it. It is to be called before a lab's first group is made, and does nothing where there is such a place, or
// need of none.
func (h *Host) Adopt(ctx context.Context, lab string, init int) error {
	if err := checkName(lab); err != nil {
		return fmt.Errorf("ask systemd for a scope: %w", err)
	}
	for _, hy := range h.hierarchies {
		if !hy.systemd {
			continue
		}
		if _, err := os.Stat(hy.labDir(lab)); errors.Is(err, os.ErrNotExist) {
			if err := startScope(ctx, lab, init); err != nil {
				return err
			}
		}
		return clearScope(ctx, hy.labDir(lab))
	}
	return nil
}

// startScope asks systemd for a lab's scope and waits until it is there. It is asked directly, where a bus may not run.
func startScope(ctx context.Context, lab string, init int) error {
	name := scopeName(lab)
	fail := func(err error) error { return fmt.Errorf("ask systemd for %s: %w", name, err) }
	c, err := systemd.NewSystemdConnectionContext(ctx)
	if err != nil {
		return fail(err)
	}
	defer c.Close()
	done := make(chan string, 1)
	_, err = c.StartTransientUnitContext(ctx, name, "fail", []systemd.Property{
		systemd.PropDescription("nsnet lab " + lab),
		systemd.PropSlice(slice),
		systemd.PropPids(uint32(init)),
		{Name: "Delegate", Value: godbus.MakeVariant(true)},
		{Name: "CollectMode", Value: godbus.MakeVariant("inactive-or-failed")}, // nothing of it is left when the lab is gone
	}, done)
	if err != nil {
		return fail(err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return fail(errors.New("the job ended as " + result))
		}
		return nil
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
}

// clearScope moves the processes of a scope into its leaf. The lab init may be forking.
func clearScope(ctx context.Context, dir string) error {
	below := filepath.Join(dir, leaf)
	if err := os.Mkdir(below, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("create cgroup %s: %w", below, err)
	}
	for {
		pids, err := pidsIn(dir)
		if err != nil {
			return fmt.Errorf("list processes of cgroup %s: %w", dir, err)
		}
		if len(pids) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("move the processes of cgroup %s: %w", dir, context.Cause(ctx))
		}
		for _, pid := range pids {
			if err := oc.WriteCgroupProc(below, pid); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("move process %d into cgroup %s: %w", pid, below, err)
			}
		}
	}
}

// parent is the directory that the groups of all labs are in.
func (hy hierarchy) parent() string {
	if hy.systemd {
		return filepath.Join(hy.root, slice)
	}
	return filepath.Join(hy.root, base)
}

// labDir is where a lab's groups are.
func (hy hierarchy) labDir(lab string) string {
	if hy.systemd {
		lab = scopeName(lab)
	}
	return filepath.Join(hy.parent(), lab)
}

// labOf is the lab that a directory of the parent is of, empty for none.
func (hy hierarchy) labOf(name string) string {
	if !hy.systemd {
		return name
	}
	lab, ok := strings.CutPrefix(name, scopePrefix)
	if lab, ends := strings.CutSuffix(lab, scopeSuffix); ok && ends {
		return lab
	}
	return ""
}
