package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/internal/pidfd"
	"github.com/nsnet/nsnet/lab/index"
	"github.com/nsnet/nsnet/lab/labinit"
	"github.com/nsnet/nsnet/lab/proto"
)

// start starts the lab init and tells it what to build.
func (b *builder) start(ctx context.Context, spec *proto.LabSpec) error {
	open := sealedExecutable
	if !b.rec.UserNS {
		open = copiedExecutable
	}
	exe, err := open()
	if err != nil {
		return &Error{Op: "open the nsnet program", Err: err}
	}
	defer exe.Close()
	ours, theirs, err := container.SocketPair()
	if err != nil {
		return &Error{Op: "start the lab", Err: err}
	}
	defer theirs.Close()
	if b.conn, err = container.NewConn(ours); err != nil {
		return &Error{Op: "start the lab", Err: err}
	}
	control, err := listen(filepath.Join(b.dir, controlFile))
	if err != nil {
		return &Error{Op: "create the control socket", Err: err}
	}
	defer control.Close()
	if err := failpoint.Hit("create", initLog); err != nil {
		return &Error{Op: "start the lab", Err: err}
	}
	out, err := os.OpenFile(filepath.Join(b.dir, initLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return &Error{Op: "start the lab", Err: err}
	}
	defer out.Close()
	if err := failpoint.Hit("create", aliveFile); err != nil {
		return &Error{Op: "start the lab", Err: err}
	}
	if b.alive, err = os.OpenFile(filepath.Join(b.dir, aliveFile), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return &Error{Op: "start the lab", Err: err}
	}
	// Who looks whether the lab lives holds the lock for a moment, too: it is waited for.
	if err := lockfile.Wait(ctx, b.alive, lockfile.Exclusive, "lab "+b.lab.Name+"'s life lock"); err != nil {
		return &Error{Op: "take the lab's life lock", Err: err}
	}
	kept := b.alive
	if b.kept != nil {
		kept = b.kept
	}
	files := []uintptr{out.Fd(), out.Fd(), theirs.Fd(), control.Fd(), b.alive.Fd(), kept.Fd()}
	for range labinit.Transit6FD - labinit.KeptFD {
		files = append(files, b.alive.Fd())
	}
	cradle, err := b.cradle()
	if err != nil {
		return err
	}
	b.init, err = startInit(exe, b.lab.Name, &b.rec, files, cradle)
	cradle.Close()
	if err != nil {
		return err
	}
	b.rec.InitPID = b.init.Pid
	if err := failpoint.Hit("write", aliveFile); err != nil {
		return &Error{Op: "write the lab's pid", Err: err}
	}
	if _, err := fmt.Fprintf(b.alive, "%d\n", b.init.Pid); err != nil {
		return &Error{Op: "write the lab's pid", Err: err}
	}
	if err := b.adopt(ctx, cradle); err != nil {
		return err
	}
	b.listen()
	if err := proto.Send(b.conn, proto.Spec, spec, append([]int{int(exe.Fd()), b.mounts.devs}, b.mounts.hosts()...)...); err != nil {
		return b.initDied(err)
	}
	// Before anything on the host is named after it.
	if err := b.save(ctx); err != nil {
		return recordError(b.lab.Name, "write the record", err)
	}
	return nil
}

// save writes the record anew. Another lab's down may have handed sysctls to it meanwhile:
// see releaseSysctls.
func (b *builder) save(ctx context.Context) error {
	if b.rec.NAT || len(b.rec.Forwards)+len(b.rec.Sysctls) > 0 {
		host, err := lockHost(ctx)
		if err != nil {
			return err
		}
		defer host.Close()
		now, err := readRecord(b.dir)
		if err != nil {
			return err
		}
		b.rec.Sysctls = now.Sysctls
	}
	return b.rec.write(b.dir)
}

// listen has the lab init's messages taken until it ends, or until close.
func (b *builder) listen() {
	b.events, b.over = make(chan event), make(chan struct{})
	go func() {
		for {
			var e event
			e.kind, e.body, e.fds, e.err = b.conn.Receive()
			select {
			case b.events <- e:
			case <-b.over: // one that stayed for good would grow who watches a file
				closeFDs(e.fds)
			}
			if e.err != nil {
				return
			}
		}
	}()
}

// initDied tells why the lab init ended, by what it wrote last.
func (b *builder) initDied(err error) error {
	text := "the lab's init ended"
	if f, ferr := os.Open(filepath.Join(b.dir, initLog)); ferr == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			switch {
			case strings.HasPrefix(s.Text(), noThread):
				return &Error{Op: "build", Err: fmt.Errorf("%s: %s: %w", text, noProcesses, unix.EAGAIN), Remedy: moreProcesses}
			case strings.HasPrefix(s.Text(), "panic:") || strings.HasPrefix(s.Text(), "fatal error:"):
				text += ": " + s.Text()
			}
		}
	}
	return &Error{Op: "build", Err: fmt.Errorf("%s: %w", text, err)}
}

// noThread is what the Go runtime says, and ends the program, when the kernel gives it no thread.
const noThread = "runtime: failed to create new OS thread"

// build follows the lab init until the lab is committed.
func (b *builder) build(ctx context.Context) error {
	b.pids = make(map[string]int, len(b.nodes))
	for {
		var e event
		select {
		case e = <-b.events:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if e.err != nil {
			return b.initDied(e.err)
		}
		var err error
		switch e.kind {
		case proto.Fabric:
			closeFDs(e.fds)
			err = b.legs()
		case proto.Node:
			if err := b.mounts.prepared(); err != nil {
				closeFDs(e.fds)
				return prepareError(err)
			}
			err = b.node(e)
		case proto.Progress:
			var p proto.ProgressReport
			if err = proto.Decode(e.body, &p); err == nil {
				b.step(p.Name, p.Done, p.Total)
			}
		case proto.Booted:
			if err = b.external(); err == nil {
				err = b.conn.Send(proto.Wired, nil)
			}
		case proto.Built:
			var r proto.LabState
			if err = proto.Decode(e.body, &r); err == nil {
				err = b.finish(ctx, &r)
			}
		case proto.Started:
			return refusedCommand(e.body)
		case proto.Failed:
			return initFailure(e.body)
		}
		if err != nil {
			return b.cause(ctx, err)
		}
	}
}

// prepareError tells that what the nodes have in common could not be made.
func prepareError(err error) error { return &Error{Op: "prepare the nodes' files", Err: err} }

// cause is why the lab init ended, if that is why something of the lab was not there any more.
func (b *builder) cause(ctx context.Context, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EPIPE) {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		select {
		case e := <-b.events:
			closeFDs(e.fds)
			switch {
			case e.err != nil:
				return b.initDied(e.err)
			case e.kind == proto.Failed:
				return initFailure(e.body)
			}
		case <-wait.Done():
			return err
		}
	}
}

// refusedCommand is why the first of the commands that could not be started was not, nil where all were.
func refusedCommand(body []byte) error {
	var r proto.StartedReport
	if err := proto.Decode(body, &r); err != nil || len(r.Refused) == 0 {
		return err
	}
	f := r.Refused[0]
	f.Op = opStart
	return failureError(&f)
}

// opStart is the operation of a failure to execute a command.
const opStart = "start the command"

// initFailure is what the lab init reports, as an Error.
func initFailure(body []byte) error {
	var f proto.Failure
	if err := proto.Decode(body, &f); err != nil {
		return err
	}
	return failureError(&f)
}

func failureError(f *proto.Failure) error {
	// Before it is started a command is only looked at, which is refused for no fault of its own.
	if f.Command != "" && (f.Errno != uint32(unix.EPERM) || f.Op == opStart) {
		if e := commandFault(f.Command, syscall.Errno(f.Errno)); e != nil {
			e.Node = f.Node
			return e
		}
	}
	if key, ok := strings.CutPrefix(f.Text, "set sysctl "); ok && f.Errno == uint32(unix.ENOENT) {
		key, _, _ = strings.Cut(key, ": ")
		return noSysctl(f.Node, key)
	}
	err := errors.New(f.Text)
	if f.Errno != 0 {
		err = &errnoText{f.Text, syscall.Errno(f.Errno)}
	}
	return &Error{Op: f.Op, Node: f.Node, Object: f.Object, Err: err}
}

// errnoText is an error of another process: its text, and the errno that it wraps.
type errnoText struct {
	text  string
	errno syscall.Errno
}

func (e *errnoText) Error() string { return e.text }
func (e *errnoText) Unwrap() error { return e.errno }

// node gives a new node what only the host's root can: its place in the cgroups, and its
// mounts.
func (b *builder) node(e event) error {
	defer closeFDs(e.fds)
	var m proto.NodeIndex
	if err := proto.Decode(e.body, &m); err != nil {
		return err
	}
	n := &b.nodes[m.Index]
	pid, err := pidfd.PID(e.fds[0])
	if err != nil {
		return &Error{Node: n.Name, Op: "find its process", Err: err}
	}
	b.pids[n.Name] = pid
	if g := b.groups[n.Name]; g != nil {
		if err := g.Add(pid); err != nil {
			return &Error{Node: n.Name, Op: "enter its control group", Err: err}
		}
	}
	userns, base := -1, uint32(0)
	if len(e.fds) > 1 {
		userns, base = e.fds[1], b.rec.ids().of(m.Slot)
	}
	ipcSet, err := b.mounts.ipcSysctls(e.fds[0], n, b.setups[m.Index].IPC)
	if err != nil {
		return &Error{Node: n.Name, Op: "prepare", Err: err}
	}
	b.mounts.init = b.rec.InitPID
	r, err := b.mounts.node(n, &b.setups[m.Index], b.storage[n.Name], userns, base)
	if err != nil {
		return &Error{Node: n.Name, Op: "prepare its mounts", Err: err}
	}
	defer r.close()
	b.notes = append(b.notes, r.notes...)
	fds := slices.Clone(r.fds)
	if len(n.Command) > 0 {
		for _, name := range logFiles(n.Name) {
			if err := failpoint.Hit("create", name); err != nil {
				return &Error{Node: n.Name, Op: "create its log", Err: err}
			}
			fd, err := unix.Open(filepath.Join(b.dir, name), unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
			if err != nil {
				return &Error{Node: n.Name, Op: "create its log", Err: err}
			}
			fds = append(fds, fd)
			r.fds = append(r.fds, fd)
		}
	}
	fds = append(fds, r.uppers...)
	var held []*os.File
	if b.groups[n.Name] != nil {
		events, err := b.cgroups.OOMEvents(b.rec.Name, n.Name)
		if err != nil {
			return &Error{Node: n.Name, Op: "look at its control group", Err: err}
		}
		if events != nil {
			defer events.Close()
			held = append(held, events)
		}
	}
	charged := len(held) > 0
	held = append(append(held, r.locks...), r.servers...)
	for _, f := range held {
		fds = append(fds, int(f.Fd()))
	}
	return proto.Send(b.conn, proto.Mounts, proto.NodeIndex{Index: m.Index, Dirs: r.dirs, PID: pid, Uppers: r.paths, Held: len(held), Served: r.served, IPCSet: ipcSet, Charged: charged}, fds...)
}

// logFiles are a node's log and its older log, in the lab's directory.
func logFiles(node string) []string { return []string{node + ".log", node + ".log.1"} }

// finish writes what names the lab on the host, and commits.
func (b *builder) finish(ctx context.Context, r *proto.LabState) error {
	b.step("finish", 0, 0)
	if err := b.hostReady(ctx); err != nil {
		return err
	}
	if err := b.listenPorts(); err != nil {
		return err
	}
	if err := writeNames(b.lab, &b.rec, r); err != nil {
		return err
	}
	b.rec.Built = true
	err := b.save(ctx)
	if err == nil {
		err = writeIndex(b.dir, index.New(b.rec.Limits, nodeNames(b.lab)))
	}
	if err != nil {
		return recordError(b.lab.Name, "write the record", err)
	}
	var fds []int
	for _, f := range b.ports {
		fds = append(fds, int(f.Fd()))
	}
	fds = append(fds, b.tables()...)
	if err := proto.Send(b.conn, proto.Commit, proto.CommitSpec{Ports: b.published, Transit: b.families}, fds...); err != nil {
		return b.initDied(err)
	}
	return nil
}
