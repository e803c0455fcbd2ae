package lab

import (
	"encoding/json"
	"errors"
	"os/exec"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/pidfd"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab/proto"
)

// A node whose process is gone is not why an up fails: that is what the lab init says, which has ended it.
func TestCauseOfANodeThatHasEnded(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	pid, err := pidfd.PID(fd)
	if !errors.Is(err, unix.ESRCH) {
		t.Fatalf("of a process that has ended: pid %d, %v", pid, err)
	}
	b := &builder{events: make(chan event, 2)}
	b.events <- event{kind: proto.Progress}
	body, err2 := json.Marshal(proto.Failure{Op: "start", Node: "b", Text: "too many open files", Errno: uint32(unix.EMFILE)})
	if err2 != nil {
		t.Fatal(err2)
	}
	b.events <- event{kind: proto.Failed, body: body}
	if got := b.cause(t.Context(), &Error{Node: "a", Op: "find its process", Err: err}); !errors.Is(got, unix.EMFILE) {
		t.Errorf("the cause is %v", got)
	}
	other := errors.New("something else")
	if got := b.cause(t.Context(), other); !errors.Is(got, other) {
		t.Errorf("the cause is %v", got)
	}
}

// Who listens to a lab init ends with the up, be there a message that nobody has taken or not: watch does many.
func TestListenerEnds(t *testing.T) {
	t.Parallel()
	for _, messages := range []int{0, 1, 3} {
		ours, theirs, err := container.SocketPair()
		if err != nil {
			t.Fatal(err)
		}
		b := &builder{}
		if b.conn, err = container.NewConn(ours); err != nil {
			t.Fatal(err)
		}
		peer, err := container.NewConn(theirs)
		if err != nil {
			t.Fatal(err)
		}
		for range messages {
			if err := peer.Send(proto.Progress, nil); err != nil {
				t.Fatal(err)
			}
		}
		b.listen()
		b.close()
		testenv.Eventually(t, 5*time.Second, "the listener has ended", func() bool {
			var stacks strings.Builder
			return pprof.Lookup("goroutine").WriteTo(&stacks, 2) == nil && !strings.Contains(stacks.String(), "lab.(*builder).listen.func")
		})
		_ = peer.Close()
	}
}
