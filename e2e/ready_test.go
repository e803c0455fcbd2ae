package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

func TestRestartPolicy(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  fails: {restart: "on-failure:3", command: "date +%s%N; sleep 1001 & exit 3"}
  once: {restart: on-failure, command: "echo well"}
  always: {restart: always, command: "echo again"}
  killed: {restart: on-failure, command: "echo up; exec sleep infinity"}
`)
		r.until("fails", lab.StateExited)
		n := r.node("fails")
		if n.Restarts != 3 || *n.ExitCode != 3 || n.NextTry != nil {
			t.Errorf("after its tries the node is %+v", n)
		}
		// Twice as long each time.
		lines := strings.Fields(testenv.Must(t, "logs", r.name+"/fails"))
		if len(lines) != 4 {
			t.Fatalf("log: %q", lines)
		}
		var at [4]int64
		for i, l := range lines {
			if _, err := fmt.Sscan(l, &at[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range []time.Duration{100, 200, 400} {
			want *= time.Millisecond
			if d := time.Duration(at[i+1] - at[i]); d < want || d > want+2*time.Second {
				t.Errorf("restart %d came after %v, not %v", i+1, d, want)
			}
		}
		// What each run has left was ended before the next; that of the last stays, as ever.
		if got := r.sh("fails", "pgrep -c -f '^sleep 1001'"); got != "1" {
			t.Errorf("%s processes are left", got)
		}
		if n := r.node("once"); n.State != lab.StateExited || n.Restarts != 0 {
			t.Errorf("a command that has ended well is %+v", n)
		}
		testenv.Eventually(t, 5*time.Second, "always goes on", func() bool { return r.node("always").Restarts > 2 })
		testenv.Must(t, "stop", r.name+"/always")
		count := strings.Count(testenv.Must(t, "logs", r.name+"/always"), "again")
		if n := r.node("always"); n.State != lab.StateStopped || n.NextTry != nil {
			t.Errorf("stopped: %+v", n)
		}
		r.sh("killed", "pkill -9 -x sleep")
		testenv.Eventually(t, 5*time.Second, "a killed one runs again", func() bool {
			n := r.node("killed")
			return n.State == lab.StateRunning && n.Restarts == 1
		})
		if got := strings.Count(testenv.Must(t, "logs", r.name+"/always"), "again"); got != count {
			t.Errorf("a stopped command was started %d times more", got-count)
		}
		testenv.Must(t, "start", r.name+"/always")
		testenv.Eventually(t, 5*time.Second, "always goes on", func() bool { return r.node("always").Restarts > 0 })
	})
}

// A command that cannot be started is an error for start, whatever the policy, which goes on to try.
func TestStartFails(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		program := writeFile(t, dir, "program", "#!/bin/sh\nexec sleep infinity\n")
		chmod(t, program, 0o755)
		r := start(t, writeFile(t, dir, "lab.yaml", `
defaults: {binds: ["./:/bound"], command: [/bound/program]}
nodes: {plain: {}, always: {restart: always}}
`))
		testenv.Must(t, "stop", r.name)
		chmod(t, program, 0o644)
		if got := testenv.Run(t, "start", r.name+"/plain"); got.Code != 126 || !strings.Contains(got.Stderr, "/bound/program") {
			t.Errorf("not executable: %+v", got)
		}
		rename(t, program, program+"2")
		if got := testenv.Run(t, "restart", r.name+"/plain"); got.Code != 127 || !strings.Contains(got.Stderr, "/bound/program") {
			t.Errorf("not there: %+v", got)
		}
		if n := r.node("plain"); n.State != lab.StateExited || *n.ExitCode != 127 || !strings.Contains(n.Reason, "/bound/program") {
			t.Errorf("a node whose command is not there is %+v", n)
		}
		for _, op := range []string{"start", "restart"} {
			if got := testenv.Run(t, op, r.name+"/always"); got.Code != 127 || !strings.Contains(got.Stderr, "/bound/program") {
				t.Errorf("%s of what is not there, which is tried again: %+v", op, got)
			}
		}
		testenv.Eventually(t, 5*time.Second, "it is tried again", func() bool {
			n := r.node("always")
			return n.State == lab.StateRestarting && n.Restarts > 1 && *n.ExitCode == 127 && n.NextTry != nil
		})
		rename(t, program+"2", program)
		chmod(t, program, 0o755)
		r.until("always", lab.StateRunning)
	})
}

// Commands start when what they depend on is there, ready, or done.
func TestDependsOn(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		r := start(t, writeFile(t, dir, "lab.yaml", `
defaults: {binds: ["./:/shared:rw,idmap"]}
nodes:
  last: {command: "test -e /shared/setup && test -e /shared/base && echo started; exec sleep infinity", depends_on: {setup: {condition: exited}, server: {condition: ready}, idle: }}
  setup: {command: "sleep 0.3; test -e /shared/base && touch /shared/setup", depends_on: [base]}
  server: {command: "sleep 0.2; python3 -m http.server 8000", ready: {http: {port: 8000, path: /shared/base, status: 200}}, depends_on: [base]}
  base: {command: "touch /shared/base; exec sleep infinity"}
  idle: {}
`))
		// up does not wait for them.
		if got := r.node("last").State; got != lab.StateWaiting {
			t.Errorf("last is %s", got)
		}
		testenv.Must(t, "up", dir+"/lab.yaml", "--name", r.name, "--wait", "--wait-timeout", "30s")
		testenv.Eventually(t, 5*time.Second, "last has found what it needs", func() bool {
			return testenv.Must(t, "logs", r.name+"/last") == "started\n"
		})
		for name, want := range map[string]string{"last": "running", "setup": "exited(0)", "server": "running(ready)", "base": "running", "idle": "idle"} {
			if got := strings.Fields(row(t, testenv.Must(t, "ps", r.name), name))[2]; got != want {
				t.Errorf("%s is %s, not %s", name, got, want)
			}
		}
		// All of it once more, in order.
		testenv.Must(t, "restart", r.name)
		testenv.Eventually(t, 5*time.Second, "last has started again", func() bool {
			return testenv.Must(t, "logs", r.name+"/last") == "started\nstarted\n"
		})
	})
}

// row is a node's line of a table.
func row(t *testing.T, table, node string) string {
	t.Helper()
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == node {
			return line
		}
	}
	t.Fatalf("no row of %s in\n%s", node, table)
	return ""
}

func TestUpWaits(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		file := writeFile(t, t.TempDir(), "lab.yaml", `
nodes:
  exec: {command: "sleep 0.3; touch /tmp/ready; exec sleep infinity", env: {WHAT: /tmp/ready}, ready: {exec: "test -e $WHAT"}}
  tcp: {command: "sleep 0.3; exec python3 -m http.server 81 --bind 10.3.0.1", ready: {tcp: 81}}
  http: {command: "sleep 0.3; exec python3 -m http.server 80", ready: {http: {}}}
  log: {command: "sleep 0.3; echo 'not yet'; printf 'now ready'; sleep 0.2; echo; exec sleep infinity", ready: {log: "^now .*y$"}}
  idle: {ready: {exec: [ping, -n, -c1, -W1, 10.3.0.1]}}
  job: {command: "true"}
bridges: {lan0: {subnet: 10.3.0.0/24}}
links: [{endpoints: ["tcp:eth0", "lan0"]}, {endpoints: ["idle:eth0", "lan0"]}]
`)
		began := time.Now()
		testenv.Must(t, "up", "--name", name, file, "--wait")
		atEnd(t, testenv.Binary(t), "down", name)
		if d := time.Since(began); d < 500*time.Millisecond {
			t.Errorf("up --wait returned after %v", d)
		}
		r := run{t, name}
		for _, n := range r.status().Nodes {
			if want := map[bool]string{true: "", false: "ready"}[n.Name == "job"]; n.Ready != want {
				t.Errorf("%s: %q, %s", n.Name, n.Ready, n.CheckSaid)
			}
		}
		r.sh("tcp", "python3 -c 'import socket; socket.create_connection((\"10.3.0.1\", 81))'")
		// A log check looks at what comes after a restart.
		testenv.Must(t, "restart", name+"/log")
		if n := r.node("log"); n.Ready != "waiting" {
			t.Errorf("after a restart: %s", n.Ready)
		}
		testenv.Must(t, "up", "--name", name, file, "--wait")
		if n := r.node("log"); n.Ready != "ready" {
			t.Errorf("after up --wait: %s", n.Ready)
		}
	})
}

// up --wait fails with the node, its check and what that has said last; the lab stays up.
func TestUpWaitFails(t *testing.T) {
	t.Parallel()
	const early = "start_period: 0s, retries: 2"
	for name, tc := range map[string]struct {
		nodes string
		want  []string
		state string
	}{
		"exec": {"web: {command: sleep inf, ready: {exec: \"echo the disk is full; exit 7\", " + early + "}}",
			[]string{"node web is not ready: it is unhealthy; check exec /bin/sh -c", "exit code 7: the disk is full"}, "running(unhealthy)"},
		"exec is not there": {"web: {command: sleep inf, ready: {exec: [no-such-program], " + early + "}}",
			[]string{"no-such-program: no such file or directory"}, "running(unhealthy)"},
		"exec hangs": {"web: {command: sleep inf, ready: {exec: [sleep, inf], timeout: 100ms, " + early + "}}",
			[]string{"it took longer than 100ms"}, "running(unhealthy)"},
		"tcp": {"web: {command: sleep inf, ready: {tcp: 80, " + early + "}}", []string{"check tcp 80: ", "connection refused"}, "running(unhealthy)"},
		"http": {"web: {command: python3 -m http.server 80, ready: {http: {path: /no-such-file}, start_period: 5s, retries: 1}}",
			[]string{"check http port 80 path /no-such-file: HTTP/1.0 404"}, "running(unhealthy)"},
		"http without an answer": {"web: {command: \"exec python3 -c 'import socket, time; s = socket.create_server((str(), 80)); time.sleep(1000)'\", ready: {http: {}, timeout: 200ms, start_period: 5s, retries: 1}}",
			[]string{"check http port 80 path /: no answer: ", "i/o timeout"}, "running(unhealthy)"},
		"log": {"web: {command: \"echo starting; sleep inf\", ready: {log: \"^up\", start_period: 300ms}}",
			[]string{`check log "^up": no line matches; the last one: starting`}, "running(unhealthy)"},
		"exited":             {"web: {command: exit 4}, other: {command: sleep inf, ready: {exec: [sleep, inf]}}", []string{"node web is not ready: its command has ended with exit code 4"}, "exited(4)"},
		"exited, with words": {"web: {command: \"seq 20; echo cannot bind >&2; exit 4\", ready: {tcp: 1}}", []string{"NODES/web has written last:\nnsnet:   12\n", "nsnet:   cannot bind\n"}, "exited(4)"},
		"exited before":      {"web: {command: \"true\", ready: {tcp: 1}}", []string{"its command has ended before it was ready"}, "exited(0)"},
		"over and over":      {"web: {command: exit 4, restart: always, ready: {tcp: 1, start_period: 700ms}}", []string{"it is unhealthy; check tcp 1: the command has ended with exit code 4"}, ""},
		"depends on failure": {"base: {command: exit 4}, web: {command: sleep inf, depends_on: {base: {condition: exited}}}", []string{"node base is not ready: its command has ended with exit code 4"}, "waiting"},
		"time is over":       {"web: {command: sleep inf, ready: {tcp: 80}}, b: {command: sleep inf, depends_on: {web: {condition: ready}}}", []string{"not ready after 700ms", "node web is not ready: its check has not passed; check tcp 80: ", "node b is not ready: it waits for node web"}, "running(waiting)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				name := testenv.LabName(t)
				file := writeFile(t, t.TempDir(), "lab.yaml", "nodes: {"+tc.nodes+"}")
				args := []string{"up", "--name", name, file, "--wait"}
				if tc.state == "running(waiting)" {
					args = append(args, "--wait-timeout", "700ms")
				}
				got := testenv.Run(t, args...)
				atEnd(t, testenv.Binary(t), "down", name)
				if got.Code != 11 {
					t.Errorf("exit code %d", got.Code)
				}
				for _, text := range append(tc.want, "the lab stays up") {
					text = strings.ReplaceAll(text, "NODES", name)
					if !strings.Contains(got.Stderr, text) {
						t.Errorf("%q is not in\n%s", text, got.Stderr)
					}
				}
				if state := strings.Fields(row(t, testenv.Must(t, "ps", name), "web"))[2]; tc.state != "" && state != tc.state {
					t.Errorf("the node is %s", state)
				}
			})
		})
	}
}

// What has made a node unhealthy may be mended by the very up that waits: it waits for what is found out afterwards. Without a time of its own
// it waits no longer than for that, and with one until then.
func TestWaitLooksAnew(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		file := func(db string) string {
			return writeFile(t, dir, "lab.yaml", "name: "+name+`
nodes:
  db: {}
  web: {command: [sleep, inf], ready: {exec: "echo >>/tmp/checks; ping -n -c 1 -W 0.3 10.3.0.9", start_period: 0s, retries: 2, interval: 200ms}}
  app: {command: [sleep, inf], depends_on: {web: {condition: ready}}}
bridges: {lan0: {subnet: 10.3.0.0/24}}
links:
  - {endpoints: ["db:eth0", lan0], address: `+db+`}
  - {endpoints: ["web:eth0", lan0], address: 10.3.0.3/24}
`)
		}
		if got := testenv.Run(t, "up", "--wait", file("10.3.0.10/24")); got.Code != 11 || !strings.Contains(got.Stderr, "web is not ready: it is unhealthy") {
			t.Fatalf("up --wait: %+v", got)
		}
		atEnd(t, testenv.Binary(t), "down", name)
		r := run{t, name}
		checks := func() int {
			n, err := strconv.Atoi(r.sh("web", "wc -l </tmp/checks"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, what := range []string{"wait " + name, "wait " + name + "/web", "up --wait " + dir + "/lab.yaml"} {
			before := checks()
			if got := testenv.Run(t, strings.Fields(what)...); got.Code != 11 || !strings.Contains(got.Stderr, "node web is not ready: it is unhealthy") {
				t.Errorf("%s of a node that stays unhealthy: %+v", what, got)
			}
			if n := checks(); n < before+2 {
				t.Errorf("%s has not looked at more than %d checks", what, n-before)
			}
		}
		testenv.Must(t, "up", "--wait", file("10.3.0.9/24"))
		if n := r.node("app"); n.State != lab.StateRunning {
			t.Errorf("app is %s", n.State)
		}

		testenv.Must(t, "up", file("10.3.0.10/24"))
		testenv.Eventually(t, 10*time.Second, "web is unhealthy", func() bool { return r.node("web").Ready == "unhealthy" })
		waits := exec.CommandContext(t.Context(), testenv.Binary(t), "wait", name, "--timeout", "1m")
		if err := waits.Start(); err != nil {
			t.Fatal(err)
		}
		from := checks()
		testenv.Eventually(t, 20*time.Second, "it is checked more often than it takes to be unhealthy", func() bool { return checks() > from+8 })
		testenv.Must(t, "up", file("10.3.0.9/24"))
		if err := waits.Wait(); err != nil {
			t.Errorf("wait with a time: %v", err)
		}
	})
}

// FAULTS 2: how a node's init has ended is shown; policies are about commands, and do not bring it back; up does.
func TestDeadNodeIsShown(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {a: {restart: always, command: [sleep, infinity], ready: {exec: [true]}}, b: {}}")
		testenv.MustCommand(t, "kill", "-9", fmt.Sprint(r.node("a").PID))
		testenv.Eventually(t, 5*time.Second, "ps shows the signal", func() bool {
			return strings.Contains(row(t, testenv.Must(t, "ps", r.name), "a"), " dead (signal 9) ")
		})
		if n := r.node("a"); n.Reason != "the node's init was killed by signal 9" || n.Signal != "SIGKILL" || n.PID != 0 {
			t.Errorf("%+v", n)
		}
		if got := testenv.Run(t, "start", r.name+"/a"); got.Code != 9 || !strings.Contains(got.Stderr, "node a") {
			t.Errorf("start of a dead node: %+v", got)
		}
		if got := testenv.Must(t, "up", "--wait", r.status().File, "--name", r.name); !strings.Contains(got, "its init has ended; node restarted") {
			t.Errorf("up --wait with a dead node: %s", got)
		}
		if got := strings.Fields(row(t, testenv.Must(t, "ps", r.name), "a"))[2]; got != "running(ready)" {
			t.Errorf("up has made it %s", got)
		}
	})
}

// What ps says of a node that is dead it says from the first time on, and it is said of the node's init: not of what its command came to before.
func TestDeadNodeIsShownAtOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		// A pid namespace with more processes ends more slowly.
		r := startText(t, `
defaults: {command: "for i in $(seq 60); do sleep inf & done; wait"}
nodes: {stopped: , restarted: , paused: , signalled: , busy: , nothing: }
`)
		testenv.Must(t, "stop", r.name+"/stopped")
		testenv.Must(t, "restart", r.name+"/restarted")
		testenv.Must(t, "pause", r.name+"/paused")
		testenv.Must(t, "resume", r.name+"/paused")
		testenv.Must(t, "pause", r.name+"/paused")
		testenv.Must(t, "kill", r.name+"/signalled", "-s", "TERM")
		r.until("signalled", lab.StateExited)
		for _, name := range []string{"stopped", "restarted", "paused", "signalled", "busy", "nothing"} {
			testenv.MustCommand(t, "kill", "-9", fmt.Sprint(r.node(name).PID))
			var n lab.NodeStatus
			testenv.Eventually(t, 10*time.Second, name+" is dead", func() bool { n = r.node(name); return n.State == lab.StateDead })
			if name == "paused" && n.Reason == "the node's init was killed while it was paused" && n.Signal == "" && n.ExitCode == nil {
				continue // its end is not there yet
			}
			if n.Reason != "the node's init was killed by signal 9" || n.Signal != "SIGKILL" || n.LastEnd != nil {
				t.Errorf("%s is %q, signal %q, %+v", name, n.Reason, n.Signal, n.LastEnd)
			}
		}
	})
}

// ps counts what plan lists.
func TestDriftIsThePlan(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		hostBridge(t, "goesbr", "1500")
		r := startText(t, `
nodes: {a: {command: [sleep, inf]}, b: {command: [sleep, inf]}, c: {command: "exit 3"}}
bridges: {goesbr: {external: true, subnet: 10.4.0.0/24}}
links: [{endpoints: ["a:eth0", goesbr]}, {endpoints: ["a:eth1", "b:eth1"]}]
`)
		r.until("c", lab.StateExited)
		for _, step := range [][]string{{}, {testenv.Binary(t), "stop", r.name + "/b"}, {"ip", "-n", r.name + ".b", "link", "set", "eth1", "down"}, {"ip", "link", "del", "goesbr"}} {
			if len(step) > 0 {
				testenv.MustCommand(t, step...)
			}
			plan := testenv.Run(t, "plan", "--name", r.name, r.status().File)
			want := fmt.Sprintf("differs from its file: %d change", strings.Count(plan.Stdout, "\n"))
			if got := testenv.Must(t, "ps", r.name); plan.Code != 10 || !strings.Contains(got, want) {
				t.Errorf("after %v: %s\n%+v", step, got, plan)
			}
		}
		testenv.MustCommand(t, "ip", "link", "add", "goesbr", "type", "bridge") // for hostBridge to take away
	})
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
