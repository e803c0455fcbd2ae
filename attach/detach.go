package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab"
)

// DetachResult is what Detach did.
type DetachResult struct {
	Detached []*Record
	Elapsed  time.Duration
}

// Detach takes an interface away that Attach has made, or with All every one of the target, and
// puts back what that had changed. What is not there, or whose target is dead, is no error.
func Detach(ctx context.Context, ref Ref, iface string, all bool) (*DetachResult, error) {
	start := time.Now()
	j, err := openJournal(ctx)
	if err != nil {
		return nil, err
	}
	defer j.close()
	list, unread := records(j.dir)
	res := &DetachResult{}
	t, err := pin(ctx, ref)
	if err != nil {
		if !errors.Is(err, lab.ErrNotFound) && !errors.Is(err, lab.ErrNotRunning) {
			return nil, err
		}
		// It is dead. What is left of it is what was recorded under its name.
		list = slices.DeleteFunc(list, func(r *Record) bool { return r.Request.Target != ref })
	} else {
		defer t.close()
	}
	var errs []error
	for _, r := range list {
		var ns *os.File
		if t != nil {
			here, name := r.Target.is(t.place), r.Request.Interface
			if here {
				ns = t.netns
			} else if here = r.Peer != nil && r.Peer.is(t.place); here {
				name = r.Request.Via.Interface // the other end of a cable to it
			}
			if !here || !all && name != iface {
				continue
			}
		} else if !all && r.Request.Interface != iface {
			continue
		}
		if err := j.detach(r, ns); err != nil {
			errs = append(errs, &Error{Target: ref.String(), Interface: r.Request.Interface, Op: "detach", Err: err})
			continue
		}
		res.Detached = append(res.Detached, r)
	}
	if t != nil && len(errs) == 0 {
		lost, err := unrecorded(t, iface, all)
		res.Detached = append(res.Detached, lost...)
		errs = append(errs, err)
	}
	res.Elapsed = time.Since(start)
	if len(res.Detached) == 0 {
		errs = append(errs, unread) // what was asked for may be among them
	}
	return res, errors.Join(errs...)
}

// unrecorded takes away interfaces that bear the mark and of which nothing is recorded, as after
// somebody has emptied the directory. One without the mark is somebody else's.
func unrecorded(t *target, iface string, all bool) ([]*Record, error) {
	c, err := rtnl.Dial(t.netns)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	var gone []*Record
	for _, l := range links {
		if !all && l.Name != iface {
			continue
		}
		if _, ours := idOf(l.Alias); !ours {
			if !all {
				return gone, &Error{Target: t.ref.String(), Interface: iface, Err: fmt.Errorf("%w: nsnet has not attached it", lab.ErrConflict), Remedy: "nsnet ps lists what is attached"}
			}
			continue
		}
		if err := c.Do(rtnl.DeleteIndex(l.Index, "delete "+l.Name)); err != nil && !errors.Is(err, unix.ENODEV) {
			return gone, &Error{Target: t.ref.String(), Interface: l.Name, Err: err}
		}
		gone = append(gone, &Record{Request: Request{Target: t.ref, Interface: l.Name}, Target: t.place})
	}
	return gone, nil
}

// detach takes away what a record stands for, and the record. ns is the target's namespace if
// it is at hand. Killed half-way it is finished by settle.
func (j *journal) detach(r *Record, ns *os.File) error {
	if r.state == attached {
		if err := j.mark(r, detaching); err != nil {
			return fmt.Errorf("mark its record: %w", err)
		}
	}
	return j.settle(r, ns)
}

// settle ends a record: whatever there still is of it goes, what it had changed comes back. It
// may be called again, and for what has gone by itself.
func (j *journal) settle(r *Record, ns *os.File) error {
	if ns == nil {
		f, ok := j.find(r)
		if !ok {
			if err := r.welcome(); err != nil {
				return err
			}
			return j.forget(r)
		}
		defer f.Close()
		ns = f
	}
	c, err := rtnl.Dial(ns)
	if err != nil {
		return err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return err
	}
	if err := j.handDown(r); err != nil {
		return err
	}
	there := slices.IndexFunc(links, r.owns)
	switch {
	case r.NIC != nil:
		err = r.bringHome(c, there >= 0)
	case there >= 0 || len(r.Former) > 0:
		err = r.unlink(c, there >= 0)
	}
	if err == nil {
		err = r.restoreResolv(ns)
	}
	if err != nil {
		return err
	}
	return j.forget(r)
}

// handDown gives the default routes that a record has set aside to whoever has set this one's aside
// since: to put back when that one goes.
func (j *journal) handDown(r *Record) error {
	if len(r.Former) == 0 {
		return nil
	}
	all, err := records(j.dir)
	if all == nil && err != nil {
		return err
	}
	for _, heir := range all {
		if heir.ID == r.ID || !heir.Target.is(r.Target) {
			continue
		}
		former, changed := inherit(heir.Former, r)
		if !changed {
			continue
		}
		heir.Former = former
		if err := j.rewrite(heir); err != nil {
			return fmt.Errorf("hand its former default route down: %w", err)
		}
	}
	return nil
}

// inherit replaces routes through r's interface by those that r had replaced, of the same family.
func inherit(former [][]byte, r *Record) (out [][]byte, changed bool) {
	for _, raw := range former {
		mine, err := rtnl.ParseRoute(raw)
		if err != nil || mine.Index != r.Index {
			out = append(out, raw)
			continue
		}
		changed = true
		for _, older := range r.Former {
			if t, err := rtnl.ParseRoute(older); err == nil && t.To == mine.To {
				out = append(out, older)
			}
		}
	}
	return out, changed
}

// find opens the namespace of a record: the one that was held for it, or one that still is.
func (j *journal) find(r *Record) (*os.File, bool) {
	if r.NIC != nil {
		if f, ok := openNetns(j.path(r.ID, held), r.Target); ok {
			return f, true
		}
	}
	return r.Target.open()
}

// unlink deletes the interface and puts the former default routes back, in one datagram, so
// that there is no moment without one and no kill in between.
func (r *Record) unlink(c *rtnl.Conn, there bool) error {
	var restore []rtnl.Request
	for _, raw := range r.Former {
		restore = append(restore, rtnl.RestoreRoute(raw, 0, "put the former default route back"))
	}
	if there {
		if err := c.Do(append([]rtnl.Request{rtnl.DeleteIndex(r.Index, "delete "+r.Request.Interface)}, restore...)...); err != nil && !errors.Is(err, unix.ENODEV) {
			return benign(err)
		}
	}
	// Once more: what was refused behind the first error is not told.
	for _, q := range restore {
		if err := benign(c.Do(q)); err != nil {
			return err
		}
	}
	return nil
}

// benign leaves out the failures to put back a route that is there, or cannot be any more
// because its interface is gone or down.
func benign(err error) error {
	for _, e := range []error{unix.EEXIST, unix.ENODEV, unix.ENETUNREACH, unix.ENETDOWN, unix.EINVAL} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// bringHome brings a lent card back to the host as it was. there tells whether it is still in
// the target's namespace; else it has come home by itself or is on its way.
func (r *Record) bringHome(c *rtnl.Conn, there bool) error {
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer host.Close()
	h, err := rtnl.Dial(nil)
	if err != nil {
		return err
	}
	defer h.Close()
	if there {
		err := c.Do(r.moveHome(host, r.NIC.Index))
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
			// Its index is another's by now, or its name.
			err = c.Do(r.moveHome(host, 0))
		}
		if err != nil {
			return err
		}
	}
	for _, raw := range r.Former {
		if err := benign(c.Do(rtnl.RestoreRoute(raw, 0, "put the former default route back"))); err != nil {
			return err
		}
	}
	return r.settleIn(h)
}

// welcome puts right a card of hardware that the kernel has brought home, with the name and the mark that it had inside: where the mount
// that keeps its namespace is gone, as with the mount namespace of the command that made it.
func (r *Record) welcome() error {
	if r.NIC == nil {
		return nil
	}
	h, err := rtnl.Dial(nil)
	if err != nil {
		return err
	}
	defer h.Close()
	links, err := h.Links()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Alias == alias(r.ID) })
	if at < 0 {
		return nil // it never left, or was deleted with the namespace as all but hardware are
	}
	if err := h.Do(rtnl.Change{Index: links[at].Index, Rename: r.NIC.Name, Alias: &r.NIC.Alias}.Request("rename " + links[at].Name + " to " + r.NIC.Name)); err != nil {
		return err
	}
	return r.settleIn(h)
}

// settleIn makes a card that is on the host what it was there.
func (r *Record) settleIn(h *rtnl.Conn) error {
	links, err := h.Links()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == r.NIC.Name && l.MAC.String() == r.MAC })
	if at < 0 {
		at = slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == r.NIC.Name && l.Index == r.NIC.Index })
	}
	if at < 0 {
		return nil // unplugged, or deleted by its owner
	}
	var first error
	for _, s := range r.NIC.Settings {
		if err := os.WriteFile(s.Path, []byte(s.Value), 0); err != nil && !errors.Is(err, os.ErrNotExist) && first == nil {
			first = err
		}
	}
	for _, q := range r.NIC.restore(links[at].Index, indexes(links)) {
		if err := benign(h.Do(q)); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// hold keeps the target's namespace, and in it the NIC, until the NIC is home: the kernel brings
// home what is hardware, without its addresses, and deletes what is not.
func (j *journal) hold(r *Record, ns *os.File) error {
	path := j.path(r.ID, held)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	_ = f.Close()
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), path, "", unix.MS_BIND, "")
}

// forget removes a record, after what was held for it.
func (j *journal) forget(r *Record) error {
	if r.NIC != nil {
		path := j.path(r.ID, held)
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("let go of its network namespace: %w", err)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return j.remove(r)
}
