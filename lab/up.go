package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/stall"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// Up makes the lab what its file says: a new one wholly or not at all, one that runs by as little as it takes, whatever
// was changed in the file or in the lab. A lab that is so already is left as it is.
func Up(ctx context.Context, o UpOptions) (res UpResult, err error) {
	defer func() { advise(err) }()
	start := time.Now()
	res = UpResult{Name: o.Lab.Name, Nodes: len(o.Lab.Nodes), Bridges: len(o.Lab.Bridges), Links: len(o.Lab.Links)}
	if err := obtain(ctx, &o); err != nil {
		return res, err
	}
	dir, err := lockLab(ctx, o.Lab.Name, true, o.NoWait)
	if err != nil {
		return res, err
	}
	defer dir.unlock()
	defer waiting.Say(ctx, func() string { return stall.Stopped(o.Lab.Name) })()
	content, err := json.Marshal(o.Lab)
	if err != nil {
		return res, err
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	l := *o.Lab
	l.Nodes = slices.Clone(o.Lab.Nodes)
	if o.StorageDriver != "" {
		l.UseStorage(o.StorageDriver)
	}
	running, state, err := current(ctx, dir, o.Lab.Name)
	if err != nil {
		return res, err
	}
	b := &builder{dir: dir.dir, lab: &l, byFlag: o.StorageDriver != "", replace: o.Replace, progress: o.Progress, content: content, given: byName(o.Lab.Nodes),
		files: filesOf(&l), rec: record{Schema: schema, BootID: bootID(), Name: o.Lab.Name, origin: originOf(o.Lab), Digest: digest, Created: start.UTC()}}
	b.rec.Dir, b.rec.Elsewhere = leads(&l)
	if running != nil {
		res.Actions, err = b.update(ctx, running, state)
		b.close()
	} else if err = b.create(ctx); err == nil {
		b.close()
	}
	if err == nil {
		b.notes = append(b.notes, Notes(b.lab)...)
	}
	res.Partly = b.partly
	res.Changed, res.New, res.Notes, res.Elapsed = running == nil || len(res.Actions) > 0, running == nil, b.notes, time.Since(start)
	return res, err
}

// obtain refuses a lab that asks for what nobody has allowed.
func obtain(ctx context.Context, o *UpOptions) error {
	err := consent.This().Obtain(ctx, o.Lab, o.Allow, o.Asks)
	var refused *consent.RefusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return &Error{Lab: o.Lab.Name, Err: err, Remedy: refused.Remedy()}
	case errors.Is(err, fs.ErrPermission) && needRoot() != nil:
		return needRoot()
	}
	return &Error{Lab: o.Lab.Name, Op: "decide on what its file asks for", Err: err}
}

// create makes a lab, wholly or not at all.
func (b *builder) create(ctx context.Context) error {
	if err := b.up(ctx); err != nil {
		err = b.wrap(ctx, err, "nothing is left of it")
		if rerr := b.rollback(ctx); rerr != nil {
			err = errors.Join(err, rerr)
		}
		return err
	}
	return nil
}

// update makes a running lab what it is to be, with as little as that takes, and tells with what.
func (b *builder) update(ctx context.Context, running *record, state *proto.LabState) ([]Action, error) {
	var err error
	if !b.replace {
		err = taken(running.origin, b.rec.origin)
	}
	if err == nil {
		err = checkIPv6(b.lab, "/")
	}
	var seen *observed
	if err == nil {
		seen, err = observe(ctx, running, state, b.lab)
	}
	if err != nil {
		return nil, b.wrap(ctx, err, "the lab runs on as it is")
	}
	if seen.noSysctl != nil {
		return nil, b.wrap(ctx, seen.noSysctl, "the lab runs on as it is")
	}
	todo := compare(b.lab, seen)
	if err := todo.sayUnplugged(b.lab.Name); err != nil {
		return nil, b.wrap(ctx, err, "the lab runs on as it is")
	}
	b.notes = seen.notes
	if len(todo.actions) == 0 && running.Digest == b.rec.Digest && running.is(b.rec.origin) && len(seen.had) == 1 {
		return nil, seen.settled()
	}
	if err := b.check(todo.add); err != nil {
		return nil, b.wrap(ctx, err, "the lab runs on as it is")
	}
	b.keepMade(running, seen, todo)
	if err := b.pull(ctx, todo.add); err != nil {
		return nil, b.wrap(ctx, err, "the lab runs on as it is")
	}
	if err := b.checkLayers(todo.add); err != nil {
		return nil, b.wrap(ctx, err, "the lab runs on as it is")
	}
	if err := trySysctls(todo.tried(b.lab)); err != nil {
		return nil, b.wrap(ctx, err, "the lab runs on as it is")
	}
	c := &change{builder: b, seen: seen, todo: todo}
	err = c.lookEarly(ctx)
	if err == nil {
		err = c.rehearse(ctx, false)
	}
	if err != nil {
		return nil, b.wrap(ctx, err, "the lab runs on as it is")
	}
	err = c.carryOut(ctx)
	b.partly = err != nil && c.account.touched()
	return todo.actions, err
}

// current is the record of the lab if it runs, and its state. What a dead one left is removed.
func current(ctx context.Context, dir *locked, name string) (*record, *proto.LabState, error) {
	if alive(dir.dir) {
		r, err := readRecord(dir.dir)
		if err != nil {
			return nil, nil, &Error{Lab: name, Op: "read the record of the running lab", Err: err, Remedy: "take it down first"}
		}
		if r.InitPID = initPID(dir.dir); r.Built {
			if state, err := settledState(ctx, name); !hasGone(err) {
				return r, state, err
			}
			// A killed lab init holds its lock for one more moment.
		}
		// If not built, up was killed; its lab init is on the way out.
	}
	if err := refuseNewer(dir.dir, name); err != nil {
		return nil, nil, err
	}
	return nil, nil, clean(ctx, dir.dir, name, true)
}

// byName finds nodes by their names.
func byName(nodes []topology.Node) map[string]*topology.Node {
	m := make(map[string]*topology.Node, len(nodes))
	for i := range nodes {
		m[nodes[i].Name] = &nodes[i]
	}
	return m
}

// builder is one up in progress, and what it has to take back if it fails.
type builder struct {
	dir      string
	lab      *topology.Lab             // first as the file and the command line say, then resolved: with what images say, and drivers
	given    map[string]*topology.Node // as the file has them
	files    *hostFiles                // that it names
	byFlag   bool                      // the command line has named the driver of unions
	replace  bool                      // the lab may be another file's
	nodes    []topology.Node           // those to start
	rec      record
	content  []byte
	notes    []string
	partly   bool // a change has failed with something of it made, or begun
	progress func(Step)

	cgroups *cgroups.Host
	limited bool                      // nodes have groups
	bound   *cgroups.Bound            // of all of the lab; nil: none
	groups  map[string]*cgroups.Group // by node

	unrestricted error // why privileged nodes cannot be held to a node's devices
	mounts       *mounter
	setups       []proto.NodeSetup
	conn         *container.Conn
	alive        *os.File
	kept         *os.File // locks what nodes keep; nil: nothing
	init         *os.Process
	table        *os.File   // the socket of the lab's table on the host, if it gets one
	transit      []*os.File // those of the tables for these families, see makeTransit
	families     []string
	watch        *os.File // tells of forwarding
	uplinks      []string // bridges of the host that lead out of it
	events       chan event
	over         chan struct{}  // closed: nobody takes events any more
	pids         map[string]int // of the nodes' inits

	want                *wiring.Want
	legSteps, portSteps []wiring.Step            // what this process does of the wires
	slow                map[string]time.Duration // the host's bridges that have STP

	keptFresh bool // nothing was kept before

	ports     []*os.File // sockets of published ports
	published []proto.PublishedPort

	store  *image.Store
	hold   *image.Hold             // keeps images from being removed until the record tells of them
	images map[string]*image.Image // by name
	pulled bool
	uses   []image.Use          // of images
	inUse  map[string]image.Use // of those by nodes that run and stay, by name

	storage map[string][]proto.Storage // how the nodes to start are made of their layers
	uppers  map[string]upperLayer      // directories that unions of these write, by unionName
	work    []workDir                  // beside them
}

// event is a message of the lab init.
type event struct {
	kind wire.Kind
	body []byte
	fds  []int
	err  error
}

func (b *builder) step(name string, done, total int) {
	if b.progress != nil {
		b.progress(Step{name, done, total})
	}
}

// wrap says which lab an error is of, and that it was interrupted if it was, with how it is then.
func (b *builder) wrap(ctx context.Context, err error, now string) error {
	if ctx.Err() != nil {
		return &Error{Lab: b.lab.Name, Err: context.Cause(ctx), Remedy: now}
	}
	var e *Error
	if errors.As(err, &e) {
		e.Lab = b.lab.Name
		return err
	}
	return &Error{Lab: b.lab.Name, Err: err}
}

func (b *builder) up(ctx context.Context) error {
	if err := b.check(b.lab.Nodes); err != nil {
		return err
	}
	if err := b.pull(ctx, b.lab.Nodes); err != nil {
		return err
	}
	if err := b.checkLayers(b.lab.Nodes); err != nil {
		return err
	}
	b.nodes = b.lab.Nodes
	if err := b.plan(ctx); err != nil {
		return err
	}
	b.step("prepare", 0, 0)
	if err := b.planWires(); err != nil {
		return err
	}
	var err error
	if b.mounts, err = newMounter(b.dir); err != nil {
		return &Error{Op: "prepare", Err: err}
	}
	b.mounts.files, b.mounts.images, b.mounts.step, b.mounts.keep = b.files, b.images, b.step, filepath.Join(KeepDir, b.lab.Name)
	b.mounts.lab, b.mounts.written = b.lab.Name, b.uppers
	if err := b.openKept(); err != nil {
		return err
	}
	if err := b.mounts.prepare(b.lab, b.nodes); err != nil {
		return prepareError(err)
	}
	spec, err := b.spec()
	if err != nil {
		return err
	}
	b.setups = spec.Nodes
	if err := b.start(ctx, spec); err != nil {
		return err
	}
	if err := b.limits(ctx); err != nil {
		return err
	}
	return b.build(ctx)
}

// check finds what the file, of which these nodes are to be started, wants and this machine has not, before anything is changed.
func (b *builder) check(start []topology.Node) error {
	if err := needMachineRoot(); err != nil {
		return err
	}
	if err := b.checkKept(start); err != nil {
		return err
	}
	if err := needRights(start); err != nil {
		return err
	}
	if err := b.checkKernel(); err != nil {
		return err
	}
	if err := checkIPv6(b.lab, "/"); err != nil {
		return err
	}
	if err := b.preflight(start); err != nil {
		return err
	}
	if err := b.checkGroups(); err != nil {
		return err
	}
	if err := b.checkAttached(); err != nil {
		return err
	}
	for _, name := range externals(b.lab) {
		if err := checkExternal(name); err != nil {
			return err
		}
	}
	return b.chooseStorage(start)
}

// needMachineRoot tells that root is not the machine's but a user namespace's, which has no
// right to idmapped mounts, device nodes and ids of others. user_namespaces(7).
func needMachineRoot() error {
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil || slices.Equal(strings.Fields(string(ids)), []string{"0", "0", "4294967295"}) {
		return nil //nolint:nilerr // no such file: no user namespaces
	}
	return &Error{Err: fmt.Errorf("%w of the machine: this is root of a user namespace", ErrPermission), Remedy: "run it outside of the container"}
}

// close lets go of everything; the lab stays.
func (b *builder) close() {
	if b.mounts != nil {
		b.mounts.close()
	}
	if b.conn != nil {
		_ = b.conn.Close()
	}
	if b.over != nil {
		close(b.over)
	}
	for _, f := range slices.Concat(b.ports, b.transit, []*os.File{b.alive, b.kept, b.table, b.watch}) {
		if f != nil {
			_ = f.Close()
		}
	}
	if b.init != nil {
		_ = b.init.Release()
	}
	b.letGo()
}

// rollback leaves nothing of a lab that did not come up. That ctx has ended does not end it.
func (b *builder) rollback(ctx context.Context) error {
	if b.init != nil {
		_ = b.init.Kill()
		_, _ = b.init.Wait()
		b.init = nil
	}
	if b.keptFresh {
		_ = removeKept(b.lab.Name) // a later up takes up what is left
	}
	b.close()
	if _, err := os.Stat(filepath.Join(b.dir, stateFile)); errors.Is(err, fs.ErrNotExist) {
		return forget(b.dir, b.lab.Name)
	}
	return clean(context.WithoutCancel(ctx), b.dir, b.lab.Name, false)
}

// writeFiles writes the lab's content and the record of what is about to be made.
func (b *builder) writeFiles() error {
	err := failpoint.Hit("write", labFile)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, labFile), b.content, 0o600)
	}
	if err != nil {
		return recordError(b.lab.Name, "write the record", err)
	}
	if err := b.rec.write(b.dir); err != nil {
		return recordError(b.lab.Name, "write the record", err)
	}
	return nil
}

// listen makes the control socket, which only root can reach: its directory is 0700.
func listen(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "control")
	if err = failpoint.Hit("bind", path); err != nil {
		f.Close()
		return nil, err
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
