package attach

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab"
)

// State says how an attached interface is.
type State string

// The states of an attachment.
const (
	Attached State = "attached"
	// Unplugged is one whose bridge is gone, or has lost its port, where the target and its end are still there.
	Unplugged State = "unplugged"
	Gone      State = "gone" // the target is dead, or has lost the interface; Sweep forgets it
)

// sweepPatience bounds the wait for who has the records' lock.
const sweepPatience = 3 * time.Second

// Status is what ps shows of an attachment.
type Status struct {
	ID string `json:"id"`
	// Target is what it was attached to, in words.
	Target    string   `json:"target"`
	Interface string   `json:"interface"`
	Via       string   `json:"via"`
	State     State    `json:"state"`
	MAC       string   `json:"mac"`
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses"`
	Port      string   `json:"port,omitempty"` // the other end's name, where that is
	PID       int      `json:"pid,omitempty"`
	Ref       Ref      `json:"ref"`
	// Peer is the other end of a cable to a second target.
	Peer *PeerStatus `json:"peer,omitempty"`
}

// PeerStatus is the end of a cable that a second target has.
type PeerStatus struct {
	Ref       Ref      `json:"ref"`
	Interface string   `json:"interface"`
	MAC       string   `json:"mac"`
	Addresses []string `json:"addresses"`
}

// List tells what is attached on this host, oldest first.
func List(_ context.Context) ([]Status, error) {
	j := &journal{dir: filepath.Join(lab.RunDir, lab.AttachDir)}
	all, err := records(j.dir)
	out := []Status{}
	far := fars{}
	defer far.close()
	for _, r := range all {
		s := Status{ID: r.ID, Target: r.Request.Target.String(), Ref: r.Request.Target, Interface: r.Request.Interface, Via: r.Request.Via.String(),
			MAC: r.MAC, MTU: r.MTU, Port: r.Port, PID: r.Target.PID, State: Gone, Addresses: []string{}}
		if j.lives(r) {
			s.State = Attached
			if far.unplugged(r) {
				s.State = Unplugged
			}
		}
		for _, p := range r.Addresses {
			s.Addresses = append(s.Addresses, p.String())
		}
		if v := &r.Request.Via; v.Kind == ViaPeer {
			s.Peer = &PeerStatus{Ref: v.Peer, Interface: v.Interface, MAC: r.HostMAC, Addresses: []string{}}
			for _, p := range v.Addresses {
				s.Peer.Addresses = append(s.Peer.Addresses, p.String())
			}
		}
		out = append(out, s)
	}
	return out, err
}

// fars are connections to network namespaces of bridges, by lab, "" is the host: nil where there is none.
type fars map[string]*rtnl.Conn

func (f fars) close() {
	for _, c := range f {
		if c != nil {
			c.Close()
		}
	}
}

// to is the namespace of a lab's bridges, or of the host's, nil where it cannot be looked at.
func (f fars) to(name string) *rtnl.Conn {
	c, known := f[name]
	if known {
		return c
	}
	var ns *os.File
	var err error
	if name != "" {
		if ns, _, err = lab.Fabric(name); err == nil {
			defer ns.Close()
		}
	}
	if err == nil {
		c, err = rtnl.Dial(ns)
	}
	if err != nil {
		c = nil
	}
	f[name] = c
	return c
}

// unplugged reports whether the port of an attached interface has left its bridge. If the kernel cannot be asked, it reports false.
func (f fars) unplugged(r *Record) bool {
	v := &r.Request.Via
	if v.Kind != ViaBridge || r.FarIndex == 0 {
		return false
	}
	c := f.to(v.Lab)
	if c == nil {
		return false
	}
	l, err := c.Link(r.FarIndex)
	return err == nil && l.Alias == alias(r.ID) && l.Master == 0
}

// lives tells whether a record's interface is there, in a namespace that somebody uses. In doubt it is: of one that is not,
// callers take away what is left.
func (j *journal) lives(r *Record) bool {
	if r.state != attached {
		return false
	}
	ns, ok := r.Target.open()
	if !ok {
		return false
	}
	defer ns.Close()
	has, err := r.has(ns)
	return has || err != nil
}

// has tells whether the interface is in a namespace.
func (r *Record) has(ns *os.File) (bool, error) {
	c, err := rtnl.Dial(ns)
	if err != nil {
		return false, err
	}
	defer c.Close()
	l, err := c.Link(r.Index)
	if errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return err == nil && r.owns(l), err
}

// Sweep finishes what killed commands have begun, and puts back what interfaces that have gone
// by themselves had changed: it brings lent cards of dead targets home. Without attachments it
// costs one look at a directory.
func Sweep(ctx context.Context) error {
	dir := filepath.Join(lab.RunDir, lab.AttachDir)
	list, err := records(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil // they are root's, and a command that needs them has said so
	}
	if len(list) == 0 {
		return err
	}
	look := &journal{dir: dir}
	if !slices.ContainsFunc(list, func(r *Record) bool { return !look.lives(r) }) {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, sweepPatience)
	defer cancel()
	j, err := openJournal(wait)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // who has the lock may be stopped, and a command that has done its work does not wait for that
	}
	if err != nil {
		return err
	}
	defer j.close()
	list, err = records(dir) // now that nobody else is at it
	errs := []error{err, j.tidy()}
	for _, r := range list {
		if j.lives(r) {
			continue
		}
		if err := j.settle(r, nil); err != nil {
			errs = append(errs, &Error{Target: r.Request.Target.String(), Interface: r.Request.Interface, Op: "clean up", Err: err})
		}
	}
	return errors.Join(errs...)
}
