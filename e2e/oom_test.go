package e2e

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// A node with the least memory that a file may say lives, and runs small commands.
func TestLeastMemory(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {idle: {limits: {memory: 4MiB}}, busy: {command: [sleep, '600'], limits: {memory: 4MiB}}}")
		for _, n := range []string{"idle", "busy"} {
			if got := r.exec(n, "true"); got.Code != 0 {
				t.Errorf("exec in %s: %+v", n, got)
			}
			if s := r.node(n); s.OOMKilled || s.State == lab.StateDead {
				t.Errorf("%+v", s)
			}
		}
		// What is in a tmpfs nobody can be killed for.
		testenv.Must(t, "update", "busy", "--memory", "64MiB")
		r.sh("busy", "head -c 20000000 /dev/zero >/dev/shm/file")
		if got := testenv.Run(t, "update", "busy", "--memory", "8MiB"); got.Code == 0 || !strings.Contains(got.Stderr, "remove some, or give it more memory") {
			t.Errorf("update below what is in use: %+v", got)
		}
		if got := testenv.Run(t, "update", "busy", "--memory", "3MiB"); got.Code != 2 || !strings.Contains(got.Stderr, "memory must be at least 4MiB") {
			t.Errorf("update below the least: %+v", got)
		}
	})
}

// That a process was killed at its node's limit of memory is told with the limit and the peak, whether it was the
// node's command or one that exec started, and whether the kernel did it or an update.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  command: {command: "echo begin; exec tail /dev/zero", limits: {memory: 16MiB}}
  child: {command: [sleep, "600"], limits: {memory: 16MiB}}
  updated: {command: "x=$(head -c 33554432 /dev/zero | tr '\\0' x); echo full; sleep 600; echo ${#x}", limits: {memory: 256MiB}}
  fine: {command: [sleep, "600"], limits: {memory: 64MiB}}
  again: {command: "test -e /tmp/second && exec sleep 600; touch /tmp/second; exec tail /dev/zero", restart: on-failure, limits: {memory: 16MiB}}
`)
		told := func(what, text, limit string) {
			t.Helper()
			if !regexp.MustCompile(`out of memory: limit ` + limit + `, peak [0-9]+\.[0-9] MiB, [0-9]+ process(es)? killed`).MatchString(text) {
				t.Errorf("%s: %q", what, text)
			}
		}
		testenv.Eventually(t, 20*time.Second, "the command is killed", func() bool { return r.node("command").State == lab.StateExited })
		if n := r.node("command"); *n.ExitCode != 137 || n.OOMKills != 1 || n.MemoryPeak > 16<<20 {
			t.Errorf("%+v", n)
		}
		told("inspect", testenv.Must(t, "inspect", r.name+"/command"), "16 MiB")
		if got := testenv.Run(t, "logs", r.name+"/command"); got.Code != 0 || got.Stdout != "begin\n" {
			t.Errorf("logs: %+v", got)
		} else {
			told("logs", got.Stderr, "16 MiB")
		}

		got := r.exec("child", "tail", "/dev/zero")
		if got.Code != 137 {
			t.Errorf("exec: exit code %d", got.Code)
		}
		told("exec", got.Stderr, "16 MiB")

		testenv.Eventually(t, 30*time.Second, "the node has its memory", func() bool { return testenv.Must(t, "logs", r.name+"/updated") == "full\n" })
		testenv.Must(t, "update", "updated", "--memory", "10MiB")
		testenv.Eventually(t, 10*time.Second, "the command is killed", func() bool { return r.node("updated").State == lab.StateExited })
		told("inspect", testenv.Must(t, "inspect", r.name+"/updated"), "10 MiB")
		// Without the limit, too, it stays true.
		testenv.Must(t, "update", "updated", "--memory", "none")
		if n := r.node("updated"); !n.OOMKilled || *n.ExitCode != 137 {
			t.Errorf("%+v", n)
		}

		testenv.Eventually(t, 20*time.Second, "a killed command runs again", func() bool { n := r.node("again"); return n.Restarts == 1 && n.State == lab.StateRunning })
		table := testenv.Must(t, "ps", r.name)
		for _, want := range []string{`command +exited\(137,oom\)`, `child +running `, `updated +exited\(137,oom\)`, `fine +running `, `again +running `} {
			if !regexp.MustCompile(want).MatchString(table) {
				t.Errorf("ps has no %s:\n%s", want, table)
			}
		}
		if got := testenv.Run(t, "logs", r.name+"/fine"); got.Stderr != "" {
			t.Errorf("logs of a node that has lost nothing: %s", got.Stderr)
		}
		if got := r.exec("fine", "sh", "-c", "kill -9 $$"); got.Code != 137 || strings.Contains(got.Stderr, "memory") {
			t.Errorf("exec of a command that kills itself: %+v", got)
		}

		// Of a node whose init is killed, too.
		testenv.MustCommand(t, "kill", "-9", strconv.Itoa(r.node("child").PID))
		testenv.Eventually(t, 10*time.Second, "ps shows it", func() bool {
			return strings.Contains(testenv.Must(t, "ps", r.name), " dead (signal 9, oom) ")
		})
		if got := r.node("child").Reason; !strings.HasPrefix(got, "the node's init was killed by signal 9; out of memory: limit 16 MiB, ") {
			t.Errorf("a node whose init was killed: %q", got)
		}

		// How a command has last ended is told beside what it does now.
		if n := r.node("again"); n.State != lab.StateRunning || n.LastEnd == nil || !n.LastEnd.OOMKilled || n.LastEnd.ExitCode != 137 || n.LastEnd.Signal != "SIGKILL" {
			t.Errorf("a command that was started again: %+v", n)
		}
		if got := testenv.Must(t, "inspect", r.name+"/again"); !regexp.MustCompile(`state +running\n`).MatchString(got) || !regexp.MustCompile(`last ended +killed by SIGKILL, out of memory, [0-9ms]+ ago`).MatchString(got) {
			t.Errorf("inspect: %s", got)
		}

		// A node that is started anew begins to count anew.
		file := r.status().File
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file+".anew", []byte(strings.Replace(string(b), "  fine: {", "  fine: {caps: [SYS_TIME], ", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := r.exec("fine", "tail", "/dev/zero"); got.Code != 137 {
			t.Errorf("exec: exit code %d", got.Code)
		}
		told("exec", testenv.Must(t, "inspect", r.name+"/fine"), "64 MiB")
		if got := testenv.Must(t, "up", file+".anew", "--name", r.name); !strings.Contains(got, "~ node     fine") {
			t.Errorf("up: %s", got)
		}
		if got := testenv.Must(t, "ps", r.name); !regexp.MustCompile(`fine +running `).MatchString(got) {
			t.Errorf("after it was started anew:\n%s", got)
		}
	})
}

// How a command has ended is told of that end alone: neither a process of exec that was killed for its memory before makes it one for want of memory,
// nor one that is killed later.
func TestOutOfMemoryIsOfOneEnd(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  app: {command: "while [ ! -e /stop ]; do sleep 0.1; done; code=$(cat /stop); rm /stop; exit $code", limits: {memory: 64MiB}}
  killed: {command: [sleep, "600"], restart: always, limits: {memory: 64MiB}}
  late: {command: "while [ ! -e /go ]; do sleep 0.1; done; exec tail /dev/zero"}
`)
		eat := func(node string) {
			t.Helper()
			if got := r.exec(node, "tail", "/dev/zero"); got.Code != 137 || !strings.Contains(got.Stderr, "out of memory") {
				t.Fatalf("exec: %+v", got)
			}
		}
		exited := func(node, state string) {
			t.Helper()
			testenv.Eventually(t, 20*time.Second, "the command ends", func() bool { return r.node(node).State == lab.StateExited })
			if got := testenv.Must(t, "ps", r.name); !regexp.MustCompile(node + ` +` + regexp.QuoteMeta(state) + ` `).MatchString(got) {
				t.Errorf("ps has no %s of %s:\n%s", state, node, got)
			}
		}
		ref := r.name + "/app"
		eat("app")
		for _, c := range []struct{ code, state string }{{"3", "exited(3)"}, {"0", "exited(0)"}, {"", "exited(143)"}, {"9", "exited(137)"}} {
			testenv.Must(t, "restart", ref)
			switch c.code {
			case "":
				testenv.Must(t, "kill", "-s", "TERM", ref)
			case "9":
				testenv.Must(t, "kill", ref)
			default:
				r.sh("app", "echo "+c.code+" >/stop")
			}
			exited("app", c.state)
			if got := testenv.Must(t, "inspect", ref); strings.Contains(got, "out of memory") {
				t.Errorf("%s: inspect: %s", c.state, got)
			}
			if got := testenv.Run(t, "logs", ref); got.Code != 0 || got.Stderr != "" {
				t.Errorf("%s: logs: %+v", c.state, got)
			}
		}

		testenv.Must(t, "kill", r.name+"/killed")
		testenv.Eventually(t, 20*time.Second, "it runs again", func() bool { n := r.node("killed"); return n.Restarts == 1 && n.State == lab.StateRunning })
		eat("killed")
		if n := r.node("killed"); n.LastEnd == nil || n.LastEnd.Signal != "SIGKILL" || n.LastEnd.OOMKilled {
			t.Errorf("the end before a process was killed: %+v", n.LastEnd)
		}

		// A limit that the node gets while its command runs counts, too.
		testenv.Must(t, "update", r.name+"/late", "--memory", "16MiB")
		r.sh("late", "touch /go")
		exited("late", "exited(137,oom)")
	})
}
