package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// The rest of the contract: each limit by what happens to a process under it, not by what is in a file.

// spin burns processor time in a group until the test kills it, and tells how much it got.
func spin(t *testing.T, g *Group) (start func(), used func() time.Duration) {
	t.Helper()
	cmd, start := shell(t, "while :; do :; done")
	add(t, g, cmd)
	return start, func() time.Duration {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
}

// slack is how much more a share may be off where the processor itself is emulated.
func slack() float64 {
	if b, err := os.ReadFile("/sys/class/dmi/id/sys_vendor"); err == nil && strings.HasPrefix(string(b), "QEMU") {
		return 3
	}
	return 1
}

// A process that spins at 0.2 cores for 5 s gets 20 % of a core, two points more or less.
func TestCPUShareOfACore(t *testing.T) {
	t.Parallel()
	l := topology.Limits{CPU: 0.2}
	h, lab := contract(t, l)
	const tries = 4
	for try := 1; ; try++ {
		name := fmt.Sprint("n", try)
		start, used := spin(t, create(t, h, lab, name, l))
		start()
		begin := time.Now()
		time.Sleep(5 * time.Second)
		got := used().Seconds() / time.Since(begin).Seconds()
		if off := got - 0.2; off >= -0.02*slack() && off <= 0.02*slack() {
			return
		}
		// A busy machine can give it less than it may have, never more.
		if got > 0.2 || try == tries {
			t.Fatalf("a node at 0.2 cores got %.3f", got)
		}
	}
}

// Two nodes of weights 100 and 300 on one processor share it 1:3.
func TestWeightsShareAProcessor(t *testing.T) {
	t.Parallel()
	h, lab := contract(t, topology.Limits{CPUWeight: 100, CPUSet: "0"})
	ticks := func(pid int) float64 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		p, err := parseStat(b)
		if err != nil {
			t.Fatal(err)
		}
		return float64(p.ticks)
	}
	run := func(name string, weight uint64) int {
		cmd, start := shell(t, "while :; do :; done")
		add(t, create(t, h, lab, name, topology.Limits{CPUWeight: weight, CPUSet: "0"}), cmd)
		start()
		return cmd.Process.Pid
	}
	a, b := run("a", 100), run("b", 300)
	for ticks(a) < 5 || ticks(b) < 5 { // both run
		time.Sleep(10 * time.Millisecond)
	}
	a0, b0 := ticks(a), ticks(b)
	time.Sleep(3 * time.Second)
	gotA, gotB := ticks(a)-a0, ticks(b)-b0
	if ratio := gotB / gotA; ratio < 2.5 || ratio > 3.6 {
		t.Errorf("weights 100 and 300 got %v and %v ticks, 1:%.2f", gotA, gotB, ratio)
	}
}

// A process runs on the processors of its set and no other.
func TestCPUSet(t *testing.T) {
	t.Parallel()
	l := topology.Limits{CPUSet: "0"}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	cmd, _ := shell(t, ":")
	add(t, g, cmd)
	allowed := func() int {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(cmd.Process.Pid, &set); err != nil {
			t.Fatal(err)
		}
		return set.Count()
	}
	if n := allowed(); n != 1 {
		t.Errorf("it may run on %d processors", n)
	}
	node := Node{Name: "n", PID: cmd.Process.Pid}
	if _, err := h.Update(t.Context(), lab, node, topology.Limits{}, []string{"cpuset"}); err != nil {
		t.Fatal(err)
	}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	if n := allowed(); n != all.Count() {
		t.Errorf("without the limit it may run on %d processors", n)
	}
	var u *Unsupported
	if err := h.Check(topology.Limits{CPUSet: "0,8191"}); !errors.As(err, &u) || !strings.Contains(err.Error(), "no processor 8191; it has 0") {
		t.Errorf("a processor that is not there: %v", err)
	}
}

// A node at 10 MiB is killed when it writes the eleventh.
func TestMemoryIsKilled(t *testing.T) {
	t.Parallel()
	l := topology.Limits{Memory: 10 << 20}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	for mib, killed := range map[int]bool{8: false, 11: true} {
		// A file in memory: each byte is one of the node's, and none of a program's.
		file := filepath.Join(t.TempDir(), "f")
		if err := unix.Mount("tmpfs", filepath.Dir(file), "tmpfs", 0, "size=64m"); err != nil {
			t.Fatal(err)
		}
		cmd, start := shell(t, fmt.Sprintf("head -c %d /dev/zero >%s", mib<<20, file))
		add(t, g, cmd)
		start()
		err := cmd.Wait()
		_ = unix.Unmount(filepath.Dir(file), unix.MNT_DETACH)
		if (err != nil) != killed {
			t.Errorf("%d MiB at 10: %v", mib, err)
		}
	}
	if s, err := h.OOM(lab, "n"); err != nil || s.Kills < 1 || s.Peak > 10<<20 {
		t.Errorf("%+v, %v", s, err)
	}
}

// loop makes a block device of some MiB, backed by a file in memory.
func loop(t *testing.T, mib int64) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(mib << 20); err != nil {
		t.Fatal(err)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		testenv.Miss(t, "needs loop devices: "+err.Error())
	}
	defer control.Close()
	for range 10 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		d, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err = unix.IoctlSetInt(int(d.Fd()), unix.LOOP_SET_FD, int(f.Fd())); err == nil {
			t.Cleanup(func() {
				if err := unix.IoctlSetInt(int(d.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
					t.Error(err)
				}
				_ = d.Close()
			})
			return name
		}
		_ = d.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else was quicker
			t.Fatal(err)
		}
	}
	t.Fatal("no free loop device")
	return ""
}

// Reading 3 MiB from a disk at 1 MiB a second takes 2 to 4 s, past what the kernel lets through at first, and
// a moment without the limit.
func TestReadBPS(t *testing.T) {
	t.Parallel()
	h, lab := contract(t, topology.Limits{IO: []topology.IOLimit{{Device: blockDevice(t), ReadBPS: 1}}})
	disk := loop(t, 8)
	l := topology.Limits{IO: []topology.IOLimit{{Device: disk, ReadBPS: 1 << 20}}}
	g := create(t, h, lab, "n", l)
	read := func() time.Duration {
		cmd, start := shell(t, "exec dd if="+disk+" of=/dev/null bs=64k count=48 iflag=direct")
		add(t, g, cmd)
		start()
		begin := time.Now()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		return time.Since(begin)
	}
	if d := read(); d < 2*time.Second || d > 5*time.Second {
		t.Errorf("3 MiB at 1 MiB a second took %v", d)
	}
	cmd, _ := shell(t, ":")
	if _, err := h.Update(t.Context(), lab, Node{Name: "n", PID: cmd.Process.Pid}, topology.Limits{}, []string{"io"}); err != nil {
		t.Fatal(err)
	}
	if d := read(); d > 2*time.Second {
		t.Errorf("3 MiB without a limit took %v", d)
	}
}

// What a disk cannot do is said before anything is made.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	h, _ := contract(t, topology.Limits{IO: []topology.IOLimit{{Device: blockDevice(t), ReadBPS: 1}}})
	for _, c := range []struct {
		io   topology.IOLimit
		want string
	}{
		{topology.IOLimit{Device: "4095:4095", ReadBPS: 1}, "there is no block device 4095:4095"},
		{topology.IOLimit{Device: "/dev/null", ReadBPS: 1}, "is no block device"},
	} {
		var u *Unsupported
		if err := h.Check(topology.Limits{IO: []topology.IOLimit{c.io}}); !errors.As(err, &u) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.io, err)
		}
	}
	if err := h.Check(topology.Limits{HugeTLB: map[string]int64{"4KiB": 4096}}); err == nil || !strings.Contains(err.Error(), "huge") {
		t.Errorf("pages that there are not: %v", err)
	}
}

// Traffic is limited by the disk: a partition is refused with what to name in its place.
func TestPartition(t *testing.T) {
	t.Parallel()
	h, _ := contract(t, topology.Limits{IO: []topology.IOLimit{{Device: blockDevice(t), ReadBPS: 1}}})
	disk := loop(t, 8)
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlLoopSetStatus64(int(f.Fd()), &unix.LoopInfo64{Flags: unix.LO_FLAGS_PARTSCAN}); err != nil {
		t.Fatal(err)
	}
	part := unix.BlkpgPartition{Start: 1 << 20, Length: 2 << 20, Pno: 1}
	arg := unix.BlkpgIoctlArg{Op: unix.BLKPG_ADD_PARTITION, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
	blkpg := func() error {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg))); e != 0 {
			return e
		}
		return nil
	}
	if err := blkpg(); err != nil {
		t.Fatalf("make a partition: %v", err)
	}
	defer func() {
		arg.Op = unix.BLKPG_DEL_PARTITION
		if err := blkpg(); err != nil {
			t.Error(err)
		}
	}()
	name := filepath.Base(disk)
	b, err := os.ReadFile(filepath.Join("/sys/block", name, name+"p1", "dev"))
	if err != nil {
		t.Fatal(err)
	}
	device := strings.TrimSpace(string(b))
	if err := h.Check(topology.Limits{IO: []topology.IOLimit{{Device: device, ReadBPS: 1}}}); err == nil || !strings.Contains(err.Error(), device+" is a partition") {
		t.Errorf("%v", err)
	}
}

// A weight on a disk is refused while nothing shares the disk out, and set when the scheduler BFQ does.
func TestWeightOfDisk(t *testing.T) {
	t.Parallel()
	h, lab := contract(t, topology.Limits{IO: []topology.IOLimit{{Device: blockDevice(t), ReadBPS: 1}}})
	disk := loop(t, 8)
	l := topology.Limits{IO: []topology.IOLimit{{Device: disk, Weight: 300}}}
	if err := h.Check(l); err == nil || !strings.Contains(err.Error(), "echo bfq >") {
		t.Errorf("without a scheduler: %v", err)
	}
	scheduler := filepath.Join("/sys/block", filepath.Base(disk), "queue/scheduler")
	if err := os.WriteFile(scheduler, []byte("bfq"), 0); err != nil {
		t.Logf("not tried: this kernel has no BFQ: %v", err)
		return
	}
	defer func() { _ = os.WriteFile(scheduler, []byte("none"), 0) }()
	g := create(t, h, lab, "n", l)
	var text string
	for _, f := range []string{"io.bfq.weight", "blkio.bfq.weight_device"} {
		b, _ := os.ReadFile(filepath.Join(g.dirs[0], f))
		text += string(b)
	}
	if !strings.Contains(text, " 300") {
		t.Errorf("set: %q", text)
	}
}

// A limit of huge pages is set, kept to where pages are set aside, and taken back.
func TestHugePages(t *testing.T) {
	t.Parallel()
	l := topology.Limits{HugeTLB: map[string]int64{"2MiB": 2 << 20}}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	for _, f := range []string{"hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"} {
		if b, err := os.ReadFile(filepath.Join(g.dirs[0], f)); err == nil && strings.TrimSpace(string(b)) != "2097152" {
			t.Errorf("%s: %s", f, b)
		}
	}
	const size = "/sys/kernel/mm/hugepages/hugepages-2048kB/"
	allocates := func(mib int) bool {
		t.Helper()
		b, err := os.ReadFile(size + "free_hugepages")
		if free, aerr := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || aerr != nil || free < 2 {
			t.Fatalf("no two huge pages are free: %q, %v, %v", b, err, aerr)
		}
		dir := t.TempDir()
		if err := unix.Mount("huge", dir, "hugetlbfs", 0, "pagesize=2M"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
		cmd, start := shell(t, fmt.Sprintf("exec fallocate -l %d %s/f", mib<<20, dir))
		add(t, g, cmd)
		start()
		return cmd.Wait() == nil
	}
	b, _ := os.ReadFile(size + "nr_hugepages")
	aside := strings.TrimSpace(string(b)) != "0" // as in the machines of e2e/vm
	if aside && (!allocates(2) || allocates(4)) {
		t.Error("of 2 and 4 MiB in huge pages, a node at 2 MiB does not get just the first")
	}
	cmd, _ := shell(t, ":")
	if _, err := h.Update(t.Context(), lab, Node{Name: "n", PID: cmd.Process.Pid}, topology.Limits{}, []string{"hugetlb"}); err != nil {
		t.Error(err)
	}
	if aside && !allocates(4) {
		t.Error("without a limit it does not get 4 MiB in huge pages")
	}
}

// Swap: a limit of memory alone leaves none, memory_swap as much more as it says.
func TestMemorySwap(t *testing.T) {
	t.Parallel()
	l := topology.Limits{Memory: 16 << 20, MemorySwap: 48 << 20, MemoryReservation: 8 << 20}
	h, lab := contract(t, l)
	read := func(g *Group) string {
		var all []string
		for _, f := range []string{"memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.swap.max", "memory.low"} {
			if b, err := os.ReadFile(filepath.Join(g.dirs[0], f)); err == nil {
				all = append(all, strings.TrimSpace(string(b)))
			}
		}
		return strings.Join(all, " ")
	}
	got := read(create(t, h, lab, "n", l))
	if got != "50331648 8388608" && got != "33554432 8388608" {
		t.Errorf("set: %s", got)
	}
	got = read(create(t, h, lab, "m", topology.Limits{Memory: 16 << 20}))
	if !strings.HasPrefix(got, "16777216 ") && !strings.HasPrefix(got, "0 ") {
		t.Errorf("set with memory alone: %s", got)
	}
}
