package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nsnet/nsnet/lab/index"
)

// Down removes a lab and all that is left of it, whether it runs, is dead, or half up. It
// is no error when there is nothing. It returns when everything is gone.
func Down(ctx context.Context, o DownOptions) (DownResult, error) {
	res, err := down(ctx, o)
	if err != nil || !o.Purge || !validName(o.Name) {
		return res, err
	}
	res.Purged, err = purge(o.Name, o.Of)
	res.Found = res.Found || res.Purged
	return res, err
}

func down(ctx context.Context, o DownOptions) (DownResult, error) {
	start := time.Now()
	res := DownResult{Name: o.Name}
	dir, err := lockLab(ctx, o.Name, false, o.NoWait)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFound) {
		if err := needRoot(); err != nil {
			return res, err
		}
		res.Found, err = sweepWithoutRecord(ctx, o.Name)
		res.Elapsed = time.Since(start)
		return res, err
	}
	if err != nil {
		return res, err
	}
	defer dir.unlock()
	res.Found = true
	if o.Progress != nil {
		o.Progress(Step{Name: "remove"})
	}
	r, err := readRecord(dir.dir)
	if errors.Is(err, errNewer) {
		return res, newer(o.Name, err)
	}
	if err == nil && o.Of != nil && !r.is(originOf(o.Of)) {
		return res, &Error{Lab: o.Name, Err: fmt.Errorf("%w: %s has made it, and not this file", ErrConflict, r.origin), Remedy: "nsnet down " + o.Name + " takes it down, whoever has made it"}
	}
	err = clean(ctx, dir.dir, o.Name, false)
	res.Elapsed = time.Since(start)
	return res, err
}

// refuseNewer keeps from a lab whose record says more than this nsnet understands.
func refuseNewer(dir, name string) error {
	if _, err := readRecord(dir); errors.Is(err, errNewer) {
		return newer(name, err)
	}
	return nil
}

func newer(name string, err error) error {
	return &Error{Lab: name, Op: "remove it", Err: err, Remedy: "use the nsnet that made it; of a lab that is dead, nsnet gc --force removes what can be told without the record"}
}

// sweepWithoutRecord removes what the host still shows of a lab whose record is gone, and reports whether the lab ran.
func sweepWithoutRecord(ctx context.Context, name string) (ran bool, err error) {
	if !validName(name) {
		return false, nil
	}
	if ran, err = endLost(ctx, name); err != nil {
		return ran, &Error{Lab: name, Op: "end its processes", Err: err}
	}
	return ran, errors.Join(removeGroups(ctx, name, nil), removeMarkedRules(name), removeLinks(name, nil), removeNetns(name, nil), removeDNS(dirOf(name), name, nil))
}

// Sweep removes what dead labs left, and labs whose up was killed. Labs that another nsnet
// is working on are left to it. Every command ends with it.
func Sweep(ctx context.Context) error {
	if needRoot() != nil || index.Settled() {
		return nil
	}
	names, err := Names()
	if err != nil {
		return err
	}
	var errs []error
	alive := 0
	for _, n := range names {
		if !isLeft(n) {
			alive++
			continue
		}
		if !hostFree(ctx) {
			return nil
		}
		errs = append(errs, sweepLab(ctx, n, false))
	}
	if alive == 0 {
		errs = append(errs, sweepRunDir(ctx))
	}
	return errors.Join(errs...)
}

// hostFree tells whether the lock that all labs share can be had soon. Who has it may be stopped, and a command that has done its own work
// does not wait for that.
func hostFree(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, dyingTime)
	defer cancel()
	host, err := lockHost(ctx)
	if err != nil {
		return false
	}
	host.Close()
	return true
}

// isLeft tells whether there is only what is left of a lab: its init is dead or, if nobody
// holds the lab's lock, on its way out, because its up was killed before the lab was built. One whose record cannot
// be read is left alone.
func isLeft(name string) bool {
	dir := dirOf(name)
	live := alive(dir)
	if live {
		if _, built := index.Read(dir); built {
			return false
		}
	}
	if unreadable(name) {
		return false // nsnet gc --force
	}
	if !live {
		return true
	}
	r, err := readRecord(dir)
	return err == nil && !r.Built
}

// sweepRunDir removes the record's root if an up was killed before it had more than that.
func sweepRunDir(ctx context.Context) error {
	if names, err := Names(); err != nil || len(names) > 0 {
		return err
	}
	if _, err := os.Stat(RunDir); err != nil {
		return nil //nolint:nilerr // nothing to remove
	}
	wait, cancel := context.WithTimeout(ctx, dyingTime)
	defer cancel()
	host, err := lockHost(wait)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // somebody is at it
	}
	if err != nil {
		return &Error{Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	_ = removeRunDir()
	return nil
}
