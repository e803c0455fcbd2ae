package lab

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Logs prints what a node's command has written, the last MiB at least. With Follow it goes
// on until ctx ends, or the command does.
func Logs(ctx context.Context, o LogsOptions) error {
	path := filepath.Join(dirOf(o.Lab), o.Node+".log")
	wrap := func(err error) error { return &Error{Lab: o.Lab, Node: o.Node, Op: "read its log", Err: err} }
	cur, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Lab: o.Lab, Node: o.Node, Err: ErrNotFound, Op: "logs", Remedy: "it is an idle node: only a node with a command has a log"}
	}
	if err != nil {
		return wrap(err)
	}
	defer cur.Close()
	var watch int
	if o.Follow {
		if watch, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
			return wrap(err)
		}
		defer unix.Close(watch)
		if _, err := unix.InotifyAddWatch(watch, path, unix.IN_MODIFY|unix.IN_DELETE_SELF|unix.IN_CLOSE_WRITE|unix.IN_ATTRIB); err != nil {
			return wrap(err)
		}
	}
	if old, err := os.Open(path + ".1"); err == nil {
		_, err = io.Copy(o.Out, old)
		old.Close()
		if err != nil {
			return err
		}
	}
	var at int64
	for last := !o.Follow; ; {
		st, err := cur.Stat()
		if err != nil {
			return wrap(err)
		}
		if st.Size() < at { // it was moved aside
			if err := rest(o.Out, path+".1", at); err != nil {
				return err
			}
			at = 0
			if _, err := cur.Seek(0, io.SeekStart); err != nil {
				return wrap(err)
			}
		}
		n, err := io.Copy(o.Out, cur)
		if err != nil {
			return err
		}
		at += n
		if last || ctx.Err() != nil {
			return nil
		}
		if n == 0 {
			// What the command wrote last may have come since: once more, then.
			if last = ended(&o); last {
				continue
			}
			if err := waitEvent(watch); err != nil {
				return wrap(err)
			}
		}
	}
}

// rest prints what the log that was moved aside has behind offset at.
func rest(out io.Writer, path string, at int64) error {
	old, err := os.Open(path)
	if err != nil {
		return nil //nolint:nilerr // a down is at it
	}
	defer old.Close()
	if _, err := old.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(out, old)
	return err
}

// ended tells whether no more output is to come.
func ended(o *LogsOptions) bool {
	states, err := nodeStates(o.Lab)
	if err != nil {
		return true
	}
	for _, s := range states {
		if s.Name == o.Node {
			switch s.State {
			case StateRunning, StateStarting, StateWaiting, StateRestarting, StateStopping:
				return false
			}
			return true
		}
	}
	return true
}

// waitEvent waits for a change of the log, or a second: the end of a command that had
// closed its output before is no event of the file.
func waitEvent(fd int) error {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(p, 1000); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	b := make([]byte, 4096)
	for {
		if n, err := unix.Read(fd, b); err != nil || n <= 0 {
			return nil //nolint:nilerr // EAGAIN: all events are read
		}
	}
}
