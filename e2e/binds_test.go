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

// replace puts another file in the place of one, as editors, sed -i and git do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	writeFile(t, filepath.Dir(path), "."+filepath.Base(path)+".new", text)
	if err := os.Rename(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new"), path); err != nil {
		t.Fatal(err)
	}
}

// planned is what plan prints for a lab that differs.
func planned(t *testing.T, r run, file string) string {
	t.Helper()
	res := testenv.Run(t, "plan", file, "--name", r.name)
	if res.Code != 10 {
		t.Fatalf("plan: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// The main loop of a router lab: edit what is bound, and have the node see it.
func TestReplacedBind(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, dir, "conf", "one")
		writeFile(t, dir, "other", "same")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(os.MkdirAll(dir+"/d/deep", 0o755))
		writeFile(t, dir, "d/f", "d1")
		// The command looks all the time: it sees the old file or the new one, and never an empty place.
		file := writeFile(t, dir, "lab.yaml", `
nodes:
  a:
    binds: ["./conf:/etc/my.conf", "./other:/etc/other.conf", "./d:/srv/d", "./d:/srv/rw:rw,idmap"]
    command: |
      exec >/tmp/seen; echo begin
      while [ ! -e /tmp/stop ]; do [ -s /etc/my.conf ] && [ -e /srv/d/f ] || echo nothing; done
      echo end
  p: {privileged: true, binds: ["./conf:/etc/my.conf:rw"]}
  b: {}
`)
		r := start(t, file)
		pid := r.status().Nodes[0].CommandPID
		for i := range 10 {
			text := fmt.Sprintf("text %d", i)
			replace(t, dir+"/conf", text)
			if i == 0 {
				got := planned(t, r, file)
				for _, want := range []string{"~ bind  a:/etc/my.conf", "~ bind  p:/etc/my.conf", dir + "/conf is another one now; in place"} {
					if !strings.Contains(got, want) {
						t.Errorf("plan does not say %q:\n%s", want, got)
					}
				}
				if strings.Contains(got, "other.conf") || strings.Contains(got, "/srv") || strings.Count(got, "\n") != 2 {
					t.Errorf("plan says more:\n%s", got)
				}
				if got := testenv.Must(t, "ps", r.name); !strings.Contains(got, "differs from its file: 2 changes") {
					t.Errorf("ps: %s", got)
				}
			}
			testenv.Must(t, "up", file, "--name", r.name)
			for _, n := range []string{"a", "p"} {
				if got := r.sh(n, "cat /etc/my.conf"); got != text {
					t.Fatalf("after replacement %d node %s has %q", i, n, got)
				}
			}
		}
		if got := testenv.Run(t, "plan", file, "--name", r.name); got.Code != 0 {
			t.Errorf("plan after up: exit code %d, %s", got.Code, got.Stdout)
		}
		r.sh("p", "echo -n written >>/etc/my.conf")
		has(t, dir+"/conf", "text 9written")

		// A directory is a file, too.
		must(os.Rename(dir+"/d", dir+"/old"))
		must(os.Mkdir(dir+"/d", 0o755))
		writeFile(t, dir, "d/f", "d2")
		if got := planned(t, r, file); strings.Count(got, "~ bind  a:/srv/") != 2 {
			t.Errorf("plan of a directory that was replaced:\n%s", got)
		}
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.sh("a", "cat /srv/d/f /srv/rw/f; touch /srv/rw/new; stat -c %u /srv/rw/new; touch /srv/d/x 2>&1"+" || true"); got != "d2d20\ntouch: cannot touch '/srv/d/x': Read-only file system" {
			t.Errorf("the new directory: %q", got)
		}
		has(t, dir+"/d/new", "")
		if now := r.status().Nodes[0].CommandPID; now != pid {
			t.Errorf("the command was process %d and is %d", pid, now)
		}
		if got := r.sh("a", "grep -c my.conf /proc/mounts"); got != "1" {
			t.Errorf("%s mounts are where one is", got)
		}
		r.sh("a", "touch /tmp/stop; until grep -q end /tmp/seen; do sleep 0.1; done")
		if got := r.sh("a", "cat /tmp/seen"); got != "begin\nend" && !olderKernel(t, 6, 5) {
			t.Errorf("while files were replaced the node has seen:\n%.200s", got)
		}
	})
}

func olderKernel(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var is [2]int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &is[0], &is[1]); err != nil {
		t.Fatal(err)
	}
	return is[0] < major || is[0] == major && is[1] < minor
}

// restart and start do it as well, of the nodes that they are about; what cannot be done says why, and ends nothing.
func TestReplacedBindOfRestart(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, dir, "conf", "one")
		file := writeFile(t, dir, "lab.yaml", `
defaults: {binds: ["./conf:/etc/my.conf"], command: "cat /etc/my.conf; exec sleep infinity"}
nodes: {a: {}, b: {}}
`)
		r := start(t, file)
		replace(t, dir+"/conf", "two")
		testenv.Must(t, "restart", r.name+"/a")
		if got := r.sh("a", "cat /etc/my.conf") + r.sh("b", "cat /etc/my.conf"); got != "twoone" {
			t.Errorf("after restart of a: %q", got)
		}
		testenv.Eventually(t, 20*time.Second, "the command has the new file", func() bool { return strings.HasSuffix(testenv.Must(t, "logs", r.name+"/a"), "two") })
		testenv.Must(t, "stop", r.name+"/b")
		testenv.Must(t, "start", r.name+"/b")
		if got := r.sh("b", "cat /etc/my.conf"); got != "two" {
			t.Errorf("after start of b: %q", got)
		}
		before := r.status()
		if err := os.Remove(dir + "/conf"); err != nil {
			t.Fatal(err)
		}
		refused := func(want string) {
			t.Helper()
			got := testenv.Run(t, "restart", r.name)
			if got.Code != 1 || !strings.Contains(got.Stderr, want) {
				t.Errorf("restart: exit code %d, %s", got.Code, got.Stderr)
			}
			if now := r.status(); now.Nodes[0].CommandPID != before.Nodes[0].CommandPID || now.Nodes[1].CommandPID != before.Nodes[1].CommandPID {
				t.Error("a restart that was refused has restarted a command")
			}
			if got := r.sh("a", "cat /etc/my.conf"); got != "two" {
				t.Errorf("the node has lost what it had: %q", got)
			}
		}
		refused("bind /etc/my.conf: " + dir + "/conf is gone; the node still has the old one")
		if got := testenv.Run(t, "plan", file, "--name", r.name); got.Code != 3 || !strings.Contains(got.Stderr, `"./conf" does not exist`) {
			t.Errorf("plan: exit code %d, %s", got.Code, got.Stderr)
		}
		if err := os.Mkdir(dir+"/conf", 0o755); err != nil {
			t.Fatal(err)
		}
		refused("is a directory now, or the other way round; nsnet up with the lab's file starts the node anew")
		if got := planned(t, r, file); strings.Count(got, "node restarted") != 2 {
			t.Errorf("plan of a file that has become a directory:\n%s", got)
		}
		testenv.Must(t, "up", file, "--name", r.name)
		r.sh("a", "cd /etc/my.conf")
	})
}

// What the node does where its bind is has no effect on the host. A bind that it has taken off is mounted again, where there is a place.
func TestReplacedBindOfAHostileNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, dir, "conf", "one")
		writeFile(t, dir, "victim", "victim")
		file := writeFile(t, dir, "lab.yaml", `
nodes:
  a: {binds: ["./conf:/srv/my/conf"]}
  b: {binds: ["./conf:/srv/my/conf"], caps: [SYS_ADMIN]}
  c: {binds: ["./conf:/srv/my/conf"], caps: [SYS_ADMIN]}
  d: {binds: ["./conf:/srv/my/conf", "./:/srv/my:rw"]}
`)
		r := start(t, file)
		r.sh("a", "mv /srv/my /srv/aside; mkdir -p /srv/my; ln -s "+dir+"/victim /srv/my/conf")
		r.sh("b", "umount /srv/my/conf; mount -t tmpfs none /srv/my")
		if got := testenv.Run(t, "plan", file, "--name", r.name); got.Code != 0 {
			t.Errorf("plan of places that are gone, and of a bind that another one hides: exit code %d, %s", got.Code, got.Stdout)
		}
		r.sh("c", "umount /srv/my/conf")
		if got := planned(t, r, file); !strings.Contains(got, "~ bind  c:/srv/my/conf ") || !strings.Contains(got, "it is not mounted any more; in place") {
			t.Errorf("plan of a bind that was taken off:\n%s", got)
		}
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.sh("c", "cat /srv/my/conf"); got != "one" {
			t.Errorf("c: %q", got)
		}
		r.sh("c", "umount /srv/my/conf; mount -t tmpfs none /srv/my")
		replace(t, dir+"/conf", "two")
		got := testenv.Run(t, "up", file, "--name", r.name)
		if got.Code != 0 || !strings.Contains(got.Stdout, "nothing to do") {
			t.Errorf("up: exit code %d, %s%s", got.Code, got.Stdout, got.Stderr)
		}
		has(t, dir+"/victim", "victim")
		if got := r.sh("a", "cat /srv/aside/conf; ls /srv/my"); got != "oneconf" {
			t.Errorf("a: %q", got)
		}
		if got := r.sh("b", "ls /srv/my"); got != "" {
			t.Errorf("b: %q", got)
		}
	})
}

// A node that has a bind's path lead to its root, to what the kernel shows, or to another bind, has nothing taken off or covered there, and the
// other nodes' binds are made anew.
func TestReplacedBindsOfPathsThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, d := range []string{"bd", "other"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		writeFile(t, dir, "bd/f", "one")
		writeFile(t, dir, "other/g", "other")
		file := writeFile(t, dir, "lab.yaml", `
defaults: {binds: ["./bd:/data/sub/x:rw", "./other:/other"], command: [sleep, inf]}
nodes:
  root: {}
  proc: {}
  mask: {}
  other: {}
  good: {binds: ["./bd/f:/data/f"]}
`)
		r := start(t, file)
		for node, to := range map[string]string{"root": "/", "proc": "/proc", "mask": "/proc/keys", "other": "/other"} {
			r.sh(node, "mv /data/sub /data/old; mkdir /data/sub; ln -s "+to+" /data/sub/x")
		}
		mounts := func(node string) string { return r.sh(node, "cat /proc/mounts; ls -d /other/g /proc/self /etc") }
		before := map[string]string{}
		for _, n := range []string{"root", "proc", "mask", "other"} {
			before[n] = mounts(n)
		}
		replace(t, dir+"/bd/f", "two")
		// Another directory of that name, too.
		if err := os.Rename(dir+"/bd", dir+"/gone"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir+"/bd", 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "bd/f", "three")
		testenv.Must(t, "restart", r.name)
		testenv.Must(t, "up", file, "--name", r.name)
		for n, want := range before {
			if got := mounts(n); got != want {
				t.Errorf("node %s had\n%s\nand has\n%s", n, want, got)
			}
		}
		if got := r.sh("good", "cat /data/f /data/sub/x/f"); got != "threethree" {
			t.Errorf("the good node has %q", got)
		}
	})
}

// A bind takes along what is mounted below its source, read-only where it is; not where that cannot be idmapped, which up says.
func TestBindsTakeMountsAlong(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, d := range []string{"disk/below", "mixed/below", "mixed/proc"} {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		mount := func(kind, options, at string) {
			t.Helper()
			testenv.MustCommand(t, "mount", "-t", kind, "-o", options, "none", at)
			t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
		}
		mount("tmpfs", "mode=755", dir+"/disk/below")
		mount("tmpfs", "mode=755", dir+"/mixed/below")
		mount("proc", "ro", dir+"/mixed/proc")
		writeFile(t, dir, "disk/below/f", "below")
		writeFile(t, dir, "mixed/top", "top")
		file := writeFile(t, dir, "lab.yaml", `
nodes:
  a: {binds: ["./disk:/ro", "./disk:/rw:rw,idmap", "./disk:/plain:rw", "./mixed:/mixed", "./mixed:/mixed2:rw"]}
`)
		name := testenv.LabName(t)
		up := testenv.Run(t, "up", file, "--name", name)
		atEnd(t, testenv.Binary(t), "down", name)
		if up.Code != 0 || strings.Count(up.Stderr, "is left out, as not all of it can be mounted idmapped: "+dir+"/mixed/") != 2 || strings.Contains(up.Stderr, "/disk/") {
			t.Errorf("up: exit code %d, %s", up.Code, up.Stderr)
		}
		r := run{t, name}
		if got := r.sh("a", "cat /ro/below/f /rw/below/f /plain/below/f; touch /ro/below/x 2>/dev/null || echo no; touch /rw/below/y; stat -c %u:%g /rw/below/y; touch /plain/below/x 2>/dev/null || echo no"); got != "belowbelowbelowno\n0:0\nno" {
			t.Errorf("mounts below: %q", got)
		}
		has(t, dir+"/disk/below/y", "")
		if got := r.sh("a", "cat /mixed/top; ls /mixed/below /mixed/proc /mixed2/proc | grep -v : | tr -d '\\n'"); got != "top" {
			t.Errorf("a directory with proc below: %q", got)
		}
		// What is mounted later is not the node's.
		if err := os.Mkdir(dir+"/disk/late", 0o755); err != nil {
			t.Fatal(err)
		}
		mount("tmpfs", "mode=755", dir+"/disk/late")
		writeFile(t, dir, "disk/late/f", "late")
		if got := r.sh("a", "ls /ro/late"); got != "" {
			t.Errorf("a mount that was made later is in the node: %q", got)
		}
	})
}

// A directory that a root or a union is made of is another one now.
func TestReplacedLayer(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := garden(t)
		file := writeFile(t, dir, "lab.yaml", `
nodes:
  a: {layers: [./fruits]}
  b: {unions: [{path: /mnt/u, layers: [./vegetables]}]}
`)
		r := start(t, file)
		testenv.MustCommand(t, "sh", "-c", "cd "+dir+" && mv fruits old && cp -r old fruits && echo -n new >fruits/apple")
		if got := planned(t, r, file); !strings.Contains(got, "fruits is another directory now; node restarted") || strings.Contains(got, " b ") {
			t.Errorf("plan:\n%s", got)
		}
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.sh("a", "cat /apple"); got != "new" {
			t.Errorf("a: %q", got)
		}
	})
}
