package attach

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab"
)

// Options are how Attach goes about it.
type Options struct {
	IfAbsent bool // an interface of that name is no error, whoever made it
	Replace  bool // one that nsnet attached is taken away first
	DryRun   bool // decide, and change nothing
	// AnyName is for a request whose interface nobody has named: the first of eth1, eth2 and so on that is free, or that nsnet has
	// attached. AnyPeerName is the same for the other end.
	AnyName, AnyPeerName bool
}

// Result is what Attach did.
type Result struct {
	Record  *Record
	Changed bool
	Elapsed time.Duration
	Notes   []string
}

// Attach gives a target an interface, wholly or not at all. The same request again changes
// nothing; another one for the same interface is lab.ErrConflict and says how it differs.
func Attach(ctx context.Context, q *Request, opt Options) (*Result, error) {
	start := time.Now()
	wrap := func(err error) error {
		var e *Error
		if err == nil || errors.As(err, &e) {
			return err
		}
		return &Error{Target: q.Target.String(), Interface: q.Interface, Err: err}
	}
	if err := q.Check(); err != nil {
		return nil, err
	}
	if q.needsIPv6() {
		if err := lab.NeedIPv6(); err != nil {
			return nil, wrap(err)
		}
	}
	j, err := openJournal(ctx)
	if err != nil {
		return nil, err
	}
	defer j.close()
	t, err := pin(ctx, q.Target)
	if err != nil {
		return nil, err
	}
	defer t.close()
	wanted := *q
	wanted.Target = t.ref // as it is known everywhere
	a := &attachment{q: &wanted, opt: opt, journal: j, target: t}
	defer a.close()
	if err := a.surveyTarget(ctx); err != nil {
		return nil, wrap(err)
	}
	q = a.q
	if err := a.chooseNames(); err != nil {
		return nil, wrap(err)
	}
	res, err := a.existing()
	if err != nil {
		return nil, wrap(err)
	}
	if res != nil && opt.IfAbsent {
		return res, nil
	}
	var notes []string
	if res == nil {
		err = a.surveyFar()
	} else if notes, err = a.mend(res.Record); len(notes) == 0 && err == nil {
		return res, nil
	}
	if err != nil {
		return nil, wrap(err)
	}
	if opt.DryRun && len(notes) > 0 {
		return &Result{Record: res.Record, Changed: true, Notes: notes}, nil
	}
	if res, err = a.make(ctx); err != nil {
		return nil, wrap(err)
	}
	res.Notes = append(notes, res.Notes...)
	res.Elapsed = time.Since(start)
	return res, nil
}

// mend takes away an interface that is not as it was attached, for it to be made anew, and says
// what was wrong with it: nothing, and it stays.
func (a *attachment) mend(r *Record) (notes []string, err error) {
	if r.NIC == nil { // a lent card's other end is nobody's
		if err := a.surveyFar(); err != nil {
			return nil, err
		}
	}
	drift := r.drift(&a.o)
	if len(drift) == 0 {
		return nil, nil
	}
	notes = []string{fmt.Sprintf("%s was not as it had been attached, and is made anew: %s", r.Request.Interface, strings.Join(drift, "; "))}
	if a.opt.DryRun {
		return notes, nil
	}
	if err := a.journal.detach(r, a.target.netns); err != nil {
		return nil, err
	}
	if err := a.lookAtTarget(); err != nil {
		return nil, err
	}
	return notes, a.surveyFar()
}

// openJournal takes the lock over the records.
func openJournal(ctx context.Context) (*journal, error) {
	lock, err := lab.LockHost(ctx)
	if err != nil {
		return nil, err
	}
	return &journal{dir: filepath.Join(lab.RunDir, lab.AttachDir), lock: lock}, nil
}

// attachment is one Attach in progress.
type attachment struct {
	q       *Request
	opt     Options
	journal *journal
	target  *target
	far     *os.File // namespace of the other end
	peer    *target
	resolv  *os.File // the target's resolv.conf, or where it is to have one
	o       observed
}

func (a *attachment) close() {
	a.closeFar()
	if a.peer != nil {
		a.peer.close()
	}
}

// closeFar lets go of what surveyFar has opened.
func (a *attachment) closeFar() {
	if a.peer == nil && a.far != nil {
		_ = a.far.Close()
		a.far = nil
	}
	if a.resolv != nil {
		_ = a.resolv.Close()
		a.resolv = nil
	}
}

// existing deals with an interface of that name that is there. It returns a result where there
// is nothing to do, and neither that nor an error where there is everything to do.
func (a *attachment) existing() (*Result, error) {
	l, exists := a.o.target.link(a.q.Interface)
	list, err := records(a.journal.dir)
	if list == nil && err != nil {
		return nil, err
	}
	id, ours := idOf(l.Alias)
	for _, r := range list {
		if exists && ours && r.ID == id {
			continue // looked at below
		}
		if r.Target.is(a.target.place) && r.Request.Interface == a.q.Interface {
			// It has gone by itself, or its attach was killed. What it has left is put back first.
			if err := a.journal.settle(r, a.target.netns); err != nil {
				return nil, err
			}
			return nil, a.lookAtTarget()
		}
	}
	if !exists {
		return nil, nil
	}
	at := slices.IndexFunc(list, func(r *Record) bool { return ours && r.ID == id })
	if at >= 0 && list[at].state != attached {
		if err := a.journal.settle(list[at], a.target.netns); err != nil {
			return nil, err
		}
		return nil, a.lookAtTarget()
	}
	switch {
	case a.opt.IfAbsent:
		r := &Record{Request: *a.q, Target: a.target.place, MTU: l.MTU, MAC: l.MAC.String()}
		if at >= 0 {
			r = list[at]
		}
		return &Result{Record: r}, nil
	case !ours:
		return nil, a.ofFile() // else decide says that the name is taken
	case at < 0 && err != nil:
		return nil, fmt.Errorf("%w: nsnet attached it, but its record cannot be read: %w; nsnet detach takes it away", lab.ErrConflict, err)
	case at < 0:
		return nil, fmt.Errorf("%w: nsnet attached it, but its record is gone; nsnet detach takes it away", lab.ErrConflict)
	case a.opt.Replace:
		if a.opt.DryRun {
			a.forget(l)
			return nil, nil
		}
		if err := a.journal.detach(list[at], a.target.netns); err != nil {
			return nil, err
		}
		return nil, a.lookAtTarget()
	}
	if d := list[at].difference(a.q); len(d) > 0 {
		another := ""
		if a.opt.AnyName { // nobody means this one, so what is wrong with the request comes first
			if err := a.surveyFar(); err != nil {
				return nil, err
			}
			another = ", or --ifname for another"
		}
		return nil, fmt.Errorf("%w: it is attached already, and differs: %s; take it away with nsnet detach, or give --replace%s", lab.ErrConflict, strings.Join(d, "; "), another)
	}
	return &Result{Record: list[at]}, nil
}

// forget leaves an interface out of what was seen.
func (a *attachment) forget(l rtnl.Link) {
	s := &a.o.target
	s.links = slices.DeleteFunc(s.links, func(x rtnl.Link) bool { return x.Index == l.Index })
	s.addresses = slices.DeleteFunc(s.addresses, func(x rtnl.InterfaceAddress) bool { return x.Index == l.Index })
	s.routes = slices.DeleteFunc(s.routes, func(x rtnl.TableRoute) bool { return x.Index == l.Index })
}

// make decides, writes down, and carries out.
func (a *attachment) make(ctx context.Context) (*Result, error) {
	who, err := draw()
	if err != nil {
		return nil, err
	}
	r, err := decide(a.q, &a.o, who)
	if err != nil {
		return nil, err
	}
	r.Created, r.Target, r.state = time.Now().UTC(), a.target.place, attaching
	if a.peer != nil {
		r.Peer = &a.peer.place
	}
	res := &Result{Record: r, Changed: true}
	if a.opt.DryRun {
		return res, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := a.journal.write(r); err != nil {
		return nil, fmt.Errorf("write its record: %w", err)
	}
	if err := a.carryOut(ctx, r); errors.Is(err, errLeft) {
		return nil, fmt.Errorf("%w; nsnet detach takes back what comes of it", err)
	} else if err != nil {
		if serr := a.journal.settle(r, a.target.netns); serr != nil {
			err = errors.Join(err, serr)
		}
		return nil, explain(err)
	}
	r.state = attached
	res.Notes = append(res.Notes, a.countNotes()...)
	if note := a.announce(ctx, r); note != "" {
		res.Notes = append(res.Notes, note)
	}
	if v := &r.Request.Via; v.Kind == ViaBridge && v.Lab == "" {
		notes, err := bridge.BridgedNotes([]string{v.Name})
		if err != nil {
			notes = []string{err.Error()}
		}
		res.Notes = append(res.Notes, notes...)
	}
	return res, nil
}

// carryOut has everything done. From the start of the worker on it is done, whatever becomes of this process.
func (a *attachment) carryOut(ctx context.Context, r *Record) error {
	dir, err := os.Open(a.journal.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	h := &handles{target: a.target.netns, far: a.far, resolv: a.resolv, dir: dir}
	s, err := r.acts(h, &a.o)
	if err != nil {
		return err
	}
	if r.NIC != nil {
		if err := a.journal.hold(r, a.target.netns); err != nil {
			return fmt.Errorf("hold its network namespace: %w", err)
		}
	}
	return s.carryOut(ctx, h.target, h.far, h.resolv, h.dir, a.journal.lock)
}

// explain gives a refusal of the kernel its remedy.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EXFULL):
		return fmt.Errorf("%w; the bridge has the 1,023 ports that Linux allows", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: %w", lab.ErrUnsupported, err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: %w; somebody made it at the same time, try again", lab.ErrConflict, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w; it is in use by something that does not share it", err)
	}
	return err
}

// draw gives an attachment its identity. Its indexes are above those that the kernel, which counts up
// from 1, and package labinit choose.
func draw() (identity, error) {
	id, err := newID()
	if err != nil {
		return identity{}, err
	}
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		return identity{}, err
	}
	const base, span = 1 << 24, 1<<24 - 1
	n, m := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
	who := identity{id: id, index: base + int(n%span), far: base + int(m%span)}
	if who.far == who.index { // the kernel takes a peer with its own index for none
		who.far++
	}
	return who, nil
}
