package waiting

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is waited for is said when that takes long, once, and not when it is over before or there is nothing to say.
func TestSay(t *testing.T) {
	t.Parallel()
	said := make(chan string, 10)
	ctx := With(t.Context(), func(text string) { said <- text })
	Say(ctx, func() string { return "nobody" })()
	ended, end := context.WithCancel(ctx)
	end()
	defer Say(ended, func() string { return "what is given up" })()
	defer Say(ctx, func() string { return "" })()
	defer Say(ctx, func() string { return "Godot" })()
	defer Say(ctx, func() string { return "Godot" })()
	Say(context.Background(), func() string { return "nobody who listens" })()
	if got := <-said; got != "waiting for Godot" {
		t.Errorf("it says %q", got)
	}
	select {
	case got := <-said:
		t.Errorf("and %q", got)
	case <-time.After(200 * time.Millisecond):
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sleep", "1000", strings.Repeat("0", 200))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	pid := cmd.Process.Pid
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, unix.WUNTRACED, nil); err != nil || !ws.Stopped() {
		t.Fatalf("%v, %v", ws, err)
	}
	if got, want := Process(pid), fmt.Sprintf("pid %d, which is stopped (kill -CONT %d lets it go on)", pid, pid); got != want || !Stopped(pid) {
		t.Errorf("a stopped process is %q", got)
	}
	if got := Command(pid); !strings.HasPrefix(got, "sleep 1000 000") || !strings.HasSuffix(got, "…") {
		t.Errorf("its command is %q", got)
	}
	if got := Process(os.Getpid()); !strings.Contains(got, "which is not stopped (state ") || Stopped(os.Getpid()) {
		t.Errorf("one that runs is %q", got)
	}
	if got := Process(1 << 30); got != "pid 1073741824" || Stopped(1<<30) || Command(1<<30) != "" {
		t.Errorf("none is %q", got)
	}
}
