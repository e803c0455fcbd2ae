package cgroups

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// counter starts a script as the init of a node, which makes a file longer all the time, in a
// child's child, and returns the file.
func counter(t *testing.T, h *Host, lab, script string) (*exec.Cmd, string) {
	t.Helper()
	// Not the test's own directory: what the shell has forked writes until it is gone, too.
	dir, err := os.MkdirTemp("", "nsnet-freeze-") //nolint:usetesting // t.TempDir fails the test where a writer has not ended yet
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(10 * time.Second); os.RemoveAll(dir) != nil || exists(dir); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s cannot be removed", dir)
				return
			}
		}
	})
	file := filepath.Join(dir, "count")
	cmd, start := shell(t, strings.ReplaceAll(script, "FILE", file))
	t.Cleanup(func() { h.thaw(lab) }) // comes before the wait for the shell's end
	start()
	grows(t, file, true)
	return cmd, file
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

const nested = "(sh -c 'while :; do echo x >>FILE; sleep 0.01; done'; :) & wait"

// grows fails the test unless a file grows, or does not, in what is a long time for it.
func grows(t *testing.T, file string, want bool) {
	t.Helper()
	size := func() int64 {
		s, err := os.Stat(file)
		if err != nil {
			return 0
		}
		return s.Size()
	}
	before, wait := size(), 300*time.Millisecond
	if want {
		wait = 5 * time.Second
	}
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if size() > before {
			if !want {
				t.Error("it goes on")
			}
			return
		}
	}
	if want {
		t.Error("it does not go on")
	}
}

func freezable(t *testing.T) (*Host, string) {
	t.Helper()
	h, lab := contract(t, topology.Limits{})
	if err := h.CanFreeze(); err != nil {
		testenv.Miss(t, err.Error())
	}
	return h, lab
}

func TestFreezeAndThaw(t *testing.T) {
	h, lab := freezable(t)
	a, fileA := counter(t, h, lab, nested)
	b, fileB := counter(t, h, lab, nested)
	nodes := []Node{{"a", a.Process.Pid}, {"b", b.Process.Pid}}
	for range 2 { // what is frozen can be frozen once more
		if err := h.Freeze(t.Context(), lab, nodes...); err != nil {
			t.Fatal(err)
		}
	}
	grows(t, fileA, false)
	grows(t, fileB, false)
	if err := h.Thaw(lab, "a", "never-seen"); err != nil {
		t.Fatal(err)
	}
	grows(t, fileA, true)
	grows(t, fileB, false)
	if err := h.Thaw(lab, "a", "b"); err != nil {
		t.Fatal(err)
	}
	grows(t, fileB, true)
	// Its group is there by now, and all is in it.
	if err := h.Freeze(t.Context(), lab, nodes[1]); err != nil {
		t.Fatal(err)
	}
	grows(t, fileB, false)
	begin := time.Now()
	removeAll(t, h, lab)
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("removing what is frozen took %v", d)
	}
	grows(t, fileA, false)
}

// TestFreezeWhatForks freezes processes that come and go all the time, which a version 1 group
// makes hard. (runc #3134)
func TestFreezeWhatForks(t *testing.T) {
	h, lab := freezable(t)
	cmd, file := counter(t, h, lab, "for i in 1 2 3 4; do while :; do (:; (echo x >>FILE) & wait); done & done; wait")
	for range 5 {
		if err := h.Freeze(t.Context(), lab, Node{"n", cmd.Process.Pid}); err != nil {
			t.Fatal(err)
		}
		grows(t, file, false)
		if err := h.Thaw(lab, "n"); err != nil {
			t.Fatal(err)
		}
		grows(t, file, true)
	}
}

// A group is not frozen because it was told to be: a process in the kernel may take its time.
func TestFreezeWaits(t *testing.T) {
	root := t.TempDir()
	h := &Host{Version: V2, hierarchies: []hierarchy{{root: root, unified: true}}}
	dir := filepath.Join(root, base, "lab", "n")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write("cgroup.controllers", "")
	write("cgroup.procs", "")
	write("cgroup.freeze", "0")
	write("cgroup.events", "populated 1\nfrozen 0\n")
	done := make(chan error, 1)
	go func() { done <- h.Freeze(t.Context(), "lab", Node{"n", 1 << 30}) }()
	await(t, "it is told to freeze", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "cgroup.freeze"))
		return string(b) == "1"
	})
	select {
	case err := <-done:
		t.Fatalf("it is not frozen, and Freeze ends: %v", err)
	case <-time.After(20 * freezeLook):
	}
	write("cgroup.events", "populated 1\nfrozen 1\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFreezeEndsWithItsContext(t *testing.T) {
	h, lab := freezable(t)
	cmd, _ := counter(t, h, lab, nested)
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("enough"))
	if err := h.Freeze(ctx, lab, Node{"n", cmd.Process.Pid}); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v", err)
	}
}

func TestCanFreeze(t *testing.T) {
	for _, h := range []*Host{
		{Version: None},
		{Version: V1, hierarchies: []hierarchy{{root: "/", controllers: []string{"memory"}}}},
		{Version: V1, hierarchies: []hierarchy{{root: "/", readOnly: true, controllers: []string{"freezer"}}}},
		{Version: V2, hierarchies: []hierarchy{{root: "/no/such", unified: true}}},
	} {
		err := h.CanFreeze()
		var u *Unsupported
		if !errors.As(err, &u) || u.Reason == "" || u.Remedy == "" || !strings.Contains(err.Error(), "freezer") {
			t.Errorf("%+v: %v", h, err)
		}
		if err := h.Freeze(t.Context(), "lab", Node{"n", 1 << 30}); !errors.As(err, &u) {
			t.Errorf("%+v: freeze: %v", h, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	const line = "7 (a) b (c)) S 3 7 7 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 5 0 99 0 0\n"
	for text, want := range map[string]process{
		line:                                   {parent: 3, ticks: 110, threads: 5},
		strings.Replace(line, ") S", ") Z", 1): {parent: 3, ticks: 110, threads: 5},
		"1 (x) Z 0 1 1 0 -1 0 0 0 0 0 1 0 0 0 20 0 1 0 99 0": {dead: true, ticks: 1, threads: 1},
	} {
		got, err := parseStat([]byte(text))
		if d := cmp.Diff(want, got, cmp.AllowUnexported(process{})); d != "" || err != nil {
			t.Errorf("%q: %v\n%s", text, err, d)
		}
	}
	for _, text := range []string{"", "1", "1 (x", "1 (x) S 1 2", "1 (x) S z 7 7 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 5 0"} {
		if _, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestBelow(t *testing.T) {
	tr := &tree{all: map[int]process{}, children: map[int][]int{1: {2, 3}, 2: {4}, 4: {5}}}
	for _, pid := range []int{1, 2, 3, 4, 5} {
		tr.all[pid] = process{pid: pid}
	}
	var got []int
	for _, p := range tr.below(2) {
		got = append(got, p.pid)
	}
	if d := cmp.Diff([]int{2, 4, 5}, got); d != "" {
		t.Error(d)
	}
	if l := tr.below(9); l != nil {
		t.Errorf("of a process that is not there: %v", l)
	}
}
