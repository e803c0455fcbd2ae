package cgroups

import (
	"context"
	"errors"
	"fmt"
	"math"
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
// in it, and a bound for all of them, which a place that is there gets as well; zero leaves that as it is. It is to be called before a lab's
// first group is made, and does nothing where there is such a place, or need of none.
func (h *Host) Adopt(ctx context.Context, lab string, init int, b Bound) error {
	if err := checkName(lab); err != nil {
		return fmt.Errorf("ask systemd for a scope: %w", err)
	}
	for _, hy := range h.hierarchies {
		if !hy.systemd {
			continue
		}
		if _, err := os.Stat(hy.labDir(lab)); errors.Is(err, os.ErrNotExist) {
			if err := startScope(ctx, lab, init, b.properties()); err != nil {
				return err
			}
		} else if b != (Bound{}) {
			if err := askSystemd(ctx, lab, func(c *systemd.Conn, name string) error {
				return c.SetUnitPropertiesContext(ctx, name, true, b.properties()...)
			}); err != nil {
				return err
			}
		}
		return clearScope(ctx, hy.labDir(lab))
	}
	return nil
}

// properties are a bound as systemd is told of it. systemd.resource-control(5).
func (b Bound) properties() []systemd.Property {
	if b == (Bound{}) {
		return nil
	}
	swap := b.Swap
	if b.Memory == Unbounded {
		swap = Unbounded
	}
	return []systemd.Property{
		{Name: "MemoryMax", Value: godbus.MakeVariant(systemdBytes(b.Memory))},
		{Name: "MemorySwapMax", Value: godbus.MakeVariant(systemdBytes(swap))},
	}
}

// systemdBytes is a bound in bytes, as systemd has it.
func systemdBytes(bytes int64) uint64 {
	if bytes == Unbounded {
		return math.MaxUint64
	}
	return uint64(bytes) //nolint:gosec // not negative
}

// startScope asks systemd for a lab's scope, with some properties more, and waits until it is there. It is asked directly, where a bus may not run.
// A unit of that name whose groups are gone is one that systemd has not seen the end of.
func startScope(ctx context.Context, lab string, init int, more []systemd.Property) error {
	return askSystemd(ctx, lab, func(c *systemd.Conn, name string) error {
		start := func() error {
			return waitForJob(ctx, func(done chan<- string) error {
				_, err := c.StartTransientUnitContext(ctx, name, "fail", append([]systemd.Property{
					systemd.PropDescription("nsnet lab " + lab),
					systemd.PropSlice(slice),
					systemd.PropPids(uint32(init)),
					{Name: "Delegate", Value: godbus.MakeVariant(true)},
					{Name: "CollectMode", Value: godbus.MakeVariant("inactive-or-failed")}, // nothing of it is left when the lab is gone
				}, more...), done)
				return err
			})
		}
		err := start()
		if !isDBusError(err, "UnitExists") {
			return err
		}
		if err := endUnit(ctx, c, name); err != nil {
			return err
		}
		return start()
	})
}

// endScope has systemd forget a lab's scope, whose groups have been removed. It finds out by itself, too, but at some
// later time, and has been seen to miss it.
func endScope(ctx context.Context, lab string) error {
	return askSystemd(ctx, lab, func(c *systemd.Conn, name string) error { return endUnit(ctx, c, name) })
}

// endUnit stops a unit, if there is one of that name and it is of nsnet's slice.
func endUnit(ctx context.Context, c *systemd.Conn, name string) error {
	of, err := c.GetUnitTypePropertyContext(ctx, name, "Scope", "Slice")
	if isDBusError(err, "NoSuchUnit") || isDBusError(err, "UnknownObject") {
		return nil
	}
	if err != nil {
		return err
	}
	if of.Value.Value() != slice {
		return nil
	}
	err = waitForJob(ctx, func(done chan<- string) error {
		_, err := c.StopUnitContext(ctx, name, "replace", done)
		return err
	})
	if isDBusError(err, "NoSuchUnit") {
		return nil
	}
	return err
}

// askSystemd asks systemd something about a lab's scope.
func askSystemd(ctx context.Context, lab string, ask func(c *systemd.Conn, name string) error) error {
	name := scopeName(lab)
	c, err := systemd.NewSystemdConnectionContext(ctx)
	if err == nil {
		err = ask(c, name)
		c.Close()
	}
	if err != nil {
		return fmt.Errorf("ask systemd for %s: %w", name, err)
	}
	return nil
}

// waitForJob has systemd begin a job and waits for its end.
func waitForJob(ctx context.Context, begin func(done chan<- string) error) error {
	done := make(chan string, 1)
	if err := begin(done); err != nil {
		return err
	}
	select {
	case result := <-done:
		if result != "done" {
			return errors.New("the job ended as " + result)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isDBusError tells an error of systemd's, by the last part of its name.
func isDBusError(err error, name string) bool {
	var e godbus.Error
	return errors.As(err, &e) && strings.HasSuffix(e.Name, "."+name)
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
