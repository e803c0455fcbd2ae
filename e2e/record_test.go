package e2e

import (
	"bytes"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Commands on one node read nothing of a lab's record that grows with the lab, so that they take as long in one of
// thousands as in one of two.
func TestOneNodeReadsNoRecord(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := writeFile(t, t.TempDir(), "lab.yaml", `
nodes:
  web: {command: ["sh", "-c", "echo written; exec sleep 600"], limits: {pids: 100}}
  idle: {}
`)
		r := start(t, file)
		opened := watchOpens(t, "/run/nsnet/"+r.name)
		for _, args := range [][]string{
			{"exec", r.name + "/idle", "--", "true"},
			{"exec", "idle", "--", "true"},
			{"logs", "web"},
			{"stop", "web"}, {"start", "web"}, {"restart", "web"},
			{"update", "web", "--pids", "90"}, {"update", "web", "--pids", "80"},
			{"pause", "web"}, {"resume", "web"},
		} {
			testenv.Must(t, args...)
			if got := opened(); slices.Contains(got, "topology.json") || slices.Contains(got, "state.json") {
				t.Errorf("%v opened %q", args, got)
			}
		}
		if got := r.node("web").Limits.Pids; got != 80 {
			t.Errorf("after its updates the node may have %d processes", got)
		}
		opened()
		testenv.Must(t, "inspect", r.name)
		if got := opened(); !slices.Contains(got, "topology.json") {
			t.Errorf("inspect opened %q: this test sees nothing", got)
		}
	})
}

// watchOpens returns a function that returns the names of the files in dir which were opened since it was called last.
func watchOpens(t *testing.T, dir string) func() []string {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	return func() (names []string) {
		t.Helper()
		b := make([]byte, 64<<10)
		for {
			n, err := unix.Read(fd, b)
			if err != nil { // EAGAIN: these were all
				return names
			}
			for at := 0; at < n; {
				e := (*unix.InotifyEvent)(unsafe.Pointer(&b[at]))
				at += unix.SizeofInotifyEvent
				name, _, _ := bytes.Cut(b[at:at+int(e.Len)], []byte{0})
				names = append(names, string(name))
				at += int(e.Len)
			}
		}
	}
}
