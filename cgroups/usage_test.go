package cgroups

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

func usageOf(t *testing.T, h *Host, lab string, n Node) Usage {
	t.Helper()
	all, err := h.Usage(lab, n)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

// TestUsage compares what is counted of a node with limits and one without, which do the same.
func TestUsage(t *testing.T) {
	l := topology.Limits{CPU: 1.5, Memory: 256 << 20, Pids: 100}
	h, lab := contract(t, l)
	// 64 MiB in a shell variable, processor time of a child that has ended, and three processes.
	const script = "x=$(head -c 67108864 /dev/zero | tr '\\0' x); (i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); sleep 60 & sleep 60"
	limited, startLimited := shell(t, script)
	g := create(t, h, lab, "limited", l)
	add(t, g, limited)
	free, startFree := shell(t, script)
	startLimited()
	startFree()
	begin := time.Now()
	for _, n := range []Node{{"limited", limited.Process.Pid}, {"free", free.Process.Pid}} {
		var u Usage
		for u.Pids != 3 || u.Memory == nil || *u.Memory < 64<<20 || u.CPU < 100*time.Millisecond {
			if u = usageOf(t, h, lab, n); time.Since(begin) > 60*time.Second {
				t.Fatalf("%s: %+v", n.Name, u)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if u.CPU > 2*time.Since(begin) || *u.Memory > 256<<20 {
			t.Errorf("%s: %+v", n.Name, u)
		}
		if n.Name == "free" {
			if u.MemoryOf != MemoryOfProcesses || u.MemoryLimit != nil || u.PidsLimit != nil || u.Throttled != nil {
				t.Errorf("a node without limits: %+v", u)
			}
			continue
		}
		if u.MemoryOf != MemoryOfGroup || u.MemoryLimit == nil || *u.MemoryLimit != 256<<20 || u.PidsLimit == nil || *u.PidsLimit != 100 || u.Throttled == nil {
			t.Errorf("a node with limits: %+v", u)
		}
		if u.MemoryPeak != nil && *u.MemoryPeak < *u.Memory-8<<20 {
			t.Errorf("the peak is below what is in use: %+v", u)
		}
	}
	if u := usageOf(t, h, lab, Node{"gone", 1 << 30}); u != (Usage{}) {
		t.Errorf("a node that has ended: %+v", u)
	}
	removeAll(t, h, lab)
	tr, err := scan()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tr.below(free.Process.Pid) { // they are in no group
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
}

func TestThrottled(t *testing.T) {
	l := topology.Limits{CPU: 0.05}
	h, lab := contract(t, l)
	g := create(t, h, lab, "n", l)
	cmd, start := shell(t, "while :; do :; done")
	add(t, g, cmd)
	start()
	n := Node{"n", cmd.Process.Pid}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		u := usageOf(t, h, lab, n)
		if u.Throttled != nil && *u.Throttled > 200*time.Millisecond {
			if took := time.Since(begin); u.CPU > took/2 {
				t.Errorf("it has got %v in %v", u.CPU, took)
			}
			return
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("a node that spins at 0.05 cores is not throttled: %+v", u)
		}
	}
}

func TestField(t *testing.T) {
	const text = "00-ff ---p 00 00:00 0 [rollup]\nRss:    10 kB\nPss:     7 kB\nPss_Dirty:  3 kB\nbad:\nworse: x\n"
	if n, ok := field([]byte(text), "Pss:"); n != 7 || !ok {
		t.Errorf("%d, %t", n, ok)
	}
	for _, word := range []string{"Swap:", "bad:", "worse:"} {
		if n, ok := field([]byte(text), word); ok {
			t.Errorf("%s %d", word, n)
		}
	}
}

// What a node no longer has is its peak still.
func TestPeak(t *testing.T) {
	l := topology.Limits{Memory: 256 << 20}
	h, lab := contract(t, l)
	// A file in memory: quick to be written on an emulated processor, too.
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	cmd, start := shell(t, fmt.Sprintf("dd if=/dev/zero of=%s/f bs=1M count=16; rm %s/f; sleep 60", dir, dir))
	add(t, create(t, h, lab, "n", l), cmd)
	start()
	n := Node{"n", cmd.Process.Pid}
	await(t, "16 MiB were its peak, and are gone", func() bool {
		u := usageOf(t, h, lab, n)
		return u.Memory != nil && *u.Memory < 8<<20 && u.MemoryPeak != nil && *u.MemoryPeak >= 16<<20
	})
}

// What is read from a disk is no more what is written to it than the other way round, and counts when who did it has ended.
func TestDiskUsage(t *testing.T) {
	h, lab := contract(t, topology.Limits{})
	disk := loop(t, 8)
	cmd, start := shell(t, "dd if="+disk+" of=/dev/null bs=64k count=16 iflag=direct; dd if=/dev/zero of="+disk+" bs=64k count=48 oflag=direct; sleep 60")
	start()
	n := Node{"n", cmd.Process.Pid}
	var u Usage
	await(t, "it has written", func() bool {
		u = usageOf(t, h, lab, n)
		return u.Written != nil && *u.Written >= 3<<20
	})
	if *u.Read < 1<<20 || *u.Read >= 3<<20 || *u.Written != 3<<20 {
		t.Errorf("of 1 MiB read and 3 MiB written: %d and %d", *u.Read, *u.Written)
	}
}

// Threads count, and the dead do not; the time of both does.
func TestUsageOfThreads(t *testing.T) {
	u, err := new(Host).usage("lab", "n", []process{{pid: os.Getpid(), threads: 7, ticks: 150}, {pid: 1 << 30, dead: true, threads: 1, ticks: 50}})
	if err != nil || u.Pids != 7 || u.CPU != 2*time.Second {
		t.Errorf("%+v, %v", u, err)
	}
}
