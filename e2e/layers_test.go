package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// garden makes the two directories of the classic experiments.
func garden(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{"fruits/apple": "apple", "fruits/tomato": "fruit", "vegetables/carrots": "carrot", "vegetables/tomato": "vegetable"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, path, text)
	}
	return dir
}

// has compares a file of the host.
func has(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		b = []byte("(none)")
	}
	if string(b) != want {
		t.Errorf("%s is %q, not %q", path, b, want)
	}
}

func TestUnionsOfDirectories(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		dir := garden(t)
		r := start(t, writeFile(t, dir, "lab.yaml", `
nodes:
  n:
    unions:
      - {path: /mnt/first, layers: [./fruits, ./vegetables]}
      - {path: /mnt/copy, layers: [./fruits, ./vegetables], storage: copy}
      - {path: /mnt/second, layers: ["./fruits:rw", {dir: ./vegetables, mode: rw}]}
  p:
    privileged: true
    unions:
      - {path: /mnt/second, layers: ["./fruits:rw", "./vegetables:rw"]}
`))
		for _, at := range []string{"/mnt/first", "/mnt/copy"} {
			if got := r.sh("n", "cd "+at+"; echo -n mine >carrots; rm apple; mkdir d; chown 7:8 d; echo $(ls) $(cat tomato carrots) $(stat -c %u:%g d)"); got != "carrots d tomato fruitmine 7:8" {
				t.Errorf("%s: %q", at, got)
			}
		}
		has(t, dir+"/vegetables/carrots", "carrot")
		has(t, dir+"/fruits/carrots", "(none)")
		has(t, dir+"/fruits/apple", "apple")
		// Root in the node owns what root owns on the host, and may do with others' files what root may.
		if got := r.sh("n", "cd /mnt/second; echo -n mine >carrots; echo -n mine >tomato; echo new >new; chown 7:8 new; chmod 600 new; cat new; stat -c %u:%g new tomato; su -s /bin/sh nobody -c 'cat new' 2>&1; true"); !strings.HasPrefix(got, "new\n7:8\n0:0\n") || !strings.Contains(got, "Permission denied") {
			t.Errorf("written in place: %q", got)
		}
		has(t, dir+"/vegetables/carrots", "mine")
		has(t, dir+"/vegetables/tomato", "vegetable")
		has(t, dir+"/fruits/tomato", "mine")
		has(t, dir+"/fruits/new", "new\n")
		if got := r.sh("p", "cat /mnt/second/carrots"); got != "mine" {
			t.Errorf("privileged: %q", got)
		}
		if got := r.sh("n", "grep -l mergerfs /proc/[0-9]*/comm; true"); got != "" {
			t.Errorf("the node sees the server of its union: %s", got)
		}
		if got := testenv.Must(t, "inspect", r.name+"/n"); !strings.Contains(got, "/mnt/second: fuse (layers are rw") || !strings.Contains(got, "/mnt/copy: copy (asked for)") {
			t.Errorf("inspect: %s", got)
		}
		testenv.Must(t, "down", r.name)
	})
}

func TestLayersOfTheRoot(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := garden(t)
		r := start(t, writeFile(t, dir, "lab.yaml", `
defaults: {layers: [./fruits, ./vegetables], writable_size: 2MiB}
nodes: {a: {unions: [{path: /mnt/u, layers: [./fruits]}]}, b: {persist: false}}
`))
		if got := r.sh("a", "echo -n mine >/carrots; cat /tomato /carrots; echo; head -c 4M /dev/zero >/big; grep -c '^root:[*]:' /etc/shadow; ls -A /tmp"); got != "fruitmine\n1" {
			t.Errorf("a: %q", got)
		}
		for _, file := range []string{"/big", "/mnt/u/big"} {
			if got := r.sh("a", "[ -e "+file+" ] || head -c 4M /dev/zero >"+file+"; stat -c %s "+file); len(got) > 7 || strings.HasPrefix(got, "4194304") {
				t.Errorf("a writable layer of 2 MiB took the file %s of %s bytes", file, got)
			}
		}
		if got := r.sh("b", "cat /carrots"); got != "carrot" {
			t.Errorf("b sees what a has written: %q", got)
		}
		has(t, dir+"/vegetables/carrots", "carrot")
		has(t, dir+"/fruits/carrots", "(none)")
	})
}

func TestStorageThatCannotBe(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := garden(t)
		name := testenv.LabName(t)
		rw := writeFile(t, dir, "rw.yaml", `nodes: {n: {unions: [{path: /mnt, layers: [./vegetables, "./fruits:rw"]}]}}`)
		for _, c := range []struct {
			args []string
			code int
			text string
		}{
			{[]string{rw, "--storage-driver", "overlay"}, 7, "cannot write to the layer"},
			{[]string{rw, "--storage-driver", "aufs"}, 2, "overlay, fuse, copy"},
			{[]string{writeFile(t, dir, "copy.yaml", `nodes: {n: {storage: copy}}`)}, 3, "copy.yaml:1:22: node n is on the host's root, which is too much to be copied"},
			{[]string{writeFile(t, dir, "plain.yaml", `nodes: {n: {}}`), "--storage-driver", "copy"}, 7, "too much to be copied"},
			{[]string{writeFile(t, dir, "root.yaml", `nodes: {n: {layers: ["./fruits:rw"]}}`)}, 3, "cannot be rw"},
			{[]string{writeFile(t, dir, "none.yaml", `nodes: {n: {layers: [./nuts]}}`)}, 3, "does not exist"},
			{[]string{writeFile(t, dir, "size.yaml", `nodes: {n: {persist: true, writable_size: 4MiB}}`)}, 3, "on disk"},
		} {
			got := testenv.Run(t, append([]string{"up", "--name", name}, c.args...)...)
			if got.Code != c.code || !strings.Contains(got.Stderr, c.text) {
				t.Errorf("up %q: exit code %d, %s", c.args, got.Code, got.Stderr)
			}
		}
	})
}

func TestPersist(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := garden(t)
		file := writeFile(t, dir, "lab.yaml", `
defaults: {persist: true}
nodes:
  other: {persist: false}
  n: {unions: [{path: /mnt/u, layers: [./fruits, ./vegetables]}]}
`)
		r := start(t, file)
		write := "cd /root; echo one >a; chown 1000:33 a; chmod 4711 a; rm -r /etc/apt /mnt/u/apple; echo mine >/mnt/u/carrots; touch /etc/hostname"
		if got := r.sh("n", write); got != "" {
			t.Errorf("%s", got)
		}
		testenv.Must(t, "down", r.name)
		if got := testenv.Must(t, "diff", r.name+"/n"); !strings.Contains(got, "D /etc/apt\n") || !strings.Contains(got, "D /mnt/u/apple\n") || !strings.Contains(got, "C /mnt/u/carrots\n") {
			t.Errorf("diff of what a node that is down keeps: %s", got)
		}
		// Another range of ids: a node more in front of it.
		more := writeFile(t, dir, "more.yaml", strings.Replace(file2text(t, file), "nodes:", "nodes:\n  first: {persist: false}", 1))
		testenv.Must(t, "up", more, "--name", r.name)
		if got := r.sh("n", "stat -c '%u:%g %a' /root/a; cat /mnt/u/carrots; ls -d /etc/apt /mnt/u/apple 2>&1 | wc -l; cat /etc/hostname"); got != "1000:33 4711\nmine\n2\nn" {
			t.Errorf("after down and up: %q", got)
		}
		if got := r.sh("n", "ls -d /etc/apt 2>/dev/null; true"); got != "" {
			t.Errorf("what was removed is back: %s", got)
		}
		// The lab's init killed, too.
		testenv.Must(t, "down", r.name)
		if got := testenv.Run(t, "down", r.name, "--purge"); got.Code != 0 || !strings.Contains(got.Stdout, "kept") {
			t.Errorf("down --purge of a lab that is down: %+v", got)
		}
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.sh("n", "cat /mnt/u/carrots; ls /root"); got != "carrot" {
			t.Errorf("after --purge: %q", got)
		}
		// Another /run does not share what is kept.
		if got := testenv.Command(t, "unshare", "-m", "sh", "-c", "mount -t tmpfs n /run && exec \"$0\" up \"$1\" --name \"$2\"", testenv.Binary(t), file, r.name); got.Code != 5 || !strings.Contains(got.Stderr, "in use by a lab of this name") {
			t.Errorf("a second lab over the same layers: %+v", got)
		}
		testenv.Must(t, "down", r.name, "--purge")
		if _, err := os.Stat("/var/lib/nsnet/nodes"); err == nil {
			t.Error("after --purge something is kept")
		}
	})
}

// A node of a lab that runs can begin to keep what it writes, stop that, and begin again, and finds what it had.
func TestPersistOnAndOff(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		file := writeFile(t, dir, "lab.yaml", "nodes: {n: {}, other: {}}\n")
		r := start(t, file)
		for round, persist := range []bool{true, false, true, false, true} {
			writeFile(t, dir, "lab.yaml", fmt.Sprintf("nodes: {n: {persist: %v}, other: {}}\n", persist))
			testenv.Must(t, "up", file, "--name", r.name)
			switch {
			case round == 0:
				r.sh("n", "echo mine >/root/kept")
			case (r.sh("n", "cat /root/kept 2>/dev/null || true") == "mine") != persist:
				t.Errorf("with persist: %v in round %d: what was kept is there or not", persist, round)
			}
		}
		testenv.Must(t, "down", r.name, "--purge")
	})
}

func file2text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A lab that is killed takes the servers of its unions with it, and what its nodes keep is there for the next.
func TestKilledLabWithUnions(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		dir := garden(t)
		file := writeFile(t, dir, "lab.yaml", `
nodes:
  n: {persist: true, unions: [{path: /mnt/u, layers: ["./fruits:rw", "./vegetables:rw"]}]}
`)
		r := start(t, file)
		r.sh("n", "echo one >/root/a; echo -n mine >/mnt/u/carrots")
		if servers(t) != 1 {
			t.Fatalf("%d servers of one union", servers(t))
		}
		if err := unix.Kill(r.status().InitPID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); servers(t) > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("a server of a union has outlived its lab")
			}
		}
		has(t, dir+"/vegetables/carrots", "mine")
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.sh("n", "cat /root/a /mnt/u/carrots"); got != "one\nmine" {
			t.Errorf("after the lab was killed: %q", got)
		}
		testenv.Must(t, "down", r.name, "--purge")

		testenv.MustCommand(t, "mount", "-o", "remount,ro", "/var/lib/nsnet")
		got := testenv.Run(t, "up", file, "--name", r.name)
		testenv.MustCommand(t, "mount", "-o", "remount,rw", "/var/lib/nsnet")
		if got.Code != 1 || !strings.Contains(got.Stderr, "/var/lib/nsnet") || !strings.Contains(got.Stderr, "read-only file system") {
			t.Errorf("where nothing can be kept: exit code %d, %s", got.Code, got.Stderr)
		}
		if got := testenv.Must(t, "ps", "-q"); got != "" {
			t.Errorf("after an up that failed: %s", got)
		}
	})
}

// servers counts the processes of mergerfs in the test's pid namespace.
func servers(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if b, _ := os.ReadFile(name); strings.TrimSpace(string(b)) == "mergerfs" {
			n++
		}
	}
	return n
}
