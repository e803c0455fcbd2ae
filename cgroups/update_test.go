package cgroups

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// TestUpdate gives a running node a limit that it had not, with a child that runs already, and
// takes it back.
func TestUpdate(t *testing.T) {
	set := topology.Limits{Pids: 3}
	h, lab := contract(t, set)
	file := t.TempDir() + "/said"
	// Four processes at once, again and again, by a child of the node's init.
	script := "(while :; do sh -c 'sleep 0.02 & sleep 0.02 & wait; echo yes >>FILE' 2>/dev/null || echo no >>FILE; done); :"
	cmd, start := shell(t, strings.ReplaceAll(script, "FILE", file))
	start()
	n := Node{"n", cmd.Process.Pid}
	says := func(word string) func() bool {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return func() bool {
			b, _ := os.ReadFile(file)
			return strings.HasSuffix(string(b), strings.Repeat(word+"\n", 3))
		}
	}
	await(t, "without a limit it has four processes", says("yes"))
	if _, err := h.Update(t.Context(), lab, n, set, nil); err != nil {
		t.Fatal(err)
	}
	await(t, "limited to three it is refused a fourth", says("no"))
	if _, err := h.Update(t.Context(), lab, n, topology.Limits{}, []string{"cpu", "cpu_weight", "memory", "pids"}); err != nil {
		t.Fatal(err)
	}
	await(t, "its limit taken back it has four again", says("yes"))
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func TestUpdateMemoryKills(t *testing.T) {
	l := topology.Limits{Memory: 256 << 20}
	h, lab := contract(t, l)
	file := t.TempDir()
	cmd, start := shell(t, "(x=$(head -c 67108864 /dev/zero | tr '\\0' x); echo >"+file+"/full; sleep 60; echo ${#x}); echo >"+file+"/dead; sleep 60")
	g := create(t, h, lab, "n", l)
	add(t, g, cmd)
	start()
	exists := func(name string) func() bool {
		return func() bool { _, err := os.Stat(file + name); return err == nil }
	}
	await(t, "the child has its memory", exists("/full"))
	n := Node{"n", cmd.Process.Pid}
	if _, err := h.Update(t.Context(), lab, n, topology.Limits{Memory: 128 << 20}, nil); err != nil {
		t.Fatal(err)
	}
	if exists("/dead")() {
		t.Error("killed, with room for all it has")
	}
	if _, err := h.Update(t.Context(), lab, n, topology.Limits{Memory: 10 << 20}, nil); err != nil {
		t.Fatal(err)
	}
	await(t, "the child is dead", exists("/dead"))
	if u := usageOf(t, h, lab, n); u.Memory == nil || *u.Memory > 10<<20 || *u.MemoryLimit != 10<<20 || u.Pids == 0 {
		t.Errorf("after it: %+v", u)
	}
}

func TestUpdateRefuses(t *testing.T) {
	h, lab := contract(t, topology.Limits{Pids: 1})
	n := Node{"n", unix.Getpid()}
	if _, err := h.Update(t.Context(), lab, n, topology.Limits{}, []string{"speed"}); err == nil || !strings.Contains(err.Error(), "speed") {
		t.Errorf("%v", err)
	}
}

// The node's init is not what pays for a new limit, even where it has the most: then the limit is refused.
func TestUpdateSparesTheInit(t *testing.T) {
	l := topology.Limits{Memory: 256 << 20}
	h, lab := contract(t, l)
	dir := t.TempDir()
	if err := unix.Mkfifo(dir+"/never", 0o600); err != nil {
		t.Fatal(err)
	}
	// Without a child that could be killed in its place, by the end of which it would end, too.
	cmd, start := shell(t, strings.ReplaceAll("x=$(dd if=/dev/zero bs=1M count=8 | tr '\\0' x); echo >DIR/full; read y <>DIR/never; echo ${#x}", "DIR", dir))
	g := create(t, h, lab, "n", l)
	add(t, g, cmd)
	start()
	await(t, "the init has its memory", func() bool { return exists(dir + "/full") })
	if _, err := h.Update(t.Context(), lab, Node{"n", cmd.Process.Pid}, topology.Limits{Memory: 4 << 20}, nil); err == nil {
		t.Error("the init's 8 MiB are within 4")
	}
	if p, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid)); err != nil || strings.Contains(string(p), ") Z") {
		t.Errorf("the init is gone: %s, %v", p, err)
	}
	if u := usageOf(t, h, lab, Node{"n", cmd.Process.Pid}); u.MemoryLimit == nil || *u.MemoryLimit != 256<<20 {
		t.Errorf("after an update that was refused: %+v", u)
	}
}
