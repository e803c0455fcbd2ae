package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Before a node is ended for another one of the same files, it looks whether the new one's command could start: what it has written is
// lost with it.
func TestNodeOutlivesACommandThatCannotStart(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		file := func(a string) string {
			return writeFile(t, dir, "lab.yaml", "bridges: {lan0: {subnet: 10.5.0.0/24}}\nnodes: {a: {"+a+"}, b: {}}\nlinks: [{endpoints: ['a:eth0', lan0]}, {endpoints: ['b:eth0', lan0]}]\n")
		}
		r := start(t, file(""))
		pid := r.node("a").PID
		testenv.Must(t, "exec", r.name+"/a", "--", "sh", "-c", "echo precious >/srv/data")
		for more, code := range map[string]int{
			"command: [/usr/sbin/ngnix]":                           127,
			"caps: [SYS_ADMIN], command: [slep, '1']":              127,
			"hostname: other, command: [sleep, '1'], user: nosuch": 126,
			"command: [sleep, '1'], workdir: /none, tun: true":     126,
		} {
			path := file(more)
			for _, command := range []string{"plan", "up"} {
				if got := testenv.Run(t, command, "--name", r.name, path); got.Code != code || !strings.Contains(got.Stderr, "node a") {
					t.Errorf("%s of %s: %+v", command, more, got)
				}
			}
			if n := r.node("a"); n.PID != pid {
				t.Fatalf("%s: the node is another one: %+v", more, n)
			}
		}
		if got := testenv.Must(t, "exec", r.name+"/a", "--", "cat", "/srv/data"); got != "precious\n" {
			t.Errorf("it has %q", got)
		}
		testenv.Must(t, "exec", r.name+"/b", "--", "ping", "-c", "1", "-W", "1", "a")
		testenv.Must(t, "up", "--name", r.name, file("caps: [SYS_ADMIN], command: [sleep, infinity]"))
		if n := r.node("a"); n.PID == pid || n.State != "running" {
			t.Errorf("a command that can start: %+v", n)
		}
	})
}

// What commands of exec begin with is given to an idle node that runs on.
func TestEnvironmentOfAnIdleNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		file := func(a string) string { return writeFile(t, dir, "lab.yaml", "nodes: {a: {"+a+"}}\n") }
		r := start(t, file("env: {WHO: one}"))
		pid := r.node("a").PID
		next := file("env: {WHO: two}, workdir: /usr")
		if got := testenv.Run(t, "plan", "--name", r.name, next); got.Code != 10 || !strings.Contains(got.Stdout, "env, workdir changed; in place") {
			t.Errorf("%+v", got)
		}
		testenv.Must(t, "up", "--name", r.name, next)
		if got := r.sh("a", "echo $WHO; pwd"); got != "two\n/usr" || r.node("a").PID != pid {
			t.Errorf("it says %q, and its init was %d and is %d", got, pid, r.node("a").PID)
		}
		if got := testenv.Must(t, "up", "--name", r.name, next); !strings.Contains(got, "nothing to do") {
			t.Errorf("once more: %q", got)
		}
	})
}
