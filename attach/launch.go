package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/attach/worker"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/waiting"
)

// actError is an act that was refused.
type actError struct {
	label  string
	errno  syscall.Errno
	detail string
	undone bool
}

func (e *actError) Error() string {
	text := fmt.Sprintf("%s: %v", e.label, e.errno)
	if e.detail != "" {
		text += " (" + e.detail + ")"
	}
	if !e.undone {
		text += "; not everything could be taken back, nsnet detach does the rest"
	}
	return text
}

func (e *actError) Unwrap() error { return e.errno }

// errWorkerEnded is a worker that was killed: what it has done is in the record.
var errWorkerEnded = errors.New("the process that was carrying it out was killed")

// errLeft is a worker that nobody waits for any more.
var errLeft = errors.New("a process goes on to carry it out")

// leftTime is what a worker has to end in once nobody wants to wait for it: it needs some milliseconds, and what is told then is true.
const leftTime = 5 * time.Second

// carryOut has a worker do the acts, with copies of the given files besides the ones that the acts
// refer to. It returns when that has ended; should this process be killed, it goes on. So it does some seconds after ctx ends, which is
// errLeft.
func (s script) carryOut(ctx context.Context, files ...*os.File) error {
	return s.carryOutIn(ctx, leftTime, files...)
}

// carryOutIn is carryOut with the time to wait after ctx ends.
func (s script) carryOutIn(ctx context.Context, left time.Duration, files ...*os.File) error {
	acts := make([]worker.Act, len(s))
	for i := range s {
		acts[i] = s[i].Act
		if failpoint.Enabled {
			acts[i].Do = s[i].injected()
		}
	}
	plan, err := memfile(worker.Encode(acts))
	if err != nil {
		return fmt.Errorf("write down what to do: %w", err)
	}
	defer plan.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { _ = out.SetReadDeadline(time.Now().Add(left)) })()
	pid := 0
	if err = failpoint.Hit("fork", "worker"); err == nil {
		pid, err = start(plan, in, files)
	}
	_ = in.Close()
	if err != nil {
		return fmt.Errorf("start a process to carry it out: %w", err)
	}
	defer waiting.Say(ctx, func() string { return waiting.Process(pid) })()
	report, err := io.ReadAll(out)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w (pid %d)", context.Cause(ctx), errLeft, pid)
	}
	if err != nil {
		return err
	}
	o, ok := worker.DecodeOutcome(report)
	switch {
	case !ok:
		return errWorkerEnded
	case o.Errno == 0:
		return nil
	}
	e := &actError{errno: syscall.Errno(o.Errno), detail: o.Detail, undone: o.Undone, label: "carry it out"}
	if o.Act < len(s) && len(s[o.Act].labels) > 0 {
		labels := s[o.Act].labels
		e.label = labels[min(o.Request, len(labels)-1)]
	}
	return e
}

// injected is the step, or one that fails or ends the worker where a test wants that.
func (a *act) injected() worker.Step {
	label := "anything"
	if len(a.labels) > 0 {
		label = a.labels[0]
	}
	errno, kill := failpoint.Errno("worker", label)
	switch {
	case kill:
		return worker.Step{Kind: worker.Fail, Data: []byte("kill")}
	case errno != 0:
		return worker.Step{Kind: worker.Fail, FD: int(errno)}
	}
	return a.Do
}

// memfile is an unnamed file in memory. memfd_create(2).
func memfile(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("nsnet-attach", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "acts")
	if _, err := f.Write(content); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// start starts this program once more as a worker, in a session of its own, and waits for it in
// the background. Its descriptors have the numbers that they have here.
func start(plan, report *os.File, files []*os.File) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	fds := []uintptr{null.Fd(), null.Fd(), null.Fd()}
	for _, f := range append([]*os.File{plan, report}, files...) {
		if f == nil {
			continue
		}
		for len(fds) <= int(f.Fd()) {
			fds = append(fds, ^uintptr(0))
		}
		fds[f.Fd()] = f.Fd()
	}
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{worker.EnvKey + "=" + strconv.Itoa(int(plan.Fd())) + "," + strconv.Itoa(int(report.Fd())), "GOMAXPROCS=1", "GOGC=off"},
		Files: fds,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if pid, err = syscall.ForkExec("/proc/self/exe", []string{"nsnet: attach"}, attr); err != nil {
		return 0, err
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return 0, err
	}
	go func() { _, _ = p.Wait() }()
	return pid, nil
}
