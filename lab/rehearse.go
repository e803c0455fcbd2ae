package lab

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// rehearse has nodes that are to take the place of others that live made beside these, for a moment, before anything is changed: what
// keeps one of them from being made, or its command from being started, is found out while the old one runs on. What they are made of is what
// the new ones will be made of, but that nothing that is kept, and no layer, can be written to. In what is bound the places of further binds are
// made, as they would be, unless it is for a plan, which changes nothing.
func (c *change) rehearse(ctx context.Context, plan bool) error {
	r := &rehearsal{builder: *c.builder, rec: c.seen.rec, plan: plan}
	begin := byName(c.todo.add)
	for i := range c.lab.Nodes {
		n := &c.lab.Nodes[i]
		if begin[n.Name] != nil && c.seen.nodes[n.Name] != nil && c.hasImages(n) {
			r.add(n, c.storage[n.Name])
		}
	}
	if len(r.nodes) == 0 {
		return nil
	}
	if err := c.openMounts(); err != nil {
		return err
	}
	r.mounts = c.mounts
	return r.run(ctx)
}

// hasImages reports whether all images of a node are at hand, as they are for who starts it.
func (b *builder) hasImages(n *topology.Node) bool {
	return !slices.ContainsFunc(storedImages(n), func(i topology.Image) bool { return b.images[i.String()] == nil })
}

// findImages takes the images of nodes from the store, as far as they are there, for who is to change nothing.
func (b *builder) findImages(start []topology.Node) {
	if !slices.ContainsFunc(start, func(n topology.Node) bool { return len(storedImages(&n)) > 0 }) {
		return
	}
	store, err := image.OpenExisting(image.Dir)
	if err != nil {
		return
	}
	store = store.Through(b.files.open)
	b.images = map[string]*image.Image{}
	begin := byName(start)
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		if begin[n.Name] == nil {
			continue
		}
		for _, img := range storedImages(n) {
			if found, err := store.Find(img); err == nil {
				b.images[img.String()] = found
			}
		}
		if own := b.images[n.Image.String()]; n.Image.Stored() && own != nil {
			applyConfig(n, &own.Config)
		}
	}
}

// openMounts begins to make what the nodes to start are made of, of which all images are known.
func (c *change) openMounts() error {
	if c.mounts != nil {
		return nil
	}
	begin := byName(c.todo.add)
	for i := range c.lab.Nodes {
		if n := &c.lab.Nodes[i]; begin[n.Name] != nil && c.hasImages(n) {
			c.nodes = append(c.nodes, *n)
		}
	}
	m, err := newMounter(c.dir)
	if err != nil {
		return &Error{Op: "prepare", Err: err}
	}
	c.mounts = m
	m.files, m.images, m.step, m.keep, m.init = c.files, c.images, c.step, filepath.Join(KeepDir, c.lab.Name), c.seen.rec.InitPID
	m.lab, m.written = c.lab.Name, c.uppers
	if err := m.prepare(c.lab, c.nodes); err != nil {
		return prepareError(err)
	}
	return nil
}

// rehearsal is one in progress. Its builder's nodes are those that are tried.
type rehearsal struct {
	builder
	rec     *record
	plan    bool
	trials  []trial // of these nodes
	answers []error // why what they are made of could not be had
}

// trial is how a node that is tried differs from the one that is to be.
type trial struct {
	apart    topology.Node // in what its unions are made of
	storage  []proto.Storage
	standIns bool // drivers stand in for others, or for those that write: that they fail says nothing
	writes   bool // what is bound can be written to by the one that is to be, and not by this one
}

// add takes a node into the rehearsal.
func (r *rehearsal) add(n *topology.Node, storage []proto.Storage) {
	own, t := *n, trial{storage: slices.Clone(storage)}
	own.Unions, own.Binds = slices.Clone(n.Unions), slices.Clone(n.Binds)
	if t.standIns = copiesRoot(n); t.standIns {
		own.Storage = topology.StorageOverlay
	}
	for i := range own.Unions {
		u := &own.Unions[i]
		t.standIns = t.standIns || u.Writes() || t.storage[i+1].Driver != topology.StorageOverlay
		u.Layers = slices.Clone(u.Layers)
		for j := range u.Layers {
			u.Layers[j].Writable = false
		}
	}
	for i := range t.storage {
		t.storage[i].Driver = topology.StorageOverlay
	}
	for i := range own.Binds {
		t.writes = t.writes || r.plan && !own.Binds[i].ReadOnly
		own.Binds[i].ReadOnly = own.Binds[i].ReadOnly || r.plan
	}
	kept := keptBy(filepath.Join(KeepDir, r.lab.Name), n.Name)
	own.Writable.Persist = n.Writable.Persist && isThere(filepath.Join(kept, rootTree, "upper"))
	t.apart = own
	t.apart.Unions = slices.Clone(own.Unions)
	for i := range t.apart.Unions {
		u := &t.apart.Unions[i]
		if dir := filepath.Join(kept, unionTree(u.Path), "upper"); n.Writable.Persist && !n.Unions[i].Writes() && isThere(dir) {
			u.Layers = slices.Insert(slices.Clone(u.Layers), 0, topology.Layer{Image: topology.Image{Kind: topology.ImageDir, Path: dir}})
		}
	}
	t.apart.Writable.Persist = false
	r.nodes, r.trials, r.answers = append(r.nodes, own), append(r.trials, t), append(r.answers, nil)
}

func isThere(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// run has the lab's init try the nodes.
func (r *rehearsal) run(ctx context.Context) error {
	setups, common, err := r.setupNodes()
	if err != nil {
		return err
	}
	for i := range setups {
		setups[i].Tried = true
	}
	if err := r.mounts.prepared(); err != nil {
		return prepareError(err)
	}
	m := *r.mounts
	m.turn, m.step = "tried-", nil
	conn, err := dial(r.rec.Name)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := proto.Send(conn, proto.Try, proto.TrySpec{Nodes: r.nodes, Setups: setups, Common: common}); err != nil {
		return &Error{Op: "ask the lab's init", Err: err}
	}
	for {
		k, body, fds, err := conn.Receive()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if hasGone(err) { // an older nsnet's, which tries nothing, or it has ended, which the change finds out
				return nil
			}
			return &Error{Op: "ask the lab's init", Err: err}
		}
		switch k {
		case proto.Node:
			var at proto.NodeIndex
			err := proto.Decode(body, &at)
			if err == nil && (at.Index < 0 || at.Index >= len(setups)) {
				err = unix.EBADMSG
			}
			if err == nil {
				err = r.give(&m, at, fds, &setups[at.Index], conn)
			}
			closeFDs(fds)
			if err != nil {
				return err
			}
		case proto.Tried:
			closeFDs(fds)
			var report proto.TriedReport
			if err := proto.Decode(body, &report); err != nil {
				return err
			}
			return r.verdict(&report)
		case proto.Failed:
			closeFDs(fds)
			return initFailure(body)
		default:
			closeFDs(fds)
		}
	}
}

// give gives a node that is tried its mounts, none where these cannot be made.
func (r *rehearsal) give(m *mounter, at proto.NodeIndex, fds []int, setup *proto.NodeSetup, conn *container.Conn) error {
	userns, base := -1, uint32(0)
	if len(fds) > 1 {
		userns, base = fds[1], r.rec.ids().of(at.Slot)
	}
	var got nodeMounts
	n, t := &r.nodes[at.Index], &r.trials[at.Index]
	r.answers[at.Index] = m.do(func() error {
		if err := m.root(&got, n, setup, userns, base); err != nil {
			return err
		}
		if err := m.unions(&got, &t.apart, t.storage, userns, base); err != nil {
			return err
		}
		return m.binds(&got, n, userns, base)
	})
	defer got.close()
	reply := proto.NodeIndex{Index: at.Index}
	if r.answers[at.Index] != nil {
		return proto.Send(conn, proto.Mounts, reply)
	}
	reply.Dirs, reply.Uppers = got.dirs, got.paths
	return proto.Send(conn, proto.Mounts, reply, slices.Concat(got.fds, got.uppers)...)
}

// verdict is why the first of the nodes that cannot be made cannot be, nil where nothing is known against any.
func (r *rehearsal) verdict(report *proto.TriedReport) error {
	failed := map[string]*proto.Failure{}
	for i := range report.Failed {
		failed[report.Failed[i].Node] = &report.Failed[i]
	}
	for i := range r.nodes {
		t, name := &r.trials[i], r.nodes[i].Name
		if err := r.answers[i]; err != nil {
			if t.standIns {
				continue
			}
			return &Error{Node: name, Op: "prepare its mounts", Err: err}
		}
		if f := failed[name]; f != nil && !t.saysNothing(f) {
			return failureError(f)
		}
	}
	return nil
}

// saysNothing reports whether a failure may be one of the trial alone.
func (t *trial) saysNothing(f *proto.Failure) bool {
	switch {
	case t.standIns && strings.HasPrefix(f.Text, "mount the "): // of the root
		return true
	case t.writes && f.Errno == uint32(unix.EROFS): // a target that is to be made in what is bound
		return true
	}
	return false
}
