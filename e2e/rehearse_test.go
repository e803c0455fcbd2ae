package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// A node that is to become another one is not ended for one that cannot be made, whatever it is that cannot be.
func TestNodeOutlivesADefinitionThatCannotBeMade(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, d := range []string{"dir", "root"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		writeFile(t, dir, "file", "x\n")
		file := func(a string) string {
			return writeFile(t, dir, "lab.yaml", "bridges: {lan0: {subnet: 10.5.0.0/24}}\nnodes: {a: {"+a+"}, b: {}}\nlinks: [{endpoints: ['a:eth0', lan0]}, {endpoints: ['b:eth0', lan0]}]\n")
		}
		const good = "command: [sleep, infinity]"
		r := start(t, file(good))
		before := r.node("a")
		testenv.Must(t, "exec", r.name+"/a", "--", "sh", "-c", "echo precious >/srv/data")
		for _, k := range []struct {
			more, said string
			code       int
		}{
			{good + ", binds: ['./file:/etc/passwd/x']", "/etc/passwd/x: not a directory", 1},
			{good + ", binds: ['./dir:/etc/passwd']", "/etc/passwd: not a directory", 1},
			{good + ", binds: ['./file:/etc']", "/etc: is a directory", 1},
			{good + ", tmpfs: [/etc/passwd]", "mount tmpfs /etc/passwd", 1},
			{good + ", unions: [{path: /etc/passwd, layers: [./dir]}]", "attach the union /etc/passwd", 1},
			{good + ", sysctls: {kernel.msgmax: many}", "set sysctl kernel.msgmax: ", 1},
			{good + ", hostname: other, sysctls: {net.ipv4.ip_default_ttl: 777}", "set sysctl net.ipv4.ip_default_ttl: ", 1},
			{good + ", hostname: other, sysctls: {net.ipv6.conf.eth0.addr_gen_mode: 77}", "set sysctl net.ipv6.conf.eth0.addr_gen_mode: ", 1},
			{"command: [/b/tool], binds: ['./dir:/b']", "run /b/tool: command not found", 127},
			{"command: [/b], binds: ['./dir:/b']", "run /b: ", 126},
			{"command: [/b/file], layers: [./dir], tmpfs: [/b]", "run /b/file: command not found", 127},
			{good + ", binds: ['./dir:/b', './file:/b/x']", "/b/x: read-only file system", 1},
			{good + ", image: 'dir:./root'", "run sleep: command not found", 127},
		} {
			path := file(k.more)
			for _, command := range []string{"plan", "up"} {
				got := testenv.Run(t, command, "--name", r.name, path)
				if got.Code != k.code || !strings.Contains(got.Stderr, "node a: ") || !strings.Contains(got.Stderr, k.said) || strings.Contains(got.Stderr, "run it again to finish") {
					t.Errorf("%s of %s: %+v", command, k.more, got)
				}
			}
			if now := r.node("a"); now.PID != before.PID || now.CommandPID != before.CommandPID || fmt.Sprint(now.Command) != fmt.Sprint(before.Command) || now.State != before.State {
				t.Fatalf("%s: the node was %+v and is %+v", k.more, before, now)
			}
		}
		if got := testenv.Must(t, "exec", r.name+"/a", "--", "cat", "/srv/data"); got != "precious\n" {
			t.Errorf("it has %q", got)
		}
		testenv.Must(t, "exec", r.name+"/b", "--", "ping", "-c", "1", "-W", "1", "a")
		if got := testenv.Run(t, "up", "--name", r.name, file(good)); got.Code != 0 || !strings.Contains(got.Stdout, "nothing to do") {
			t.Errorf("what it is already: %+v", got)
		}

		// For a file that asks for what nobody has allowed nothing is made.
		asks := file(good + ", caps: [SYS_ADMIN], tmpfs: [/etc/passwd]")
		if got := bare(t, "plan", "--name", r.name, asks); got.Code != 13 || !strings.Contains(got.Stdout, "caps, tmpfs changed") {
			t.Errorf("a plan that asks: %+v", got)
		}

		// Whether the place of a bind in what is bound can be made only up finds out.
		path := file(good + ", binds: ['./dir:/b:rw', './file:/b/file2']")
		if got := testenv.Run(t, "plan", "--name", r.name, path); got.Code != 10 {
			t.Errorf("a bind in a directory of somebody else: %+v", got)
		}
		if got := testenv.Run(t, "up", "--name", r.name, path); got.Code != 1 || !strings.Contains(got.Stderr, "/b/file2: permission denied") || r.node("a").PID != before.PID {
			t.Errorf("a bind in a directory of somebody else: %+v", got)
		}
		path = file(good + ", binds: ['./dir:/b:rw,idmap', './file:/b/file'], tmpfs: [/c], sysctls: {kernel.msgmax: 4096}")
		if got := testenv.Run(t, "plan", "--name", r.name, path); got.Code != 10 {
			t.Errorf("a node that can be made: %+v", got)
		}
		if _, err := os.Stat(filepath.Join(dir, "dir", "file")); err == nil {
			t.Error("plan has made the place of a bind in what is bound")
		}
		testenv.Must(t, "up", "--name", r.name, path)
		if n := r.node("a"); n.PID == before.PID || n.State != "running" {
			t.Errorf("a node that can be made: %+v", n)
		}
	})
}

// Nodes that keep what they write, and unions that write what others have, are tried without a write: what the old node has there is there,
// and what the new one is to be made of is as it was.
func TestRehearsalWritesNothing(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, d := range []string{"w", "x", "y", "lower"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		file := func(more string) string {
			return writeFile(t, dir, "lab.yaml", "nodes:\n"+
				"  keeps: {persist: true, unions: [{path: /u, layers: [./lower]}], "+more+"}\n"+
				"  writes: {unions: [{path: /u, layers: ['./w:rw', ./lower]}], "+more+"}\n")
		}
		r := start(t, file("command: [sleep, infinity]"))
		defer testenv.Run(t, "down", "--purge", r.name)
		for _, node := range []string{"keeps", "writes"} {
			testenv.Must(t, "exec", r.name+"/"+node, "--", "sh", "-c", "printf '#!/bin/sh\\nexec sleep infinity\\n' >/u/tool; chmod +x /u/tool; cp /u/tool /srv/tool")
		}
		before := map[string]lab.NodeStatus{"keeps": r.node("keeps"), "writes": r.node("writes")}
		for _, more := range []string{"command: [/u/none], hostname: other", "command: [/srv/none], caps: [SYS_ADMIN]", "command: [/u/tool], tmpfs: [/etc/passwd]"} {
			for _, command := range []string{"plan", "up"} {
				if got := testenv.Run(t, command, "--name", r.name, file(more)); got.Code != 127 && got.Code != 1 {
					t.Errorf("%s of %s: %+v", command, more, got)
				}
			}
		}
		for name, was := range before {
			if now := r.node(name); now.PID != was.PID || now.CommandPID != was.CommandPID {
				t.Fatalf("%s was %+v and is %+v", name, was, now)
			}
		}
		// What was written to the union is in it; what was written to a layer of memory goes with the node.
		testenv.Must(t, "up", "--name", r.name, file("command: [/u/tool], hostname: other"))
		for name, was := range before {
			if now := r.node(name); now.PID == was.PID || now.State != "running" {
				t.Errorf("%s was %+v and is %+v", name, was, now)
			}
			testenv.Must(t, "exec", r.name+"/"+name, "--", "sh", "-c", "echo more >>/u/tool")
		}
		if got := testenv.Must(t, "exec", r.name+"/keeps", "--", "cat", "/srv/tool"); !strings.Contains(got, "sleep infinity") {
			t.Errorf("it keeps %q", got)
		}
		var res lab.UpResult
		if err := json.Unmarshal([]byte(testenv.Must(t, "up", "--json", "--name", r.name, file("command: [/u/tool], hostname: other"))), &res); err != nil || res.Changed {
			t.Errorf("%+v, %v", res, err)
		}
	})
}
