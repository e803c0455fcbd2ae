package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// twoOfNames is a lab whose nodes have lines of their own in /etc/hosts and a resolv.conf.
const twoOfNames = `
nodes:
  a: {hosts: ["1.2.3.4 HOST"], dns: {nameservers: [192.0.2.NUMBER]}, binds: ["./bind:/bind:rw"]}
  b: {hosts: ["1.2.3.4 HOST"], dns: {nameservers: [192.0.2.NUMBER]}}
`

// What a node makes of its own /etc/hosts and resolv.conf is no matter of up's: it does not wait, does not write elsewhere, says so, and
// sees to the other nodes.
func TestUpdateOfNodesWithHostileFiles(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "bind"), 0o777); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "bind/roots", "of root")
		file := func(host, number string) string {
			return writeFile(t, dir, "lab.yaml", strings.NewReplacer("HOST", host, "NUMBER", number).Replace(twoOfNames))
		}
		r := start(t, file("first", "1"))
		times := 1
		for _, c := range []struct{ made, says string }{ // what up says of hosts; of resolv.conf only of a directory, as what else is there is replaced
			{"mkfifo FILE", "it is a named pipe"},
			{"mkdir FILE", "is a directory"},
			{"mkdir FILE; : >FILE/full", "is a directory"},
			{"ln -s loop FILE", "symbolic links"},
			{"python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"FILE\")'", "it is a socket"},
			{"ln -s /bind/roots FILE", ""},
			{"ln -s /proc/self/mem FILE", ""},
			{"ln -s /dev/tty FILE", ""},
			{"ln -s FILE.fifo FILE; mkfifo FILE.fifo", "it is a named pipe"},
		} {
			for _, name := range []string{"hosts", "resolv.conf"} {
				r.sh("a", strings.ReplaceAll("cd /etc; rm -rf FILE FILE.fifo; ln -sf loop loop; "+c.made, "FILE", name))
				times++
				number := strconv.Itoa(times)
				host := "host" + number + "x"
				got := bounded(t, "up", "--name", r.name, file(host, number))
				if got.Code != 0 {
					t.Fatalf("%s: %s: %+v", name, c.made, got)
				}
				if says := c.says; name == "hosts" || says == "is a directory" {
					if said := strings.Contains(got.Stderr, "a: its /etc/"+name+" stays as it is: "); said != (says != "") || !strings.Contains(got.Stderr, says) {
						t.Errorf("%s: %s: it says %s", name, c.made, got.Stderr)
					}
				}
				if got := r.sh("b", "cat /etc/hosts /etc/resolv.conf"); !strings.Contains(got, host) || !strings.Contains(got, "192.0.2."+number+"\n") && !strings.HasSuffix(got, "192.0.2."+number) {
					t.Errorf("%s: %s: the other node has %s", name, c.made, got)
				}
				has(t, filepath.Join(dir, "bind/roots"), "of root")
				r.sh("a", strings.ReplaceAll("cd /etc; rm -rf FILE; : >FILE", "FILE", name))
			}
		}
	})
}

// A node with SYS_ADMIN can make a directory of the host its root. Files there that are root's are not written.
func TestUpdateOfNodeWithAnotherRoot(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "bind/etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "bind/etc/hosts", "of root")
		writeFile(t, dir, "bind/etc/resolv.conf", "of root")
		file := func(host, number string) string {
			text := strings.NewReplacer("HOST", host, "NUMBER", number).Replace(twoOfNames)
			return writeFile(t, dir, "lab.yaml", strings.Replace(text, "binds:", "caps: [SYS_ADMIN], binds:", 1))
		}
		r := start(t, file("first", "1"))
		r.sh("a", "cd /bind && pivot_root . .")
		if got := bounded(t, "up", "--name", r.name, file("second", "2")); got.Code != 0 || !strings.Contains(got.Stderr, "it is not the node's own") {
			t.Errorf("%+v", got)
		}
		has(t, filepath.Join(dir, "bind/etc/hosts"), "of root")
		has(t, filepath.Join(dir, "bind/etc/resolv.conf"), "of root")
		if got := r.sh("b", "cat /etc/hosts"); !strings.Contains(got, "second") {
			t.Errorf("the other node has %s", got)
		}
	})
}

// bounded runs nsnet and kills it where it takes very long: a test of what must not hang.
func bounded(t *testing.T, args ...string) testenv.Result {
	t.Helper()
	return testenv.Command(t, append([]string{"timeout", "-k", "1", "60", testenv.Binary(t)}, testenv.Trusting(args...)...)...)
}
