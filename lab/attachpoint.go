package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// LockHost takes the lock over what the labs of this host and interfaces attached to other
// containers share. Closing the file gives it back, and so does the end of the last process
// that has it open.
func LockHost(ctx context.Context) (*os.File, error) {
	if err := needRoot(); err != nil {
		return nil, err
	}
	f, err := lockHost(ctx)
	if err != nil {
		return nil, recordError("", "lock the host's record", err)
	}
	return f, nil
}

// TidyRunDir removes RunDir when nothing is left in it. The caller holds LockHost's lock.
func TidyRunDir() { _ = removeRunDir() }

// NodeNetns opens the network namespace of a node that lives, and tells the pid of its init as
// this process sees it. The descriptor is the lab init's own, which no other process can have
// taken the place of.
func NodeNetns(ctx context.Context, name, node string) (*os.File, int, error) {
	var ns *os.File
	pid := 0
	err := whileAlive(name, func(l *topology.Lab, init int) error {
		if !hasNode(l, node) {
			return &Error{Lab: name, Node: node, Err: ErrNotFound, Remedy: "nsnet ps " + name + " lists its nodes"}
		}
		states, err := nodeStates(ctx, name)
		if err != nil {
			return err
		}
		s, there := states[node]
		if !there || s.State == StateDead {
			return notRunning(name, node, there)
		}
		pid = s.PID
		path := filepath.Join(NetnsDir, name+"."+node)
		target, err := os.Readlink(path)
		if err != nil || !strings.HasPrefix(target, fmt.Sprintf("/proc/%d/", init)) || filepath.Clean(target) != target {
			return &Error{Lab: name, Node: node, Op: "open its network namespace", Err: fmt.Errorf("%s does not lead to it", path), Remedy: "nsnet up with the lab's file mends it"}
		}
		if ns, err = os.Open(target); err != nil {
			return &Error{Lab: name, Node: node, Op: "open its network namespace", Err: err}
		}
		return nil
	})
	if err != nil {
		if ns != nil {
			_ = ns.Close()
		}
		return nil, 0, err
	}
	return ns, pid, nil
}

// Fabric opens the network namespace of a running lab's bridges, and tells what the lab is.
func Fabric(name string) (*os.File, *topology.Lab, error) {
	var ns *os.File
	var lab *topology.Lab
	err := whileAlive(name, func(l *topology.Lab, init int) (err error) {
		lab = l
		if ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", init)); err != nil {
			return &Error{Lab: name, Op: "open its fabric", Err: err}
		}
		return nil
	})
	if err != nil {
		if ns != nil {
			_ = ns.Close()
		}
		return nil, nil, err
	}
	return ns, lab, nil
}

// whileAlive calls f with what a lab is and the pid of its init. The lab lived before and
// after, so that the pid was its own all the time.
func whileAlive(name string, f func(*topology.Lab, int) error) error {
	return whileBuilt(name, func(init int) error {
		l, err := readLab(dirOf(name))
		if err != nil {
			return &Error{Lab: name, Op: "read its record", Err: err}
		}
		return f(l, init)
	})
}

// whileBuilt is whileAlive without a look at what the lab is.
func whileBuilt(name string, f func(init int) error) error {
	if err := needRoot(); err != nil {
		return err
	}
	if !validName(name) {
		return noLab(name)
	}
	dir := dirOf(name)
	built, err := isBuilt(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return noLab(name)
	}
	if err != nil {
		return &Error{Lab: name, Op: "read its record", Err: err}
	}
	gone := &Error{Lab: name, Err: ErrNotRunning, Remedy: "bring it up with nsnet up"}
	p, err := findInit(dir)
	if err != nil {
		return &Error{Lab: name, Op: "find its init", Err: err}
	}
	if p == nil || !built {
		return gone
	}
	defer p.close()
	if err := f(p.pid); err != nil {
		return err
	}
	if unix.PidfdSendSignal(p.pidfd, 0, nil, 0) != nil {
		return gone
	}
	return nil
}
