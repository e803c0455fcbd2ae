package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// hogs are labs in which testdata/hog is at hand.
type hogs struct {
	run           // with nodes a and b
	other  run    // with node c
	binary string // of the host
}

// startHogs brings up two labs. Keys are what the file says of each node besides.
func startHogs(t *testing.T, keys string) hogs {
	t.Helper()
	hog := testenv.Program(t, "./testdata/hog")
	text := func(names ...string) string {
		s := fmt.Sprintf("defaults: {binds: [\"%s:/hog\"]%s}\nnodes:\n", hog, keys)
		for _, n := range names {
			s += "  " + n + ": {}\n"
		}
		return s
	}
	return hogs{startText(t, text("a", "b")), startText(t, text("c")), hog}
}

// exhaust has a node take all of a kind that it is given, and keep it until release is called. It returns how many that was, and why no more.
func (h hogs) exhaust(node, kind string) (taken string, release func()) {
	h.t.Helper()
	c := exec.Command(testenv.Binary(h.t), "exec", "-i", h.name+"/"+node, "--", "/hog", kind) // it ends with its input
	in, err := c.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	var said strings.Builder
	c.Stderr = &said
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	release = func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait()
	}
	if err != nil || strings.HasSuffix(line, "<nil>\n") {
		release()
		h.t.Fatalf("%s in node %s: it has taken %s and nothing stops it: %v\n%s", kind, node, line, err, said.String())
	}
	return strings.TrimSpace(line), release
}

// starve has a node take all it can of each kind, and fails the test unless there is one more for others: the host's root, another node, and another lab;
// then another node as well, and there is still one for the host and the other lab.
func (h hogs) starve(kinds ...string) {
	h.t.Helper()
	for _, kind := range kinds {
		some := func(who, taken string, got testenv.Result) {
			h.t.Helper()
			if got.Code != 0 {
				h.t.Errorf("%s: %s has none where nodes have taken %s: exit code %d: %s%s", kind, who, taken, got.Code, got.Stdout, got.Stderr)
			}
		}
		others := func(taken string) {
			h.t.Helper()
			some("the host's root", taken, testenv.Command(h.t, h.binary, kind, "1"))
			some("another lab", taken, h.other.exec("c", "/hog", kind, "1"))
		}
		taken, release := h.exhaust("a", kind)
		others(taken)
		some("another node", taken, h.exec("b", "/hog", kind, "1"))
		more, releaseMore := h.exhaust("b", kind)
		others(taken + ", " + more)
		release()
		releaseMore()
	}
}

// What the kernel counts for users is counted for each node by itself: one that takes all it is given takes nothing from anybody.
//
// Not in parallel: labs of tests that know nothing of each other have the same ids.
func TestNodesDoNotStarveOthers(t *testing.T) {
	testenv.Isolate(t, func(t *testing.T) {
		startHogs(t, "").starve("inotify", "mqueue", "signals", "timers", "pty", "pipe", "process")
	})
}

// Asynchronous I/O of the old kind is counted for nobody, and one number bounds it for the whole machine: a node has it when its file says so.
func TestNodesDoNotTakeAllAIO(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		h := startHogs(t, "")
		if got := h.exec("a", "/hog", "aio", "1"); got.Code != 10 || !strings.Contains(got.Stdout, "not implemented") {
			t.Errorf("io_setup in a node: exit code %d, %s", got.Code, got.Stdout)
		}
		may := startHogs(t, ", caps: [SYS_RESOURCE]")
		if got := may.exec("a", "/hog", "aio", "1"); got.Code != 0 {
			t.Errorf("io_setup in a node that may: exit code %d, %s", got.Code, got.Stdout)
		}
	})
}

// With the right to make namespaces, a node has as many of these, and those inside have no more of what is counted.
func TestNamespacesDoNotStarveOthers(t *testing.T) {
	testenv.Isolate(t, func(t *testing.T) {
		startHogs(t, ", caps: [SYS_ADMIN]").starve("fanotify", "user")
	})
}
