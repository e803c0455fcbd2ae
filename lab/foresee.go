package lab

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/topology"
)

// foresee returns what an up of a lab that does not run would be refused, as far as that can be known without making anything.
// Images that the store has not are left out: only the registry knows.
func foresee(ctx context.Context, l *topology.Lab, replace bool) error {
	b, err := newForesight(l, replace)
	if err != nil {
		return err
	}
	defer b.close()
	return b.wrapRefusal(ctx, b.foresee())
}

// foreseeChange is foresee for a lab that runs, of which it was found out what there is to do.
func foreseeChange(ctx context.Context, l *topology.Lab, seen *observed, todo *difference, try, replace bool) error {
	if seen.noSysctl == nil && len(todo.actions) == 0 {
		return nil // up would not look any further
	}
	b, err := newForesight(l, replace)
	if err != nil {
		return err
	}
	defer b.close()
	return b.wrapRefusal(ctx, b.foreseeChange(ctx, seen, todo, try))
}

// newForesight is a builder that is to make nothing. Its lab is a copy, in which up fills in what it chooses.
func newForesight(l *topology.Lab, replace bool) (*builder, error) {
	content, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	own := *l
	own.Nodes = slices.Clone(l.Nodes)
	return &builder{dir: dirOf(l.Name), lab: &own, replace: replace, content: content, given: byName(l.Nodes), files: filesOf(l), rec: record{Name: l.Name}}, nil
}

func (b *builder) wrapRefusal(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return b.wrap(ctx, err, "")
}

func (b *builder) foresee() error {
	if err := refuseNewer(b.dir, b.lab.Name); err != nil {
		return err
	}
	if err := b.check(b.lab.Nodes); err != nil {
		return err
	}
	if err := trySysctls(pointers(b.lab.Nodes)); err != nil {
		return err
	}
	// What a dead lab of this name has left is removed first.
	var left []string
	if r, err := readRecord(b.dir); err == nil {
		left = r.Netns
	}
	if err := b.decide(func(name string) bool { return slices.Contains(left, name) }); err != nil {
		return err
	}
	if err := b.planWires(); err != nil {
		return err
	}
	var ports []openPort
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		for _, p := range n.Ports {
			ports = append(ports, openPort{n.Name, p})
		}
	}
	if _, err := b.listenNow(ports, nil); err != nil {
		return err
	}
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		if n.DNS == nil {
			continue
		}
		is, err := dns.ReadNetns(EtcNetns, b.lab.Name, n.Name)
		if errors.Is(err, dns.ErrForeign) || err == nil && dns.Foreign(is) {
			at := filepath.Join(EtcNetns, b.lab.Name+"."+n.Name, "resolv.conf")
			return resolvError(n.Name, &fs.PathError{Op: "write", Path: at, Err: dns.ErrForeign})
		}
	}
	return nil
}

func (b *builder) foreseeChange(ctx context.Context, seen *observed, todo *difference, try bool) error {
	if seen.noSysctl != nil {
		return seen.noSysctl
	}
	if err := b.check(todo.add); err != nil {
		return err
	}
	if err := trySysctls(todo.tried(b.lab)); err != nil {
		return err
	}
	c := &change{builder: b, seen: seen, todo: todo}
	if err := c.lookEarly(ctx); err != nil {
		return err
	}
	if try {
		b.findImages(todo.add)
		if err := c.rehearse(ctx, true); err != nil {
			return err
		}
	}
	if err := c.listenFirst(); err != nil {
		return err
	}
	c.rec.claim(b.lab)
	return c.namesFree(seen.rec, &c.rec)
}

// probeDir returns a directory that a file system can be mounted on, in a mount namespace of nobody else, and has
// it taken away. It is the lab's own where there is one: what is only looked at has none.
func (b *builder) probeDir() (dir string, remove func(), err error) {
	if _, err := os.Stat(b.dir); !errors.Is(err, unix.ENOENT) {
		return b.dir, func() {}, err
	}
	dir, err = os.MkdirTemp("", "nsnet-")
	return dir, func() { _ = os.Remove(dir) }, err
}

// existing returns the first of a path and the directories above it that is there.
func existing(path string) string {
	for path != "/" {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}
