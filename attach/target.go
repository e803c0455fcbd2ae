package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/attach/engine"
	"github.com/nsnet/nsnet/lab"
)

// target is a pinned target: whatever becomes of its pid, the descriptor is its network namespace.
type target struct {
	ref   Ref
	netns *os.File
	place Place

	// counts and count are those of a container's engine, which names interfaces, too.
	counts bool
	count  int
}

// Place is how a record knows a network namespace again. Device and inode alone may be another's
// by the time: see the package's documentation.
type Place struct {
	Ref  Ref    `json:"ref"`
	PID  int    `json:"pid,omitempty"` // a process that was in it
	Path string `json:"path,omitempty"`
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
}

// is tells whether two places are one namespace, as long as somebody holds it.
func (p *Place) is(q Place) bool { return p.Dev == q.Dev && p.Ino == q.Ino }

func (t *target) close() { _ = t.netns.Close() }

// root opens the root directory of the target's process. It is that process's as long as the
// process is in the pinned namespace, which is looked at afterwards.
func (t *target) root() (int, error) {
	if t.place.PID == 0 {
		return -1, errors.New("nothing but a network namespace is known of it")
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/root", t.place.PID), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if f, ok := openNetns(processNetns(t.place.PID), t.place); ok {
		_ = f.Close()
		return fd, nil
	}
	_ = unix.Close(fd)
	return -1, errors.New("its process has ended")
}

// pin finds a target and holds on to it.
func pin(ctx context.Context, ref Ref) (*target, error) {
	t, err := find(ctx, ref)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return nil, err
		}
		return nil, &Error{Target: ref.String(), Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(t.netns.Fd()), &st); err != nil {
		t.close()
		return nil, &Error{Target: ref.String(), Op: "look at its network namespace", Err: err}
	}
	if t.ref.Name == "" {
		t.ref = ref
	}
	t.place.Ref, t.place.Dev, t.place.Ino = t.ref, st.Dev, st.Ino
	for _, host := range []string{"/proc/thread-self/ns/net", "/proc/1/ns/net"} {
		if f, same := openNetns(host, t.place); same {
			_ = f.Close()
			t.close()
			return nil, &Error{Target: ref.String(), Err: errors.New("it is in the host's own network namespace"), Remedy: "it uses the host's interfaces; a container with a network namespace of its own can be given one"}
		}
	}
	return t, nil
}

func find(ctx context.Context, ref Ref) (*target, error) {
	switch ref.Kind {
	case ByPID:
		pid, err := strconv.Atoi(ref.Name)
		if err != nil || pid <= 0 {
			return nil, fmt.Errorf("%w: %q is not a process id", lab.ErrNotFound, ref.Name)
		}
		return pinProcess(pid)
	case ByContainer:
		return pinContainer(ctx, ref)
	case ByNode:
		name, node, err := lab.Find(ctx, ref.Name)
		if err != nil {
			return nil, err
		}
		f, pid, err := lab.NodeNetns(ctx, name, node)
		if err != nil {
			return nil, err
		}
		return &target{ref: Ref{ByNode, name + "/" + node}, netns: f, place: Place{PID: pid}}, nil
	case ByNetns:
		path, err := filepath.Abs(ref.Name)
		if err != nil {
			return nil, err
		}
		return pinPath(path)
	}
	return nil, fmt.Errorf("no kind of target %q", ref.Kind)
}

// pinContainer opens the network namespace of a container's process. The engine's answer is
// old when it comes: a process that was started after the question may be another one by the same id, and the
// engine is asked once more.
func pinContainer(ctx context.Context, ref Ref) (*target, error) {
	for {
		asked := time.Now()
		c, err := engine.Find(ctx, ref.Name)
		if err != nil {
			return nil, engineError(ref, err)
		}
		t, err := pinProcess(c.PID)
		if err != nil {
			return nil, &Error{Target: ref.String(), Err: fmt.Errorf("%w: its process %d has just ended", lab.ErrNotRunning, c.PID)}
		}
		t.counts, t.count = c.Counts, c.Count
		if started, err := startOf(c.PID); err == nil && started.Before(asked) {
			return t, nil
		}
		now, err := engine.Find(ctx, ref.Name)
		if err == nil && *now == *c {
			return t, nil
		}
		t.close()
	}
}

// startOf is when a process was started, at the latest. proc_pid_stat(5), field 22.
func startOf(pid int) (time.Time, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, err
	}
	// The name, in parentheses, may contain anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const startTime, hz = 22 - 3, 100 // USER_HZ of every architecture that Go supports on Linux
	if len(fields) <= startTime {
		return time.Time{}, errors.New("malformed")
	}
	ticks, err := strconv.ParseInt(fields[startTime], 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, err
	}
	age := time.Duration(up.Nano()) - time.Duration(ticks+1)*time.Second/hz
	return time.Now().Add(-age), nil
}

func engineError(ref Ref, err error) error {
	e := &Error{Target: ref.String(), Err: err}
	switch {
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, engine.ErrNoEngine):
		e.Err = fmt.Errorf("%w: %w", lab.ErrNotFound, err)
	case errors.Is(err, engine.ErrNotRunning):
		e.Err = fmt.Errorf("%w: %w", lab.ErrNotRunning, err)
	case errors.Is(err, engine.ErrAmbiguous):
		e.Err = fmt.Errorf("%w: %w", lab.ErrConflict, err)
	}
	return e
}

// pinProcess opens the network namespace of a process. A pidfd that was opened before and tells
// that the process lives afterwards proves that it was this one's. pidfd_open(2), Linux 5.3.
func pinProcess(pid int) (*target, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		switch {
		case errors.Is(err, unix.ESRCH):
			return nil, fmt.Errorf("%w: no process has the id %d", lab.ErrNotFound, pid)
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil, fmt.Errorf("%w: %d is a thread; give the id of its process", lab.ErrNotFound, pid)
		}
		return nil, fmt.Errorf("pin: pidfd_open: %w", err)
	}
	defer unix.Close(fd)
	f, err := os.Open(processNetns(pid))
	if err == nil {
		if err = unix.PidfdSendSignal(fd, 0, nil, 0); err == nil {
			return &target{netns: f, place: Place{PID: pid}}, nil
		}
		_ = f.Close()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return nil, fmt.Errorf("%w: process %d has ended", lab.ErrNotRunning, pid)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: open the network namespace of process %d: %w", lab.ErrPermission, pid, err)
	}
	return nil, fmt.Errorf("open the network namespace of process %d: %w", pid, err)
}

// pinPath opens a network namespace by a path such as /run/netns/NAME or /proc/PID/ns/net.
func pinPath(path string) (*target, error) {
	if err := ns.IsNSorErr(path); err != nil {
		var missing ns.NSPathNotExistErr
		var other ns.NSPathNotNSErr
		switch {
		case errors.As(err, &missing):
			return nil, fmt.Errorf("%w: %w", lab.ErrNotFound, err)
		case errors.As(err, &other):
			return nil, noNamespace(path)
		}
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		_ = f.Close()
		return nil, fmt.Errorf("%w: it is a namespace of another kind; that of a network is /proc/PID/ns/net", lab.ErrNotFound)
	}
	return &target{ref: Ref{ByNetns, path}, netns: f, place: Place{Path: path}}, nil
}

// noNamespace says what a path is that is no namespace. What ip netns names is an empty file where the namespace is gone.
func noNamespace(path string) error {
	what := "something else"
	if st, err := os.Stat(path); err == nil {
		switch mode := st.Mode(); {
		case mode.IsRegular():
			what = "an ordinary file"
		case mode.IsDir():
			what = "a directory"
		case mode&fs.ModeDevice != 0:
			what = "a device"
		case mode&fs.ModeNamedPipe != 0:
			what = "a fifo"
		case mode&fs.ModeSocket != 0:
			what = "a socket"
		}
	}
	return fmt.Errorf("%w: it is %s and no network namespace; ip netns lists those in /run/netns, and a process's is /proc/PID/ns/net", lab.ErrNotFound, what)
}

func processNetns(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// openNetns opens path if it is the network namespace that p was.
func openNetns(path string, p Place) (*os.File, bool) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Dev != p.Dev || st.Ino != p.Ino {
		_ = f.Close()
		return nil, false
	}
	return f, true
}

// nodePatience bounds the wait for a lab's init to say which namespace a node's is.
const nodePatience = 2 * time.Second

// open finds a namespace again: by what it was known by, or by any process that is in it. It
// tells whether there was one; it may be a younger namespace with the same inode.
func (p Place) open() (*os.File, bool) {
	if p.PID > 0 {
		if f, ok := openNetns(processNetns(p.PID), p); ok {
			return f, true
		}
	}
	if p.Path != "" {
		if f, ok := openNetns(p.Path, p); ok {
			return f, true
		}
	}
	if name, node, ok := strings.Cut(p.Ref.Name, "/"); ok && p.Ref.Kind == ByNode {
		ctx, cancel := context.WithTimeout(context.Background(), nodePatience)
		defer cancel()
		if f, _, err := lab.NodeNetns(ctx, name, node); err == nil {
			_ = f.Close()
			if f, ok := openNetns(lab.NetnsDir+"/"+name+"."+node, p); ok {
				return f, true
			}
		}
	}
	return p.openByProcess()
}

// openByProcess looks at every process of the machine.
func (p Place) openByProcess() (*os.File, bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, false
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if f, ok := openNetns(processNetns(pid), p); ok {
				return f, true
			}
		}
	}
	return nil, false
}
