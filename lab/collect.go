package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/cgroups"
)

// Leftover is something on the host that no lab needs any more.
type Leftover struct {
	Kind string `json:"kind"` // "lab", "cgroup", "netns", "resolv.conf", "link" or "rule"
	Name string `json:"name"`
	Lab  string `json:"lab"`
	Kept string `json:"kept,omitempty"` // why it is not removed

	remove func(context.Context) error
}

const kindGroup = "cgroup"

// CollectOptions are what Collect needs to know.
type CollectOptions struct {
	DryRun bool // only tell
	Force  bool // labs whose records cannot be read, too, by what the kernel tells of them
}

// youngest is how old a control group without a record and without a process must be: an nsnet that has a /run of its own,
// as in a container, may be about to use it.
const youngest = time.Minute

// Collect removes what dead labs have left, and tells of it. It does what Sweep does, and looks for what no record tells of
// any more. Only what has nsnet's mark is looked at, and nothing is touched of a lab that has a record or whose init lives.
// What could not be removed is in the error.
func Collect(ctx context.Context, o CollectOptions) ([]Leftover, error) {
	if err := needRoot(); err != nil {
		return nil, err
	}
	all, err := deadLabs(o.Force)
	if err != nil {
		return nil, err
	}
	errs := []error{removeAll(ctx, all, o.DryRun)}
	orphans, err := orphans()
	errs = append(errs, err, removeAll(ctx, orphans, o.DryRun))
	if !o.DryRun {
		errs = append(errs, sweepRunDir(ctx))
	}
	return append(all, orphans...), errors.Join(errs...)
}

func removeAll(ctx context.Context, all []Leftover, dry bool) error {
	var errs []error
	for i := range all {
		l := &all[i]
		if dry || l.Kept != "" {
			continue
		}
		err := l.remove(ctx)
		var busy *cgroups.Busy
		if errors.As(err, &busy) && l.Kind == kindGroup && errors.Is(err, unix.EBUSY) {
			l.Kept = "processes are in it that cannot be seen from here, as those of another container"
			continue
		}
		if err != nil {
			errs = append(errs, &Error{Lab: l.Lab, Op: "remove the " + l.Kind, Object: l.Name, Err: err})
			l.Kept = err.Error()
		}
	}
	return errors.Join(errs...)
}

// deadLabs are labs that have a record and do not live.
func deadLabs(force bool) ([]Leftover, error) {
	names, err := Names()
	if err != nil {
		return nil, err
	}
	var all []Leftover
	for _, n := range names {
		live := alive(dirOf(n))
		_, rerr := readRecord(dirOf(n))
		unreadable := rerr != nil && !errors.Is(rerr, fs.ErrNotExist)
		l := Leftover{Kind: "lab", Name: n, Lab: n}
		switch {
		case unreadable && live:
			l.Kept = "it runs, and its record cannot be read: " + rerr.Error()
		case unreadable && !force:
			l.Kept = "its record cannot be read: " + rerr.Error() + "; --force removes what can be told without it"
		case !unreadable && !isLeft(n):
			continue
		}
		l.remove = func(ctx context.Context) error { return sweepLab(ctx, n, force) }
		all = append(all, l)
	}
	return all, nil
}

// sweepLab removes what a lab has left, unless another nsnet is at work on it.
func sweepLab(ctx context.Context, name string, force bool) error {
	wait, cancel := context.WithTimeout(ctx, dyingTime)
	defer cancel()
	dir, err := lockLab(wait, name, false, !heldByTheDead(name))
	if err != nil {
		return nil //nolint:nilerr // gone, or somebody is at it
	}
	defer dir.unlock()
	if isLeft(name) || force && !alive(dir.dir) {
		return clean(ctx, dir.dir, name, false)
	}
	return nil
}

// unreadable tells whether a lab has a record that this nsnet cannot read. What else the record holds is not known then, above
// all the former values of sysctls.
func unreadable(name string) bool {
	_, err := readRecord(dirOf(name))
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// orphans are what the host shows of labs that have no record.
func orphans() ([]Leftover, error) {
	used, err := usedNames()
	if err != nil {
		return nil, err
	}
	var all []Leftover
	var errs []error
	for _, look := range []func(names) ([]Leftover, error){orphanGroups, orphanNetns, orphanFiles, orphanLinks, orphanRules} {
		found, err := look(used)
		all, errs = append(all, found...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// names are of labs.
type names []string

func (n names) has(lab string) bool { return slices.Contains(n, lab) }

// hasOneOf tells whether the name LAB.NODE may be of one of the labs. Both parts may have dots.
func (n names) hasOneOf(name string) bool {
	return slices.ContainsFunc(n, func(lab string) bool { return strings.HasPrefix(name, lab+".") })
}

// usedNames are the labs that have a record, and those whose inits live.
func usedNames() (names, error) {
	recorded, err := Names()
	if err != nil {
		return nil, err
	}
	living, err := livingInits("/proc")
	return slices.AppendSeq(names(recorded), maps.Values(living)), err
}

func orphanGroups(used names) ([]Leftover, error) {
	h, err := cgroups.Probe()
	if err != nil {
		return nil, err
	}
	labs, err := h.Labs()
	if err != nil {
		return nil, err
	}
	var all []Leftover
	for _, n := range labs {
		if used.has(n) || !validName(n) {
			continue
		}
		since, empty, err := h.Idle(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its own down was faster
		}
		if err != nil {
			return all, err
		}
		l := Leftover{Kind: kindGroup, Name: "nsnet/" + n, Lab: n, remove: func(ctx context.Context) error { return h.RemoveEmpty(ctx, n) }}
		switch {
		case !empty:
			l.Kept = "processes are in it; nsnet down " + n + " ends them"
		case since < youngest:
			l.Kept = fmt.Sprintf("it was made %d seconds ago, and another nsnet may be about to use it", int(since.Seconds()))
		}
		all = append(all, l)
	}
	return all, nil
}

func orphanRules(used names) ([]Leftover, error) {
	rules, err := bridge.Marked()
	if err != nil {
		return nil, err
	}
	var all []Leftover
	for _, r := range rules {
		if used.has(r.Lab) {
			continue
		}
		all = append(all, Leftover{Kind: "rule", Name: fmt.Sprintf("%s %s %s", r.Family, r.Chain, strings.Join(r.Spec, " ")), Lab: r.Lab,
			remove: func(context.Context) error { return bridge.Remove([]bridge.Rule{r.Rule}) }})
	}
	return all, nil
}
