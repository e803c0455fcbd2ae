package labinit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/lab/proto"
)

func TestFailure(t *testing.T) {
	t.Parallel()
	refused := fmt.Errorf("the kernel: %w", unix.ENOSPC)
	for name, tc := range map[string]struct {
		err  error
		want proto.Failure
	}{
		"anything": {errors.New("odd"), proto.Failure{Op: "build the lab", Text: "odd"}},
		"an errno": {refused, proto.Failure{Op: "build the lab", Text: refused.Error(), Errno: uint32(unix.ENOSPC)}},
		"a step": {&buildError{op: "create link", node: "web", object: "web:eth0 -- lan0", err: refused},
			proto.Failure{Op: "create link", Node: "web", Object: "web:eth0 -- lan0", Text: refused.Error(), Errno: uint32(unix.ENOSPC)}},
		"a step, wrapped": {fmt.Errorf("again: %w", &buildError{op: "boot", node: "a", err: errors.New("no")}),
			proto.Failure{Op: "boot", Node: "a", Text: "no"}},
		"a command": {&buildError{op: "prepare", node: "a", err: &container.StepError{Label: container.FindCommand, Text: "ngnix", Err: unix.ENOENT}},
			proto.Failure{Op: "prepare", Node: "a", Text: "find the command: ngnix: no such file or directory", Errno: uint32(unix.ENOENT), Command: "ngnix"}},
	} {
		if got := failure(tc.err); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
	if !errors.Is(&buildError{op: "x", err: refused}, syscall.ENOSPC) {
		t.Error("a build error hides its errno")
	}
}

// short is a listener of a process that has no descriptors left for some time.
type short struct {
	net.Listener
	errs []error
}

func (s *short) Accept() (net.Conn, error) {
	if len(s.errs) == 0 {
		return nil, nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
}

// A flood of connections to a published port must not end the lab.
func TestAcceptOutlastsAWant(t *testing.T) {
	t.Parallel()
	s := &short{errs: []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}}
	if _, err := accept(s); err != nil || len(s.errs) != 0 {
		t.Errorf("%d errors to come, error %v", len(s.errs), err)
	}
	s.errs = []error{unix.EMFILE, unix.EBADF}
	if _, err := accept(s); !errors.Is(err, unix.EBADF) {
		t.Errorf("an error that does not pass is %v", err)
	}
}

// What this kernel has not is left out, and what is so already is not written again.
func TestUnlike(t *testing.T) {
	t.Parallel()
	got := unlike([][2]string{{"kernel.ostype", "Linux"}, {"kernel.ostype", "Plan 9"}, {"net.no.such.key", "1"}})
	if want := [][2]string{{"kernel.ostype", "Plan 9"}}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Sockets of ports that come behind one that cannot be served are not left open: the host's ports would be taken.
func TestPublishClosesWhatItDoesNotServe(t *testing.T) {
	t.Parallel()
	var first, second [2]int
	for _, p := range []*[2]int{&first, &second} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(p[1])
	}
	l := &labInit{ports: map[string]port{}}
	ports := []proto.PublishedPort{{Node: "a", Key: "1", Protocol: "tcp"}, {Node: "b", Key: "2", Protocol: "tcp"}}
	if err := l.publish(ports, []int{first[0], second[0]}); err == nil {
		t.Fatal("a pipe is no listening socket")
	}
	for i, p := range [][2]int{first, second} {
		if _, err := unix.Write(p[1], []byte("x")); !errors.Is(err, unix.EPIPE) {
			t.Errorf("descriptor %d is open still: %v", i, err)
		}
	}
}
