//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Enabled tells whether this binary has failpoints.
const Enabled = true

const (
	envFail    = "NSNET_FAIL"
	envTrace   = "NSNET_TRACE"
	envProcess = "_NSNET_PROCESS"
)

// points is this process's, from the environment that it was started with.
var points = load()

// set is points that were not reached yet.
type set struct {
	process string
	trace   *os.File

	mu      sync.Mutex // guards what follows
	waiting []point
}

func load() *set {
	s := &set{}
	if p := os.Getenv(envProcess); p != "" {
		s.process = p + ": "
	}
	var err error
	if s.waiting, err = parse(os.Getenv(envFail)); err != nil {
		quit(err)
	}
	if path := os.Getenv(envTrace); path != "" {
		if s.trace, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
			quit(err)
		}
		if s.process == "" {
			_ = s.trace.Chmod(0o666) // of a lab init's ids, too
		}
	}
	return s
}

func quit(err error) {
	fmt.Fprintln(os.Stderr, "failpoint:", err)
	os.Exit(2)
}

// Hit is where an act on an object is about to be done. It fails where a test wants it to.
func Hit(act, object string) error {
	errno, kill := Errno(act, object)
	if kill {
		die()
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// Errno is Hit for acts that another process carries out: what it is to fail with, and whether it is to end.
func Errno(act, object string) (syscall.Errno, bool) {
	name := points.process + strings.ReplaceAll(act+" "+object, "\n", " ")
	if points.trace != nil {
		_, _ = points.trace.WriteString(name + "\n")
	}
	a := points.at(name)
	time.Sleep(a.delay)
	return a.errno, a.kill
}

// at is what happens at this act.
func (s *set) at(name string) action {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.waiting {
		p := &s.waiting[i]
		if !p.is(name) {
			continue
		}
		if p.left--; p.left == 0 {
			return p.action
		}
	}
	return action{}
}

// die ends this process without another instruction. kill(2) has no effect on PID 1 of a namespace from inside.
func die() {
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 128+uintptr(unix.SIGKILL), 0, 0)
	}
}

// Environ is what a process that this one starts has to have in its environment. It is called name in the
// names of its acts.
func Environ(name string) []string {
	env := []string{envProcess + "=" + name}
	for _, key := range []string{envFail, envTrace} {
		if v := os.Getenv(key); v != "" {
			env = append(env, key+"="+v)
		}
	}
	return env
}
