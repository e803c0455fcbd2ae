package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/internal/pidfd"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/labinit"
	"github.com/nsnet/nsnet/lab/stall"
	"github.com/nsnet/nsnet/lab/wiring"
)

// clean removes what can outlive a lab's init, which has ended or, with kill, is ended
// first. It needs no record for what the names alone tell. The directory goes last, or
// with keep stays, empty but for the lock.
func clean(ctx context.Context, dir, name string, keep bool) error {
	r, rerr := readRecord(dir)
	init, tables, err := end(ctx, dir, func() error { return thaw(name, r) })
	defer closeFiles(tables)
	if err != nil {
		e := &Error{Lab: name, Op: "end its processes", Err: err}
		if errors.Is(err, errHidden) {
			e.Remedy = "if nsnet up was run in another container that shares " + RunDir + ", run this there; who holds a file, fuser " + filepath.Join(dir, aliveFile) + " tells"
		}
		return e
	}
	// Each of these sockets would have been closed by the init's end, which waits for all CPUs then: by now the kernel has time for that
	// beside what follows. What is not released goes when they are closed.
	_ = bridge.Release(tables)
	var errs []error
	if !keep { // else there is an up, which need not look at every process and rule of the host
		_, err := endLost(ctx, name)
		errs = append(errs, err)
	}
	errs = append(errs, removeGroups(ctx, name, r), sweepWork(r))
	host, err := lockHost(ctx)
	if err != nil {
		return &Error{Lab: name, Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	if rerr == nil {
		// Under the lock: until now a lab that went down could make this one its heir.
		if now, err := readRecord(dir); err == nil {
			r = now
		}
		if init > 0 {
			r.InitPID = init
		}
		errs = append(errs, bridge.Remove(r.Rules))
		_, err := releaseSysctls(r, &record{})
		errs = append(errs, err)
	}
	if rerr != nil && !keep {
		errs = append(errs, removeMarkedRules(name))
	}
	errs = append(errs, removeLinks(name, r), forgetConnections(dir), removeNetns(name, r), removeDNS(dir, name, r))
	if err := errors.Join(errs...); err != nil {
		return &Error{Lab: name, Op: "remove what it left", Err: err, Remedy: "run the command again"}
	}
	if err := removeRecord(dir, name, keep); err != nil {
		return err
	}
	if !keep {
		_ = removeRunDir()
	}
	return nil
}

// removeRecord removes what is in a lab's directory, and that, too, unless it is to be kept with the lock.
func removeRecord(dir, name string, keep bool) error {
	var errs []error
	entries, err := os.ReadDir(dir)
	if err != nil {
		return &Error{Lab: name, Op: "remove its record", Err: err}
	}
	for _, e := range entries {
		if e.Name() != lockFile {
			if err := failpoint.Hit("remove", e.Name()); err != nil {
				errs = append(errs, err)
				continue
			}
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if !keep {
		if err := failpoint.Hit("remove", lockFile); err != nil {
			return &Error{Lab: name, Op: "remove its record", Err: err}
		}
		errs = append(errs, os.Remove(filepath.Join(dir, lockFile)))
		if err := failpoint.Hit("remove", dir); err != nil {
			return &Error{Lab: name, Op: "remove its record", Err: err}
		}
		// Who has made the lock anew by now is next to lock it, and takes the directory over.
		if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Lab: name, Op: "remove its record", Err: err}
	}
	return nil
}

// forget removes the directory of a lab of which nothing is written down, as nothing of it has been made. The lock that all labs share is not
// waited for, as clean does: it may have been for that that nothing came of the lab.
func forget(dir, name string) error {
	if err := removeRecord(dir, name, false); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(RunDir, globalLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil //nolint:nilerr // somebody has removed it all
	}
	defer f.Close()
	if lockfile.Try(f, lockfile.Exclusive) == nil && lockfile.Current(f) {
		_ = removeRunDir()
	}
	return nil
}

// removeRunDir removes the record's root when no lab is left. The host's lock in it may be
// held by its own caller only.
func removeRunDir() error {
	entries, err := os.ReadDir(RunDir)
	if err != nil || len(entries) != 1 || entries[0].Name() != globalLock {
		return err
	}
	if err := failpoint.Hit("remove", globalLock); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(RunDir, globalLock)); err != nil {
		return err
	}
	if err := failpoint.Hit("remove", RunDir); err != nil {
		return err
	}
	return os.Remove(RunDir)
}

// removeDNS removes the nodes' files for ip netns exec: those of the record, or without one
// all that look like the lab's and belong to no network namespace any more.
func removeDNS(dir, name string, r *record) error {
	var errs []error
	if r != nil {
		for _, n := range r.DNS {
			errs = append(errs, dns.RemoveNetns(EtcNetns, name, n))
		}
		return errors.Join(errs...)
	}
	if l, err := readLab(dir); err == nil {
		for i := range l.Nodes {
			errs = append(errs, dns.RemoveNetns(EtcNetns, name, l.Nodes[i].Name))
		}
		return errors.Join(errs...)
	}
	entries, err := os.ReadDir(EtcNetns)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		node, ok := strings.CutPrefix(e.Name(), name+".")
		if _, err := os.Lstat(filepath.Join(NetnsDir, e.Name())); ok && errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, dns.RemoveNetns(EtcNetns, name, node))
		}
	}
	return errors.Join(errs...)
}

// removeLinks deletes the host's ends, which vanish by themselves but later. One without
// the lab's mark is not the lab's.
func removeLinks(name string, r *record) error {
	if r != nil && len(r.Links) == 0 {
		return nil
	}
	c, err := rtnl.Dial(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return err
	}
	var reqs []rtnl.Request
	for _, l := range links {
		if (r == nil || slices.Contains(r.Links, l.Name)) && strings.HasPrefix(l.Alias, wiring.Mark(name)) {
			reqs = append(reqs, rtnl.Delete(l.Name, "delete "+l.Name))
		}
	}
	if err := c.Do(reqs...); err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	if r == nil || !slices.ContainsFunc(links, r.unmarked) {
		return nil // nobody is left who could make one
	}
	return awaitUnmarked(r)
}

// unmarked reports whether a link is a cable of the lab by its name, and without the lab's mark.
func (r *record) unmarked(l rtnl.Link) bool {
	return l.Alias == "" && l.Kind == "veth" && slices.Contains(r.Links, l.Name)
}

// awaitUnmarked waits for cables that an up was killed between making and marking. They go with the fabric, a moment after the lab
// init; until then the next up would take them for a stranger's. One that stays is a stranger's.
func awaitUnmarked(r *record) error {
	c, err := rtnl.Dial(nil, unix.RTNLGRP_LINK)
	if err != nil {
		return err
	}
	defer c.Close()
	for end := time.Now().Add(time.Second); ; {
		links, err := c.Links()
		if err != nil {
			return err
		}
		left := int(time.Until(end).Milliseconds())
		if left <= 0 || !slices.ContainsFunc(links, r.unmarked) {
			return nil
		}
		if _, err := c.Wait(left); err != nil {
			return err
		}
	}
}

// removeNetns removes the names of the lab's network namespaces: those of its record, or
// without one those that look like it and lead nowhere. Only symbolic links into /proc are
// nsnet's.
func removeNetns(name string, r *record) error {
	entries, err := os.ReadDir(NetnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		n := e.Name()
		path := filepath.Join(NetnsDir, n)
		target, err := os.Readlink(path)
		if err != nil || !strings.HasPrefix(target, "/proc/") {
			continue
		}
		if err := failpoint.Hit("remove", path); err != nil {
			errs = append(errs, err)
			continue
		}
		if r != nil {
			// Lab "a" with node "b" and lab "a.b" have a name in common, which only one can
			// have: the one whose init it leads to.
			if slices.Contains(r.Netns, n) && strings.HasPrefix(target, fmt.Sprintf("/proc/%d/", r.InitPID)) {
				errs = append(errs, os.Remove(path))
			}
			continue
		}
		if n == name || strings.HasPrefix(n, name+".") {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, os.Remove(path))
			}
		}
	}
	return errors.Join(errs...)
}

// removeGroups removes the lab's control groups, known from the record or, without one,
// looked for: those of a lab of the same name that lives, with a record in another /run, stay.
func removeGroups(ctx context.Context, name string, r *record) error {
	if r != nil && !r.Limits && !r.Bounded {
		return nil
	}
	h, err := cgroups.Probe()
	if err != nil {
		return err
	}
	err = h.RemoveLab(ctx, name, func(pid int) bool { return labOf("/proc", pid) != "" })
	if errors.Is(err, cgroups.ErrForeign) {
		return nil
	}
	return err
}

// thaw lets the processes of paused nodes die: the lab's init, which is killed, waits for them.
func thaw(name string, r *record) error {
	if r != nil && !r.Limits {
		return nil
	}
	h, err := cgroups.Probe()
	if err != nil {
		return err
	}
	return h.ThawLab(name)
}

// end kills a lab's init if it lives, and waits for it: the kernel has ended every process
// of the lab by then. What may hold one up is undone by killed. It returns the pid, 0 where none lived, and the sockets that the
// lab's tables on the host live by, which the caller closes.
func end(ctx context.Context, dir string, killed func() error) (pid int, tables []*os.File, err error) {
	p, err := awaitInit(ctx, dir)
	if p == nil || err != nil {
		return 0, nil, err
	}
	defer p.close()
	tables = p.tables()
	err = failpoint.Hit("kill", "lab init")
	if err == nil {
		err = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return 0, tables, fmt.Errorf("kill: %w", err)
	}
	if err := killed(); err != nil {
		return 0, tables, err
	}
	defer waiting.Say(ctx, func() string { return "the end of " + stall.Init(filepath.Base(dir)) })()
	return p.pid, tables, pidfd.Wait(ctx, p.pidfd)
}

// tables takes copies of the sockets that the lab's tables on the host live by. An init that an older nsnet started may have others in
// their place. pidfd_getfd(2).
func (p *initProcess) tables() (files []*os.File) {
	for _, fd := range []int{labinit.TableFD, labinit.Transit4FD, labinit.Transit6FD} {
		if own, err := unix.PidfdGetfd(p.pidfd, fd, 0); err == nil {
			files = append(files, os.NewFile(uintptr(own), "nfnetlink"))
		}
	}
	return files
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
