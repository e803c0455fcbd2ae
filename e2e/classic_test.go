package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// The classic union, as aufs had it: the first layer alone is written.

const classicUnion = `{path: /mnt/u, layers: ["./fruits:rw", ./vegetables]}`

// listed is what a directory has.
func listed(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestClassicUnion(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for _, node := range []string{"{unions: [" + classicUnion + "]}", "{privileged: true, unions: [" + classicUnion + "]}", `{unions: [{path: /mnt/u, storage: overlay, layers: ["./fruits:rw", ./vegetables]}], persist: true}`} {
			dir := garden(t)
			testenv.MustCommand(t, "sh", "-euc", `cd "$1"; mkdir vegetables/d; echo x >vegetables/d/x; echo o >vegetables/onion; chown 5:6 fruits/apple; chmod 1751 fruits`, "sh", dir)
			r := start(t, writeFile(t, dir, "lab.yaml", "nodes: {n: "+node+"}\n"))
			if got := r.sh("n", "cd /mnt/u; echo $(ls) $(cat tomato carrots); stat -c '%u:%g %a' . apple | tr '\\n' ' '"); got != "apple carrots d onion tomato fruitcarrot\n0:0 1751 5:6 644" {
				t.Errorf("%s: the union is %q", node, got)
			}
			if got := testenv.Run(t, "commit", "--union", "/mnt/u", r.name+"/n", dir+"/saved"); got.Code != 5 || !strings.Contains(got.Stderr, "written in place: what the node has changed is in "+dir+"/fruits; copy that") {
				t.Errorf("commit of what is written in place: %+v", got)
			}
			// A file is written through it, and lands in fruits; vegetables stay as they are.
			r.sh("n", "cd /mnt/u; echo mine >carrots; echo too >>tomato; mkdir new; echo n >new/file; chown 7:8 new/file; rm onion; rm -r d; mkdir d; mv apple pear")
			has(t, dir+"/fruits/carrots", "mine\n")
			has(t, dir+"/fruits/tomato", "fruittoo\n")
			has(t, dir+"/fruits/new/file", "n\n")
			has(t, dir+"/fruits/pear", "apple")
			has(t, dir+"/vegetables/carrots", "carrot")
			has(t, dir+"/vegetables/tomato", "vegetable")
			has(t, dir+"/vegetables/onion", "o\n")
			has(t, dir+"/vegetables/d/x", "x\n")
			var st unix.Stat_t
			if err := unix.Stat(dir+"/fruits/new/file", &st); err != nil || st.Uid != 7 || st.Gid != 8 {
				t.Errorf("a file of 7:8 in the node is of %d:%d on the host, %v", st.Uid, st.Gid, err)
			}
			if err := unix.Stat(dir+"/fruits/carrots", &st); err != nil || st.Uid != 0 {
				t.Errorf("a file of the node's root is of %d on the host, %v", st.Uid, err)
			}
			// What was removed is hidden by a whiteout, and what a new directory hides by a mark.
			if err := unix.Lstat(dir+"/fruits/onion", &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
				t.Errorf("onion was removed, and in fruits is of mode %o, %v", st.Mode, err)
			}
			b := make([]byte, 8)
			if n, err := unix.Getxattr(dir+"/fruits/d", "trusted.overlay.opaque", b); err != nil || string(b[:n]) != "y" {
				t.Errorf("the mark of d: %q, %v", b, err)
			}
			if n, err := unix.Listxattr(dir+"/fruits", make([]byte, 1024)); err != nil || n > len("trusted.overlay.impure")+1 {
				t.Errorf("fruits itself has marks of %d bytes, %v", n, err)
			}
			if got := r.sh("n", "ls /mnt/u/d /mnt/u/onion 2>&1 | grep -c 'No such file'"); got != "1" {
				t.Errorf("what was removed: %q", got)
			}
			if got := testenv.Must(t, "inspect", r.name+"/n"); !strings.Contains(got, "/mnt/u: overlay (") {
				t.Errorf("inspect: %s", got)
			}
			if got := listed(t, dir); got != ".fruits.nsnet fruits lab.yaml vegetables" {
				t.Errorf("while the lab is up there are %s", got)
			}
			testenv.Must(t, "down", r.name, "--purge")
			if got := listed(t, dir); got != "fruits lab.yaml vegetables" {
				t.Errorf("after down there are %s", got)
			}
			// The union of the next lab finds what was written, whiteouts included.
			testenv.Must(t, "up", dir+"/lab.yaml", "--name", r.name)
			if got := r.sh("n", "cd /mnt/u; echo $(ls) $(cat carrots)"); got != "carrots d new pear tomato mine" {
				t.Errorf("in the next lab: %q", got)
			}
			testenv.Must(t, "down", r.name, "--purge")
		}
	})
}

// One union at a time writes a directory: the kernel would only warn.
func TestClassicUnionIsAlone(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		dir := garden(t)
		file := writeFile(t, dir, "lab.yaml", "nodes: {n: {unions: ["+classicUnion+"]}}\n")
		r := start(t, file)
		refused := func(name, text string, code int, want string, flags ...string) {
			t.Helper()
			got := testenv.Run(t, append([]string{"up", "--name", name, writeFile(t, dir, "other.yaml", text)}, flags...)...)
			if got.Code != code || !strings.Contains(got.Stderr, want) {
				t.Errorf("exit code %d, %s", got.Code, got.Stderr)
			}
		}
		other := testenv.LabName(t)
		holder := dir + "/fruits: conflict: it is written by " + r.name + "/n: /mnt/u, and one union at a time can do that; take that one down"
		refused(other, "nodes: {m: {unions: ["+classicUnion+"]}}\n", 5, holder)
		testenv.MustCommand(t, "ln", "-s", "fruits", dir+"/alias")
		refused(other, "nodes: {m: {unions: [{path: /x, layers: ['./alias:rw']}]}}\n", 5, holder)
		refused(other, "nodes: {m: {unions: [{path: /x, layers: ['./vegetables:rw']}, {path: /y, layers: ['./vegetables:rw', ./fruits]}]}}\n", 3, "the directory "+dir+"/vegetables is written by the union /x of node m already")
		refused(other, "nodes: {m: {unions: [{path: /x, storage: fuse, layers: ['./vegetables:rw']}, {path: /y, storage: fuse, layers: ['./vegetables:rw', ./fruits]}]}}\n", 5, "the directory "+dir+"/vegetables is written by "+other+"/m: /x, and one union at a time can do that", "--storage-driver", "overlay")
		refused(r.name, "nodes: {n: {unions: ["+classicUnion+"]}, m: {unions: ["+classicUnion+"]}}\n", 3, "is written by the union /mnt/u of node n already")
		if got := listed(t, dir); got != ".fruits.nsnet alias fruits lab.yaml other.yaml vegetables" {
			t.Errorf("after what was refused there are %s", got)
		}
		if got := testenv.Command(t, "unshare", "-m", "sh", "-c", `mount -t tmpfs n /run && exec "$0" up "$1" --name "$2"`, testenv.Binary(t), file, r.name+"x"); got.Code != 5 || !strings.Contains(got.Stderr, "it is written by "+r.name) {
			t.Errorf("of another /run: %+v", got)
		}
		if got := r.sh("n", "echo mine >/mnt/u/carrots; cat /mnt/u/carrots"); got != "mine" {
			t.Errorf("the union has %q", got)
		}
		// The union goes to another node, to none, and to a lab that takes over what a killed one has left.
		testenv.Must(t, "up", "--name", r.name, writeFile(t, dir, "lab.yaml", "nodes: {n: {}, m: {unions: ["+classicUnion+"]}}\n"))
		if got := r.sh("m", "cat /mnt/u/carrots"); got != "mine" {
			t.Errorf("in another node: %q", got)
		}
		has(t, dir+"/.fruits.nsnet/holder", r.name+"/m: /mnt/u\n")
		testenv.Must(t, "up", "--name", r.name, writeFile(t, dir, "lab.yaml", "nodes: {n: {}, m: {}}\n"))
		if got := listed(t, dir); strings.Contains(got, "nsnet") {
			t.Errorf("without the union there are %s", got)
		}
		testenv.Must(t, "up", "--name", r.name, writeFile(t, dir, "lab.yaml", "nodes: {n: {}, m: {unions: ["+classicUnion+"]}}\n"))
		if err := unix.Kill(r.status().InitPID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 20*time.Second, "another lab can have the directory", func() bool {
			return testenv.Run(t, "up", "--name", other, writeFile(t, dir, "other.yaml", "nodes: {m: {unions: ["+classicUnion+"]}}\n")).Code == 0
		})
		testenv.Must(t, "gc")
		has(t, dir+"/.fruits.nsnet/holder", other+"/m: /mnt/u\n")
		if err := unix.Kill((run{t, other}).status().InitPID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 20*time.Second, "nothing is left of a killed lab", func() bool {
			return testenv.Run(t, "ps").Code == 0 && !strings.Contains(listed(t, dir), "nsnet")
		})
		// As mergerfs has it, where that is asked for.
		testenv.Must(t, "up", "--name", other, "--storage-driver", "fuse", dir+"/other.yaml")
		if got := testenv.Run(t, "exec", other+"/m", "--", "sh", "-c", "echo x >/mnt/u/onion; ls /mnt/u"); got.Code != 0 || strings.Contains(listed(t, dir), "nsnet") {
			t.Errorf("mergerfs: %+v", got)
		}
		testenv.Must(t, "down", other)
	})
}

func TestClassicUnionThatCannotBe(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := garden(t), testenv.LabName(t)
		text := "nodes: {n: {unions: [" + classicUnion + "]}}\n"
		before := listed(t, dir)
		refused := func(want string) {
			t.Helper()
			got := testenv.Run(t, "up", "--name", name, writeFile(t, dir, "lab.yaml", text))
			if got.Code != 1 || !strings.Contains(got.Stderr, "node n: storage of the union /mnt/u: ") || !strings.Contains(got.Stderr, want) {
				t.Errorf("exit code %d, %s", got.Code, got.Stderr)
			}
			if err := os.Remove(dir + "/lab.yaml"); err != nil {
				t.Fatal(err)
			}
			if got := listed(t, dir); got != before {
				t.Errorf("after it was refused there are %s", got)
			}
		}
		testenv.MustCommand(t, "mount", "-t", "tmpfs", "none", dir+"/fruits")
		refused("something is mounted on " + dir + "/fruits, and the work directory of an overlay has to be beside the layer on the same mount")
		testenv.MustCommand(t, "umount", dir+"/fruits")
		writeFile(t, dir, ".fruits.nsnet", "mine")
		before = listed(t, dir)
		refused(dir + "/.fruits.nsnet: it is in the way, and not nsnet's")
		if err := os.Remove(dir + "/.fruits.nsnet"); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir+"/.fruits.nsnet/mine", 0o700); err != nil {
			t.Fatal(err)
		}
		refused("and not nsnet's")
		if _, err := os.Stat(dir + "/.fruits.nsnet/mine"); err != nil {
			t.Error(err)
		}
	})
}

// A node that may write the directory above replaces what nsnet has there: nothing of it is followed.
func TestClassicUnionOfAHostileNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, victim := garden(t), t.TempDir()
		writeFile(t, victim, "holder", "precious")
		if err := os.Mkdir(filepath.Join(victim, "work"), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, victim, "work/f", "precious")
		if err := os.Chmod(victim, 0o700); err != nil {
			t.Fatal(err)
		}
		r := run{t, testenv.LabName(t)}
		file := writeFile(t, dir, "lab.yaml", "nodes: {n: {binds: ['./:/all:rw,idmap'], unions: ["+classicUnion+"]}}\n")
		for _, evil := range []string{
			"rm -r .fruits.nsnet; ln -s " + victim + " .fruits.nsnet",
			"rm -r .fruits.nsnet; mkdir -m 700 .fruits.nsnet; ln -s " + victim + "/work .fruits.nsnet/work; ln -s " + victim + "/holder .fruits.nsnet/holder",
			"rm -r .fruits.nsnet/work; ln -s " + victim + "/work .fruits.nsnet/work; rm .fruits.nsnet/holder; mkfifo .fruits.nsnet/holder",
			"mv fruits away; ln -s " + victim + " fruits; rm -r .fruits.nsnet",
		} {
			testenv.Must(t, "up", file, "--name", r.name)
			r.sh("n", "cd /all; "+evil)
			if got := testenv.Run(t, "up", file, "--name", r.name+"x"); got.Code == 0 {
				testenv.Must(t, "down", r.name+"x")
			}
			if got := testenv.Run(t, "down", r.name); got.Code != 0 {
				t.Errorf("down after %s: exit code %d, %s", evil, got.Code, got.Stderr)
			}
			has(t, victim+"/work/f", "precious")
			has(t, victim+"/holder", "precious")
			if got := listed(t, victim); got != "holder work" {
				t.Errorf("after %s the victim has %s", evil, got)
			}
			testenv.MustCommand(t, "sh", "-c", "cd "+dir+"; rm -rf .fruits.nsnet; [ ! -e away ] || { rm fruits; mv away fruits; }")
		}
	})
}
