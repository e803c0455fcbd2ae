package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/lab/index"
)

// announce writes down what the lab is about to have on the host, on top of what it has, and what it was told to be
// before: that is how what is no longer wanted is known. From here on the lab is what the new file says, in the making.
func (c *change) announce(ctx context.Context) error {
	host, err := lockHost(ctx)
	if err != nil {
		return &Error{Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	now, err := readRecord(c.dir)
	if err != nil {
		return &Error{Op: "read its record", Err: err}
	}
	next := c.future(now)
	if err := c.namesFree(now, next); err != nil {
		return err
	}
	earlier, err := json.Marshal(c.before())
	if err != nil {
		return err
	}
	both := merge(now, next)
	if err := dropIndex(c.dir); err != nil {
		return recordError("", "write the record", err)
	}
	for _, step := range []func() error{
		func() error { return c.replace(earlierFile, earlier) },
		func() error { return dropLimits(c.dir) }, // which earlier has
		func() error { return c.replace(labFile, c.content) },
	} {
		if err := step(); err != nil {
			return recordError("", "write the record", err)
		}
	}
	if err := both.write(c.dir); err != nil {
		return recordError("", "write the record", err)
	}
	c.rec = *both
	if err := c.makeTransit(c.todo.transit, c.seen.routers); err != nil {
		return err
	}
	for i := range c.seen.forwarding {
		if err := bridge.ApplySysctls(c.seen.forwarding[i : i+1]); err != nil {
			return &Error{Op: "turn on the host's forwarding", Err: err}
		}
		c.account.made("~ sysctl " + c.seen.forwarding[i].Path)
	}
	return nil
}

// replace writes a file of the record.
func (c *change) replace(name string, content []byte) error {
	if err := failpoint.Hit("write", name); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(c.dir, name), content, 0o600, renameio.WithTempDir(c.dir))
}

// namesFree looks for strangers' files where the lab names its namespaces, for new nodes and where somebody has replaced a name.
func (c *change) namesFree(now, next *record) error {
	had := make(map[string]bool, len(now.Netns))
	for _, n := range now.Netns {
		had[n] = true
	}
	init := fmt.Sprintf("/proc/%d/", now.InitPID)
	err := c.checkNames(func(name string) bool { return had[name] && strings.HasPrefix(c.seen.names[name], init) },
		func(name string) string {
			return "remove it with ip netns delete " + name + ", or give the node another name"
		})
	if err != nil {
		return err
	}
	for _, n := range next.DNS {
		if is := c.seen.resolv[n]; dns.Foreign(is) {
			return &Error{Node: n, Object: filepath.Join(EtcNetns, c.rec.Name+"."+n, "resolv.conf"), Err: fmt.Errorf("%w: %w", ErrConflict, dns.ErrForeign), Remedy: "remove the file"}
		}
	}
	return nil
}

// future is the record of the lab when it is what it is to be.
func (c *change) future(now *record) *record {
	next := *now
	next.origin, next.Digest, next.Dir, next.Elsewhere = c.rec.origin, c.rec.Digest, c.rec.Dir, c.rec.Elsewhere
	next.claim(c.lab)
	next.NoTable = c.rec.NoTable
	next.Rules = c.seen.rules
	next.Sysctls = append(slices.Clone(now.Sysctls), c.seen.forwarding...)
	next.Limits = now.Limits || c.limited
	if next.Bounded = now.Bounded || c.todo.bound && c.bound != nil; next.Bounded {
		next.Unbounded = ""
	}
	next.Images = c.uses
	next.Work = c.work
	return &next
}

// merge is the record of a lab on the way from one to the other.
func merge(a, b *record) *record {
	u := *b
	u.NAT, u.Limits, u.Bounded = a.NAT || b.NAT, a.Limits || b.Limits, a.Bounded || b.Bounded
	u.Routed = both(a.Routed, b.Routed)
	for _, f := range bridge.Families() {
		if a.needs(f) && !slices.Contains(u.Forwards, f) {
			u.Forwards = append(slices.Clip(u.Forwards), f)
		}
	}
	u.Links, u.Netns, u.DNS = both(a.Links, b.Links), both(a.Netns, b.Netns), both(a.DNS, b.DNS)
	u.Rules = slices.Clone(b.Rules)
	for _, r := range a.Rules {
		if !slices.ContainsFunc(u.Rules, func(o bridge.Rule) bool { return reflect.DeepEqual(o, r) }) {
			u.Rules = append(u.Rules, r)
		}
	}
	u.Images = append(slices.Clone(a.Images), b.Images...)
	u.Work = slices.Clone(a.Work)
	for _, w := range b.Work {
		if !slices.Contains(u.Work, w) {
			u.Work = append(u.Work, w)
		}
	}
	return &u
}

func both(a, b []string) []string { return append(slices.Clone(b), without(a, b)...) }

// without is what of a is not in b.
func without(a, b []string) []string {
	have := make(map[string]bool, len(b))
	for _, s := range b {
		have[s] = true
	}
	var out []string
	for _, s := range a {
		if !have[s] {
			out = append(out, s)
		}
	}
	return out
}

// removeLogs removes the logs of nodes that run no command any more.
func (c *change) removeLogs() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Name()] = true
	}
	var errs []error
	nodes := byName(c.lab.Nodes)
	for _, h := range c.seen.had {
		for i := range h.Nodes {
			name := h.Nodes[i].Name
			if nodes[name] != nil && len(nodes[name].Command) > 0 {
				continue
			}
			for _, f := range logFiles(name) {
				if !there[f] {
					continue
				}
				if err := os.Remove(filepath.Join(c.dir, f)); err != nil && !errors.Is(err, os.ErrNotExist) {
					errs = append(errs, err)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// settle removes from the host what the lab no longer has there, and writes the record of what it has.
func (c *change) settle(ctx context.Context) error {
	host, err := lockHost(ctx)
	if err != nil {
		return &Error{Lab: c.rec.Name, Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	now, err := readRecord(c.dir)
	if err != nil {
		return &Error{Lab: c.rec.Name, Op: "read its record", Err: err}
	}
	next := c.future(now)
	next.Sysctls, next.Kept = now.Sysctls, now.Kept || persists(c.lab)
	// Each that is in use is held by the lab's init.
	held, err := removeWork(now.Work)
	if err != nil {
		return &Error{Lab: c.rec.Name, Op: "remove what it no longer has", Err: err, Remedy: "run the command again"}
	}
	next.Work = held
	gone := *now
	gone.Netns, gone.DNS = without(now.Netns, next.Netns), without(now.DNS, next.DNS)
	errs := []error{removeNetns(c.rec.Name, &gone), removeDNS(c.dir, c.rec.Name, &gone), c.removeLogs()}
	if next.Sysctls, err = releaseSysctls(now, next); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Lab: c.rec.Name, Op: "remove what it no longer has", Err: err, Remedy: "run the command again"}
	}
	if next.Kept {
		if err := ownKept(c.lab); err != nil {
			return err
		}
	}
	err = next.write(c.dir)
	if err == nil {
		err = writeIndex(c.dir, index.New(next.Limits, nodeNames(c.lab)))
	}
	if err != nil {
		return recordError(c.rec.Name, "write the record", err)
	}
	if len(c.lost) > 0 { // what was before counts until all is made
		if err := c.noteMade(ctx); err != nil {
			return recordError(c.rec.Name, "write the record", err)
		}
		return nil
	}
	err = failpoint.Hit("remove", earlierFile)
	if err == nil {
		err = os.Remove(filepath.Join(c.dir, earlierFile))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return recordError(c.rec.Name, "write the record", err)
	}
	return nil
}
