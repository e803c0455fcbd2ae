package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/lab/labinit"
)

// A number in a file says nothing about who has it: the file may be damaged or exchanged, and the pid have passed to a stranger. A
// process is taken for a lab's init when it shows that it is: it is the first of a pid namespace of its own, and the
// lock of the lab's file alive, taken alone, hangs on its descriptor for that.

// initProcess is a lab's init, proven.
type initProcess struct {
	pid   int
	pidfd int
}

func (p *initProcess) close() { _ = unix.Close(p.pidfd) }

// errHidden is a life lock whose holder cannot be found.
var errHidden = errors.New("its life lock is held, and no process that can be seen from here is its init")

// findInit finds the init of a lab that lives: nil, if none does. The caller closes it. It takes the pid that is written for
// a hint; where that is wrong it looks at every lab init of the machine.
func findInit(dir string) (*initProcess, error) {
	life, err := os.Open(filepath.Join(dir, aliveFile))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // a lab without the file does not live
	}
	defer life.Close()
	if !lockfile.Held(life) {
		return nil, nil //nolint:nilnil // that is the answer
	}
	p, err := proveInit(pidIn(life), life)
	if p != nil || err != nil {
		return p, err
	}
	inits, err := livingInits("/proc")
	if err != nil {
		return nil, err
	}
	for pid := range inits {
		if p, err := proveInit(pid, life); p != nil || err != nil {
			return p, err
		}
	}
	if !lockfile.Held(life) {
		return nil, nil //nolint:nilnil // it has ended meanwhile
	}
	return nil, errHidden
}

// pidIn reads the pid that a file begins with: 0 for anything else.
func pidIn(f *os.File) int {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	pid, err := strconv.Atoi(string(bytes.TrimSpace(b[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// proveInit opens a process if it is the init whose life lock is this file, else it returns nil.
func proveInit(pid int, life *os.File) (*initProcess, error) {
	if pid <= 1 { // no lab hangs on the machine's own init
		return nil, nil //nolint:nilnil // that is the answer
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // nobody, or a thread
		return nil, nil //nolint:nilnil // that is the answer
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd_open: %w", err)
	}
	// Looked at after the descriptor was made, and the process still there afterwards: it is the one that the
	// descriptor names.
	if holdsLife(pid, life) && unix.PidfdSendSignal(fd, 0, nil, 0) == nil {
		return &initProcess{pid, fd}, nil
	}
	_ = unix.Close(fd)
	return nil, nil //nolint:nilnil // that is the answer
}

// holdsLife tells whether a process is the first of a pid namespace and has the lock of a file on the descriptor of a lab init
// for that. proc_pid_fd(5), proc_pid_fdinfo(5), proc_pid_status(5).
func holdsLife(pid int, life *os.File) bool {
	proc := "/proc/" + strconv.Itoa(pid)
	var want, is unix.Stat_t
	if unix.Fstat(int(life.Fd()), &want) != nil ||
		unix.Stat(proc+"/fd/"+strconv.Itoa(labinit.AliveFD), &is) != nil || is.Dev != want.Dev || is.Ino != want.Ino {
		return false
	}
	info, err := os.ReadFile(proc + "/fdinfo/" + strconv.Itoa(labinit.AliveFD))
	if err != nil || !lockedAlone(info) {
		return false
	}
	status, err := os.ReadFile(proc + "/status")
	return err == nil && firstOfNamespace(status)
}

// lockedAlone finds an exclusive lock of flock(2) in what /proc tells of a descriptor.
func lockedAlone(fdinfo []byte) bool {
	for line := range bytes.Lines(fdinfo) {
		// lock:	1: FLOCK  ADVISORY  WRITE 1234 00:1a:42 0 EOF
		f := bytes.Fields(line)
		if len(f) > 4 && string(f[0]) == "lock:" && string(f[2]) == "FLOCK" && string(f[4]) == "WRITE" {
			return true
		}
	}
	return false
}

// firstOfNamespace tells from its status whether a process is the first of a pid namespace below the reader's.
func firstOfNamespace(status []byte) bool {
	for line := range bytes.Lines(status) {
		if ids, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			f := bytes.Fields(ids)
			return len(f) > 1 && string(f[len(f)-1]) == "1"
		}
	}
	return false
}

// awaitInit is findInit that gives an init which is on its way out the time for it: an up that was killed while it was
// starting one has not told it what to build, and it ends.
func awaitInit(ctx context.Context, dir string) (*initProcess, error) {
	p, err := findInit(dir)
	if errors.Is(err, errHidden) && waitForEnd(ctx, dir) == nil {
		return nil, nil //nolint:nilnil // none lives any more
	}
	return p, err
}

// initPID is the pid of the lab's init, proven: 0 where none lives, or none can be found.
func initPID(dir string) int {
	p, err := findInit(dir)
	if p == nil || err != nil {
		return 0
	}
	defer p.close()
	return p.pid
}
