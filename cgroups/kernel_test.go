package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// The tests of this file are the contract that every version of control groups has to meet:
// they run on what the machine has, and look at what happens to a process, not at files.

// contract gives a test its own lab, and holds it to leaving nothing.
func contract(t *testing.T, l topology.Limits) (h *Host, lab string) {
	t.Helper()
	testenv.Root(t)
	h, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Check(l); err != nil {
		t.Skip(err)
	}
	lab = fmt.Sprintf("test-%d-%s", os.Getpid(), strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")))
	t.Cleanup(func() { removeAll(t, h, lab) })
	return h, lab
}

// nobody is foreign to these tests.
func nobody(int) bool { return false }

// removeAll removes a lab's groups and checks that none is left.
func removeAll(t *testing.T, h *Host, lab string) {
	t.Helper()
	// Not t.Context(): it is over in a clean-up.
	if err := h.RemoveLab(context.Background(), lab, nobody); err != nil {
		t.Error(err)
	}
	labs, err := h.Labs()
	if err != nil {
		t.Error(err)
	}
	if slices.Contains(labs, lab) {
		t.Errorf("lab %s still has groups", lab)
	}
}

// shell starts a script that waits until go is called, so that it can be moved first.
func shell(t *testing.T, script string) (cmd *exec.Cmd, start func()) {
	t.Helper()
	cmd = exec.Command("/bin/sh", "-c", "read go; "+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, func() {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Error(err)
		}
		_ = in.Close()
	}
}

func create(t *testing.T, h *Host, lab, node string, l topology.Limits) *Group {
	t.Helper()
	g, err := h.Create(lab, node, l)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func add(t *testing.T, g *Group, cmd *exec.Cmd) {
	t.Helper()
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
}

func TestCPU(t *testing.T) {
	l := topology.Limits{CPU: 0.2, CPUWeight: 50}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	cmd, start := shell(t, "while :; do :; done")
	add(t, g, cmd)
	start()
	begin := time.Now()
	time.Sleep(2 * time.Second)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if share := used.Seconds() / time.Since(begin).Seconds(); share < 0.1 || share > 0.3 {
		t.Errorf("a node at 0.2 cores got %.2f", share)
	}
}

func TestMemory(t *testing.T) {
	l := topology.Limits{Memory: 10 << 20}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	if s, err := h.OOM(lab, "n"); err != nil || s.Kills != 0 || s.Limit != 10<<20 {
		t.Errorf("before: %+v, %v", s, err)
	}
	cmd, start := shell(t, "head -c 104857600 /dev/zero | tail -c 104857600 | wc -c; exit 7")
	add(t, g, cmd)
	start()
	_ = cmd.Wait()
	s, err := h.OOM(lab, "n")
	if err != nil || s.Kills < 1 || s.Limit != 10<<20 {
		t.Errorf("after 100 MiB at a limit of 10 MiB: %+v, %v", s, err)
	}
	if s.Peak != 0 && (s.Peak < 5<<20 || s.Peak > 10<<20) {
		t.Errorf("peak %d", s.Peak)
	}
	if s, err := h.OOM(lab, "other"); err != nil || s != (OOMStatus{}) {
		t.Errorf("a node without a group: %+v, %v", s, err)
	}
}

func TestPids(t *testing.T) {
	l := topology.Limits{Pids: 16}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	cmd, start := shell(t, "i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done 2>/dev/null")
	add(t, g, cmd)
	start()
	if err := cmd.Wait(); err == nil {
		t.Error("100 processes started at a limit of 16")
	}
	pids, err := pidsBelow(g.dirs[0])
	if err != nil || len(pids) < 8 || len(pids) > 16 {
		t.Errorf("%d processes, %v", len(pids), err)
	}
	removeAll(t, h, lab) // takes the sleepers along
	for _, pid := range pids {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.HasPrefix(string(b), "sleep") {
			t.Errorf("process %d lives on", pid)
		}
	}
}

func TestIO(t *testing.T) {
	disk := blockDevice(t)
	l := topology.Limits{IO: []topology.IOLimit{{Device: disk, ReadBPS: 1 << 20, WriteBPS: 2 << 20, ReadIOPS: 30, WriteIOPS: 40}}}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	got := map[string]string{}
	for _, f := range []string{"io.max", "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device"} {
		if b, err := os.ReadFile(filepath.Join(g.dirs[0], f)); err == nil {
			got[f] = strings.TrimSpace(string(b))
		}
	}
	want := map[string]string{"io.max": disk + " rbps=1048576 wbps=2097152 riops=30 wiops=40"}
	if hy, err := h.place(need{"io", "io"}); err != nil || !hy.unified {
		want = map[string]string{"blkio.throttle.read_bps_device": disk + " 1048576", "blkio.throttle.write_bps_device": disk + " 2097152",
			"blkio.throttle.read_iops_device": disk + " 30", "blkio.throttle.write_iops_device": disk + " 40"}
	}
	if !maps.Equal(got, want) {
		t.Errorf("set: %q", got)
	}
}

// blockDevice finds some whole disk, as major:minor.
func blockDevice(t *testing.T) string {
	t.Helper()
	disks, _ := filepath.Glob("/sys/block/*/dev")
	for _, d := range disks {
		if b, err := os.ReadFile(d); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	t.Skip("no block device")
	return ""
}

func TestNoLimitsNoGroup(t *testing.T) {
	h, lab := contract(t, topology.Limits{})
	g := create(t, h, lab, "n", topology.Limits{})
	if len(g.Dirs()) != 0 {
		t.Errorf("made %v", g.Dirs())
	}
	if err := g.Add(1 << 30); err != nil {
		t.Error(err)
	}
}

func TestAddMovesThreads(t *testing.T) {
	l := topology.Limits{Pids: 1000}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	if err := g.Add(1 << 30); !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL) {
		t.Errorf("a process that is not there: %v", err)
	}
	cmd, _ := shell(t, ":")
	add(t, g, cmd)
	pids, err := pidsIn(g.Dirs()[0])
	if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("in the group: %v, %v", pids, err)
	}
}

func TestCreateTwiceSetsAnew(t *testing.T) {
	l := topology.Limits{Pids: 10}
	h, lab := contract(t, l)
	create(t, h, lab, "n", l)
	g := create(t, h, lab, "n", topology.Limits{Pids: 20})
	b, err := os.ReadFile(filepath.Join(g.dirs[0], "pids.max"))
	if err != nil || strings.TrimSpace(string(b)) != "20" {
		t.Errorf("pids.max %q, %v", b, err)
	}
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	l := topology.Limits{Pids: 10, Memory: 1 << 20}
	h, lab := contract(t, l)
	// More than there can be, which the kernel refuses after the rest is done.
	l.Pids = 1 << 30
	if _, err := h.Create(lab, "n", l); err == nil {
		t.Fatal("the limit was accepted")
	}
	labs, err := h.Labs()
	if err != nil || slices.Contains(labs, lab) {
		t.Errorf("left behind: %v, %v", labs, err)
	}
}

// TestParallel makes and removes groups of several labs at once: they share a parent.
func TestParallel(t *testing.T) {
	l := topology.Limits{Pids: 10, Memory: 1 << 20, CPU: 1, CPUWeight: 10}
	h, lab := contract(t, l)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			mine := fmt.Sprintf("%s-%d", lab, i)
			for range 20 {
				var nodes sync.WaitGroup
				for n := range 4 {
					nodes.Go(func() {
						if _, err := h.Create(mine, fmt.Sprint(n), l); err != nil {
							t.Error(err)
						}
					})
				}
				nodes.Wait()
				removeAll(t, h, mine)
			}
		})
	}
	wg.Wait()
}

func TestFault31_RemoveTwiceAndNested(t *testing.T) {
	l := topology.Limits{Pids: 10}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	nested := filepath.Join(g.dirs[0], "made", "inside")
	if err := os.MkdirAll(nested, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, _ := shell(t, ":")
	if err := os.WriteFile(filepath.Join(nested, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	removeAll(t, h, lab) // the process is killed, and not yet reaped
	removeAll(t, h, lab)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(interface{ Signaled() bool }).Signaled() == false {
		t.Errorf("the process ended by itself: %v", err)
	}
}

func TestRemoveFrozen(t *testing.T) {
	h, lab := contract(t, topology.Limits{Pids: 10})
	hy, ok := h.find("freezer")
	file, word := "freezer.state", "FROZEN"
	if !ok {
		if hy, ok = h.find("pids"); !ok || !hy.unified {
			t.Skip("no freezer")
		}
		file, word = "cgroup.freeze", "1"
	}
	dir := filepath.Join(hy.labDir(lab), "n")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, _ := shell(t, ":")
	for f, v := range map[string]string{"cgroup.procs": fmt.Sprint(cmd.Process.Pid), file: word} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(v), 0); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	removeAll(t, h, lab)
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

// Groups that are gone are not idle ones.
func TestIdleOfWhatIsGone(t *testing.T) {
	h, lab := contract(t, topology.Limits{})
	if since, empty, err := h.Idle(lab); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("idle for %v, empty: %v, error: %v", since, empty, err)
	}
}

// TestRemoveIsCheapWithoutGroups guards the price that a lab without limits pays at down.
func TestRemoveIsCheapWithoutGroups(t *testing.T) {
	h, lab := contract(t, topology.Limits{})
	begin := time.Now()
	for range 100 {
		if err := h.RemoveLab(t.Context(), lab, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begin) / 100; d > 5*time.Millisecond {
		t.Errorf("%v", d)
	}
}

// BenchmarkPidsGroup is what a default limit on processes would cost each node.
func BenchmarkPidsGroup(b *testing.B) {
	testenv.Root(b)
	h, err := Probe()
	if err != nil {
		b.Fatal(err)
	}
	l := topology.Limits{Pids: 4096}
	if err := h.Check(l); err != nil {
		b.Skip(err)
	}
	lab := fmt.Sprintf("bench-%d", os.Getpid())
	defer func() { _ = h.RemoveLab(context.Background(), lab, nobody) }()
	var create, enter, remove time.Duration
	for range b.N {
		cmd := exec.Command("/bin/cat")
		in, _ := cmd.StdinPipe()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		t0 := time.Now()
		g, err := h.Create(lab, fmt.Sprint(cmd.Process.Pid), l)
		t1 := time.Now()
		if err == nil {
			err = g.Add(cmd.Process.Pid)
		}
		t2 := time.Now()
		_ = in.Close()
		_ = cmd.Wait()
		if err != nil {
			b.Fatal(err)
		}
		t3 := time.Now()
		if busy := removeTree(g.dirs[0]); busy != nil {
			b.Fatal(busy)
		}
		create, enter, remove = create+t1.Sub(t0), enter+t2.Sub(t1), remove+time.Since(t3)
	}
	n := float64(b.N)
	b.ReportMetric(float64(create.Microseconds())/n, "create-µs/op")
	b.ReportMetric(float64(enter.Microseconds())/n, "add-µs/op")
	b.ReportMetric(float64(remove.Microseconds())/n, "remove-µs/op")
}
