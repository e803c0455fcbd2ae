package faults

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Goal 6: a lab that is edited to and fro, by each of ten edits, has no more descriptors and mounts in its inits than after the first time,
// and its init comes to have no more memory.
func TestEditsLeaveNothingInTheInits(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, rich())
		for _, d := range []string{"data", "root"} {
			if err := os.Mkdir(filepath.Join(filepath.Dir(r.file), d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		first := strings.ReplaceAll(rich(), "NAME", r.name)
		testenv.Must(t, "up", r.file)
		init := r.status().InitPID
		names := slices.Sorted(maps.Keys(edits()))
		toAndFro := func(name string) {
			t.Helper()
			for _, text := range []string{edits()[name].Replace(first), first} {
				writeFile(t, r.file, text)
				testenv.Must(t, "up", r.file)
			}
		}
		for _, name := range names {
			toAndFro(name) // what is made at first use
			before := r.held()
			toAndFro(name)
			r.holdNoMore(name, before)
		}
		memory := ""
		if full() {
			rounds := func(n int) {
				for range n {
					for _, name := range names {
						toAndFro(name)
					}
				}
			}
			rounds(20) // the Go runtime takes what it may before it looks for what is free
			had := private(t, init)
			rounds(20)
			grown := private(t, init) - had
			memory = fmt.Sprintf(", %+d KiB to its %d KiB over %d changes", grown, had, 2*20*len(names))
			if grown > 1024 {
				t.Errorf("the lab init had %d KiB, and has %d KiB more", had, grown)
			}
		}
		if now := r.status().InitPID; now != init {
			t.Fatalf("the lab init was %d and is %d", init, now)
		}
		goal(t, 6, "a lab init after %d edits to and fro: %s%s", len(names), r.held()["the lab init"], memory)
	})
}

// holdNoMore fails the test when inits that were there before come to hold more. What served the last command may still be on
// its way out.
func (r run) holdNoMore(what string, before map[string]holding) {
	r.t.Helper()
	var more []string
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		more = nil
		after := r.held()
		for who, had := range before {
			if has, still := after[who]; still && (has.descriptors > had.descriptors || has.mounts > had.mounts) {
				more = append(more, fmt.Sprintf("%s had %s, and has %s", who, had, has))
			}
		}
		if len(more) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, m := range more {
		r.t.Errorf("%s: %s", what, m)
	}
}

// holding is what an init has of what the kernel counts.
type holding struct{ descriptors, mounts int }

func (h holding) String() string {
	return fmt.Sprintf("%d descriptors, %d mounts", h.descriptors, h.mounts)
}

// held is what the inits of a lab have.
func (r run) held() map[string]holding {
	r.t.Helper()
	s := r.status()
	pids := map[string]int{"the lab init": s.InitPID}
	for _, n := range s.Nodes {
		pids[fmt.Sprintf("the init %d of %s", n.PID, n.Name)] = n.PID
	}
	m := map[string]holding{}
	for who, pid := range pids {
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
		if err != nil {
			r.t.Fatal(err)
		}
		m[who] = holding{descriptors(r.t, pid), strings.Count(string(mounts), "\n")}
	}
	return m
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	return len(globbed(t, fmt.Sprintf("/proc/%d/fd/*", pid)))
}

// Goal 6: watch itself, while the file is saved again and again.
func TestWatchDoesNotGrow(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		saves := 4
		if full() {
			saves = 400
		}
		r := define(t, "name: NAME\nnodes: {a: {}}\n")
		out := &said{}
		watch := exec.Command(testenv.Binary(t), "watch", "--trust", r.file)
		watch.Stdout, watch.Stderr = out, out
		watch.Env = append(os.Environ(), "GOGC=5") // what is free is not counted
		if err := watch.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = watch.Process.Signal(syscall.SIGINT)
			_ = watch.Wait() // how it ends is TestWatch's
		}()
		says := func(what string, times int) {
			t.Helper()
			testenv.Eventually(t, 20*time.Second, fmt.Sprintf("%q for the %d. time", what, times), func() bool { return out.count(what) >= times })
		}
		says(" is up: ", 1)
		texts := []string{"name: NAME\nnodes: {a: {}, b: {}}\nlinks: [{endpoints: [\"a:x\", \"b:x\"], addresses: [10.1.1.1/32, 10.1.1.2/32]}]\n", "name: NAME\nnodes: {a: {}}\n"}
		descriptorsBefore, memoryBefore := 0, 0
		for i := range saves {
			writeFile(t, r.file+".new", strings.ReplaceAll(texts[i%2], "NAME", r.name))
			if err := os.Rename(r.file+".new", r.file); err != nil {
				t.Fatal(err)
			}
			says(" is up to date: ", i+1)
			if i == saves/2-1 {
				descriptorsBefore, memoryBefore = descriptors(t, watch.Process.Pid), private(t, watch.Process.Pid)
			}
		}
		now, grown := descriptors(t, watch.Process.Pid), private(t, watch.Process.Pid)-memoryBefore
		if now != descriptorsBefore {
			t.Errorf("over %d saves %d descriptors became %d", saves/2, descriptorsBefore, now)
		}
		if full() && grown > 1024 { // before that the Go runtime still takes what it may
			t.Errorf("over %d saves %d KiB became %d KiB more", saves/2, memoryBefore, grown)
		}
		goal(t, 6, "watch after %d saves: %d descriptors, %+d KiB to its %d KiB over the second half", saves, now, grown, memoryBefore)
	})
}

// private is the memory that a process alone has, in KiB. proc_pid_smaps(5).
func private(t *testing.T, pid int) (kib int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^Private_(?:Clean|Dirty): +(\d+) kB$`).FindAllStringSubmatch(string(b), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		kib += n
	}
	return kib
}
