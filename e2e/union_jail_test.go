package e2e

import (
	"bufio"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// attack is what root of a node does to the file by which mergerfs is told what to do.
const attack = `
import os, sys
path = "/u/.mergerfs"
print("names", os.listxattr(path))
def put(name, value):
    try:
        os.setxattr(path, name, value)
        print("set", name)
    except OSError as e:
        print("refused", name, e.errno)
put("user.mergerfs.srcmounts", b"/")
put("user.mergerfs.branches", b"/=RW")
`

// tweaks are whatever else can be told.
const tweaks = attack + `
for name in os.listxattr(path):
    for value in (b"true", b"0", b"all", b"/etc/shadow"):
        put(name, value)
`

// seen lists a tree that a node sees, two levels of it, as what is below is no matter.
const seen = "cd /u; ls -Ad .[!.]* * */* 2>/dev/null | sort | tr '\\n' ' '"

// Root of a node tells the server of a union what to do: to have other branches. The file for that is covered; where it is
// uncovered, all there is to be had is the server's own root.
func TestServerOfUnionIsSteered(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs", "python3")
		dir := garden(t)
		writeFile(t, dir, "secret", "of the host")
		union := `unions: [{path: /u, layers: ["./fruits:rw", "./vegetables:rw"]}]`
		r := start(t, writeFile(t, dir, "lab.yaml", "nodes:\n  n: {"+union+"}\n  admin: {caps: [SYS_ADMIN], "+union+"}\n"))

		got := r.exec("n", "python3", "-c", attack)
		if got.Code != 0 || strings.Contains(got.Stdout, "set ") || !strings.Contains(got.Stdout, "names []") {
			t.Errorf("of a node as it is by default: %+v", got)
		}
		if got := r.sh("n", seen); got != "apple carrots tomato" {
			t.Errorf("then it sees %s", got)
		}

		r.sh("admin", "umount /u/.mergerfs")
		if got := r.exec("admin", "python3", "-c", attack); !strings.Contains(got.Stdout, "set user.mergerfs.branches") {
			t.Errorf("of one with SYS_ADMIN: %+v", got)
		}
		want := "b0 b0/apple b0/tomato b1 b1/carrots b1/tomato bin bin/fusermount bin/mergerfs dev dev/fuse dev/null empty etc etc/group etc/passwd lib "
		said := r.exec("admin", "sh", "-c", seen).Stdout
		if libs, ok := strings.CutPrefix(said, want); !ok || strings.Contains(libs, "etc") || strings.Contains(libs, "home") {
			t.Errorf("then it sees %s", said)
		}
		if got := r.exec("admin", "sh", "-c", "echo x >/u/bin/mergerfs || echo x >/u/empty || echo x >/u/new || echo x >/u/etc/passwd || : </u/dev/null"); got.Code == 0 {
			t.Errorf("it writes or opens: %+v", got)
		}
		if got := r.exec("admin", "python3", "-c", tweaks); strings.Count(got.Stdout, "set user") < 10 {
			t.Errorf("of one with SYS_ADMIN: %+v", got)
		}
		for _, path := range []string{"/u/etc/shadow", "/u/proc/1", "/u" + dir + "/secret"} {
			if got := r.exec("admin", "ls", path); got.Code == 0 {
				t.Errorf("it sees %s: %s", path, got.Stdout)
			}
		}
	})
}

// A server sees its branches and what it runs from, and has no right that it does not need.
func TestServerOfUnionSeesItsBranches(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs", "busybox")
		dir := garden(t)
		testenv.MustCommand(t, "sh", "-ec", `mkdir -p "$0/bin"; cp "$(command -v busybox)" "$0/bin/sh"`, dir+"/root")
		start(t, writeFile(t, dir, "lab.yaml", `
nodes:
  rw: {unions: [{path: /u, layers: ["./fruits:rw", "./vegetables:rw"]}]}
  own: {image: "dir:./root", unions: [{path: /u, storage: fuse, layers: ["./fruits"]}]}
`))
		for branches, want := range map[string][]string{
			"/b0=RW:/b1=RW":  {"b0", "b0/apple", "b0/tomato", "b1", "b1/carrots", "b1/tomato", "bin", "bin/fusermount", "bin/mergerfs", "dev", "dev/fuse", "dev/null", "empty", "etc", "etc/group", "etc/passwd", "union"},
			"/own=RW:/b0=RO": {"b0", "b0/apple", "b0/tomato", "bin", "bin/fusermount", "bin/mergerfs", "dev", "dev/fuse", "dev/null", "empty", "own", "union"},
		} {
			proc := "/proc/" + strconv.Itoa(serverOf(t, branches))
			var names []string
			err := fs.WalkDir(os.DirFS(proc+"/root"), ".", func(path string, _ fs.DirEntry, err error) error {
				if !strings.HasPrefix(path, "lib") && path != "." {
					names = append(names, path)
				} else if base := filepath.Base(path); path != "." && !strings.HasPrefix(base, "lib") && !strings.HasPrefix(base, "ld-") {
					t.Errorf("among its libraries it sees %s", path)
				}
				return err
			})
			if err != nil || !slices.Equal(names, want) {
				t.Errorf("%s: it sees %v, %v", branches, names, err)
			}
			status, err := os.ReadFile(proc + "/status")
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{"CapPrm:\t00000000000000db", "CapBnd:\t00000000000000db", "CapInh:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
				if !strings.Contains(string(status), line+"\n") {
					t.Errorf("%s: no %q in\n%s", branches, line, status)
				}
			}
			for _, kind := range []string{"mnt", "net", "ipc", "uts", "pid", "user"} {
				own, err := os.Readlink("/proc/self/ns/" + kind)
				its, err2 := os.Readlink(proc + "/ns/" + kind)
				if err != nil || err2 != nil || own == its {
					t.Errorf("%s: its %s namespace is %s, the host's %s; %v, %v", branches, kind, its, own, err, err2)
				}
			}
			net, err := os.ReadFile(proc + "/net/dev")
			if err != nil || strings.Count(string(net), ":") != 1 {
				t.Errorf("%s: its network is %s, %v", branches, net, err)
			}
			fds, err := filepath.Glob(proc + "/fd/*")
			if err != nil {
				t.Fatal(err)
			}
			for _, fd := range fds {
				to, _ := os.Readlink(fd)
				if to != "/dev/null" && to != "/dev/fuse" && !strings.HasPrefix(to, "pipe:") {
					t.Errorf("%s: it has %s open", branches, to)
				}
			}
			if env, err := os.ReadFile(proc + "/environ"); err != nil || strings.Contains(string(env), "HOME=") {
				t.Errorf("%s: its environment is %q, %v", branches, env, err)
			}
		}
	})
}

// A directory of a branch that somebody replaces by a symbolic link, after a process of the node has gone into it, leads nowhere.
// A link that is read through the union leads where it leads in the node.
func TestServerOfUnionFollowsNoLinks(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		dir := garden(t)
		writeFile(t, dir, "secret", "of the host")
		if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "fruits/link")); err != nil {
			t.Fatal(err)
		}
		r := start(t, writeFile(t, dir, "lab.yaml", `
nodes:
  n: {unions: [{path: /u, layers: ["./fruits:rw", "./vegetables:rw"]}]}
  m: {binds: ["./fruits:/fruits:rw,idmap"]}
`))
		if got := r.exec("n", "cat", "/u/link"); got.Code == 0 {
			t.Errorf("a link to a file of the host is %q", got.Stdout)
		}
		if got := r.sh("n", "mkdir -p "+dir+"; echo of the node >"+dir+"/secret; cat /u/link; readlink /u/link"); got != "of the node\n"+filepath.Join(dir, "secret") {
			t.Errorf("then it is %q", got)
		}
		for i, c := range []struct{ target, file string }{{dir, "secret"}, {"/etc", "passwd"}, {"/lib", "libm.so.6"}, {"/b1", "carrots"}, {"../../../../../../etc", "passwd"}} {
			sub := "sub" + strconv.Itoa(i)
			// The shell in the node keeps the directory as its working directory.
			inside := r.command("-i", r.name+"/n", "--", "sh", "-c", "mkdir /u/"+sub+" && cd /u/"+sub+" && echo ready && read go; cat "+c.file+" && echo mine >new")
			stdin, err := inside.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := inside.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := inside.Start(); err != nil {
				t.Fatal(err)
			}
			said := bufio.NewReader(stdout)
			if line, err := said.ReadString('\n'); line != "ready\n" {
				t.Fatalf("%q, %v", line, err)
			}
			r.sh("m", "cd /fruits; mv "+sub+" was"+sub+"; ln -s "+c.target+" "+sub)
			_ = stdin.Close()
			rest, err := io.ReadAll(said)
			if ended := inside.Wait(); ended == nil || err != nil || len(rest) > 0 {
				t.Errorf("%s of a directory that became a link to %s: %q, %v, %v", c.file, c.target, rest, err, ended)
			}
		}
		for _, path := range []string{dir + "/new", dir + "/vegetables/new", "/etc/new"} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("there is %s", path)
			}
		}
	})
}

// A server lives as long as the lab, and is the same whoever has brought that up.
func TestServerOfUnionGetsNothingOfTheCaller(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs", "prlimit", "choom", "taskset")
		file := writeFile(t, garden(t), "lab.yaml", `nodes: {n: {unions: [{path: /u, layers: ["./fruits:rw", "./vegetables:rw"]}]}}`)
		looks := func(prefix ...string) string {
			t.Helper()
			name := testenv.LabName(t)
			testenv.MustCommand(t, append(prefix, append([]string{testenv.Binary(t)}, testenv.Trusting("up", "--name", name, file)...)...)...)
			defer testenv.Must(t, "down", name)
			proc := "/proc/" + strconv.Itoa(serverOf(t, "/b0=RW:/b1=RW"))
			return testenv.MustCommand(t, "sh", "-c", `cd "$0"; cut -d" " -f19,40,41 stat; grep -E "^(Sig[BIC]|Cpus_allowed_list|Umask)" status; cat limits oom_score_adj timerslack_ns personality`, proc)
		}
		want := looks()
		if got := looks("prlimit", "--cpu=100000:", "--memlock=65536:", "--", "choom", "-n", "300", "--", "nice", "-n", "7", "taskset", "-c", "0", "sh", "-c", "umask 077; exec \"$0\" \"$@\""); got != want {
			t.Errorf("it is\n%s\nand not\n%s", got, want)
		}
	})
}
