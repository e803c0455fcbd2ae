package pidfd

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// child starts a process that ends when its standard input does.
func child(t *testing.T) (fd int, end func()) {
	t.Helper()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err = unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
		_ = unix.Close(fd)
	})
	return fd, func() { _ = in.Close() }
}

func TestWait(t *testing.T) {
	t.Parallel()
	fd, end := child(t)
	if ended, err := WaitFor(fd, 0); ended || err != nil {
		t.Errorf("it lives: %v, %v", ended, err)
	}
	stop := errors.New("no more")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if err := Wait(ctx, fd); !errors.Is(err, stop) {
		t.Errorf("a wait that nobody wants: %v", err)
	}
	end()
	if err := Wait(t.Context(), fd); err != nil {
		t.Errorf("it has ended: %v", err)
	}
	if ended, err := WaitFor(fd, 0); !ended || err != nil {
		t.Errorf("it has ended: %v, %v", ended, err)
	}
	if _, err := WaitFor(1<<20, time.Second); !errors.Is(err, unix.EBADF) {
		t.Errorf("no descriptor: %v", err)
	}
}

// A signal is no end. The runtime sends its threads SIGURG; here somebody does all the time.
func TestSignalsDoNotEndAWait(t *testing.T) {
	t.Parallel()
	fd, _ := child(t)
	tid, result := make(chan int), make(chan time.Duration)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		start := time.Now()
		if ended, err := WaitFor(fd, 300*time.Millisecond); ended || err != nil {
			t.Errorf("it lives: %v, %v", ended, err)
		}
		result <- time.Since(start)
	}()
	waiter := <-tid
	for {
		select {
		case took := <-result:
			if took < 300*time.Millisecond || took > 5*time.Second {
				t.Errorf("it waited for %v", took)
			}
			return
		case <-time.After(time.Millisecond):
			_ = unix.Tgkill(unix.Getpid(), waiter, unix.SIGURG)
		}
	}
}
