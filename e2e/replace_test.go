package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Another file of a running lab's name does not take the lab over, whatever it has in common with it, and neither does text of no file.
func TestAnotherFileOfTheName(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		r := run{t, name}
		text := "name: " + name + "\nnodes: {a: {command: [sleep, infinity]}, b: {}}\n"
		mine := writeFile(t, t.TempDir(), "lab.yaml", text)
		if got := bare(t, "up", mine); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		atEnd(t, testenv.Binary(t), "down", name)
		pid := r.node("a").CommandPID
		stays := func(what string) {
			t.Helper()
			if got := r.node("a").CommandPID; got != pid {
				t.Fatalf("%s: the command was started anew", what)
			}
		}
		shares := writeFile(t, t.TempDir(), "moved.yaml", strings.Replace(text, "b: {}", "b: {command: [sleep, \"1\"]}", 1))
		equal := writeFile(t, t.TempDir(), "equal.yaml", text)
		none := writeFile(t, t.TempDir(), "other.yaml", "name: "+name+"\nnodes: {c: {}}\n")
		empty := writeFile(t, t.TempDir(), "empty.yaml", "name: "+name+"\nnodes: {}\nbridges: {l: {}}\n")
		for _, other := range []string{shares, equal, none, empty} {
			for _, args := range [][]string{{"up", other}, {"plan", other}, {"up", "--dry-run", other}} {
				if got := bare(t, args...); got.Code != 5 || !strings.Contains(got.Stderr, mine) || !strings.Contains(got.Stderr, "--replace") {
					t.Errorf("%v: %+v", args, got)
				}
			}
			for _, args := range [][]string{{"down", other}, {"down", "--purge", other}} {
				if got := bare(t, args...); got.Code != 5 || !strings.Contains(got.Stderr, mine+" has made it, and not this file; nsnet down "+name) {
					t.Errorf("%v: %+v", args, got)
				}
			}
			stays(other)
		}
		piped := func(command string, flags ...string) (string, int) {
			cmd := exec.Command(testenv.Binary(t), append([]string{command, "-"}, flags...)...)
			cmd.Stdin = strings.NewReader(text)
			out, _ := cmd.CombinedOutput()
			return string(out), cmd.ProcessState.ExitCode()
		}
		for _, command := range []string{"up", "plan", "down"} {
			if out, code := piped(command); code != 5 || !strings.Contains(out, mine) {
				t.Errorf("%s of standard input: exit code %d\n%s", command, code, out)
			}
		}
		stays("standard input")
		// Somebody else's file in its place is another one.
		if err := os.Chown(mine, 1234, -1); err != nil {
			t.Fatal(err)
		}
		if got := bare(t, "up", mine); got.Code != 5 {
			t.Errorf("another owner: %+v", got)
		}
		if err := os.Chown(mine, 0, -1); err != nil {
			t.Fatal(err)
		}
		if got := bare(t, "up", mine); got.Code != 0 {
			t.Errorf("the same file: %+v", got)
		}
		// It becomes another file's when that is said, also where nothing has to be done for it.
		for _, other := range []string{equal, shares} {
			if got := bare(t, "up", "--replace", other); got.Code != 0 {
				t.Errorf("up --replace: %+v", got)
			}
			stays("what both have")
			if got := bare(t, "up", other); got.Code != 0 {
				t.Errorf("once replaced: %+v", got)
			}
			if got := bare(t, "up", mine); got.Code != 5 {
				t.Errorf("the file of before: %+v", got)
			}
		}
		// Text of no file is not told apart from other such text.
		if out, code := piped("up", "--replace"); code != 0 {
			t.Fatalf("up - --replace: %s", out)
		}
		if out, code := piped("up"); code != 0 {
			t.Errorf("up - once more: %s", out)
		}
		if got := bare(t, "up", mine); got.Code != 5 || !strings.Contains(got.Stderr, "text on standard input") {
			t.Errorf("a file for standard input's lab: %+v", got)
		}
		if out, code := piped("down"); code != 0 || !strings.Contains(out, "is down") {
			t.Errorf("down -: %s", out)
		}
	})
}

// What the nodes of one file's lab keep is not another file's to read, to change or to remove.
func TestAnotherFilesKeptLayers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		r := run{t, name}
		text := "name: " + name + "\nnodes: {a: {persist: true}}\n"
		ourDir, theirDir := t.TempDir(), t.TempDir()
		ours, theirs := writeFile(t, ourDir, "lab.yaml", text), writeFile(t, theirDir, "lab.yaml", text)
		ok := func(args ...string) {
			t.Helper()
			if got := bare(t, args...); got.Code != 0 {
				t.Fatalf("%v: %+v", args, got)
			}
		}
		refuses := func(want string, args ...string) {
			t.Helper()
			if got := bare(t, args...); got.Code != 5 || !strings.Contains(got.Stderr, want) || !strings.Contains(got.Stderr, ours) {
				t.Errorf("%v: %+v", args, got)
			}
		}
		ok("up", ours)
		atEnd(t, testenv.Binary(t), "down", "--purge", name)
		r.sh("a", "echo secret >/root/key")
		ok("down", name)
		refuses("what nodes of a lab of this name keep is of", "up", theirs)
		refuses("what nodes of a lab of this name keep is of", "plan", theirs)
		refuses("what its nodes keep is of", "down", "--purge", theirs)
		// Nor by a lab that runs already and gets such a node.
		writeFile(t, theirDir, "lab.yaml", "name: "+name+"\nnodes: {b: {}}\n")
		ok("up", theirs)
		writeFile(t, theirDir, "lab.yaml", "name: "+name+"\nnodes: {b: {}, a: {persist: true}}\n")
		refuses("what nodes of a lab of this name keep is of", "up", theirs)
		refuses("what nodes of a lab of this name keep is of", "plan", theirs)
		ok("down", theirs)
		ok("up", ours)
		if got := r.sh("a", "cat /root/key"); got != "secret" {
			t.Errorf("what was kept: %q", got)
		}
		// A lab that is taken over takes what it keeps along.
		writeFile(t, theirDir, "lab.yaml", text)
		ok("up", "--replace", theirs)
		ok("down", theirs)
		if got := bare(t, "up", ours); got.Code != 5 || !strings.Contains(got.Stderr, theirs) {
			t.Errorf("what was taken over: %+v", got)
		}
		ok("up", "--replace", ours)
		ok("down", ours)
		// What was kept before it was written down whose it is, is of a file in the same directory.
		kept := "/var/lib/nsnet/nodes/" + name + "/origin.json"
		if err := os.Remove(kept); err != nil {
			t.Fatal(err)
		}
		if got := bare(t, "up", theirs); got.Code != 5 || !strings.Contains(got.Stderr, "keep is of "+ourDir+"/a file") {
			t.Errorf("kept before, another directory: %+v", got)
		}
		ok("up", ours)
		if got := r.sh("a", "cat /root/key"); got != "secret" {
			t.Errorf("what was kept: %q", got)
		}
		refuses("has made it, and not this file", "down", theirs)
		ok("down", "--purge", ours)
		if _, err := os.Stat("/var/lib/nsnet/nodes/" + name); err == nil {
			t.Error("something is kept after a purge")
		}
	})
}

// Watch of a user's file, in whose place the user puts a link to a file that was allowed something, leaves the lab as it is.
func TestWatchedFileBecomesALink(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		ours, theirs, text := people(t, name)
		file := writeFile(t, ours, "lab.yaml", text)
		if got := bare(t, "up", "--trust", file); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		bare(t, "down", name)
		watched := writeFile(t, theirs, "lab.yaml", strings.Replace(text, "privileged: true, ", "", 1))
		w := startWatch(t, watched)
		w.says(w.out, name+" is up")
		atEnd(t, testenv.Binary(t), "down", name)
		if err := os.Symlink(file, theirs+"/link"); err != nil {
			t.Fatal(err)
		}
		testenv.MustCommand(t, "mv", theirs+"/link", watched)
		w.says(w.err, "a lab of this name runs, which "+watched+" has made")
		w.says(w.err, "the lab is left as it is")
		if who := (run{t, name}).sh("a", "cat /s/who; grep CapBnd /proc/self/status"); !strings.HasSuffix(who, "0000000000043dfb") {
			t.Errorf("the node is privileged: %s", who)
		}
		w.end()
	})
}

// A lab that asks for the bridge of another one says so: a name is all that tells it from a stranger's.
func TestPeersTakeConsent(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		file := writeFile(t, t.TempDir(), "lab.yaml", "name: "+name+"\nnodes: {a: {}}\nbridges: {lan0: {address: 192.0.2.1/24, peers: prod/lan0}}\nlinks: [{endpoints: [\"a:eth0\", lan0]}]\n")
		refused(t, bare(t, "up", file), "peers", file+":3:48: asks for the other lab's bridge prod/lan0")
		if got := bare(t, "up", "--allow", "peers", file); got.Code != 0 {
			t.Errorf("%+v", got)
		}
		bare(t, "down", file)
	})
}
