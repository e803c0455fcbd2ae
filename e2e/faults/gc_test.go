package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// gc runs nsnet gc and returns what it tells.
func gc(t *testing.T, flags ...string) (removed, kept []lab.Leftover) {
	t.Helper()
	var out struct{ Removed, Kept []lab.Leftover }
	if err := json.Unmarshal([]byte(testenv.Must(t, append([]string{"gc", "--json"}, flags...)...)), &out); err != nil {
		t.Fatal(err)
	}
	return out.Removed, out.Kept
}

// lockGroups keeps apart the tests that plant control groups for gc to find, which have LOCK_EX, and those that run gc, with
// LOCK_SH: control groups are one tree for all of them. flock(2) of the package's directory.
func lockGroups(t *testing.T, how int) {
	t.Helper()
	d, err := os.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := unix.Flock(int(d.Fd()), how); err != nil {
		t.Fatal(err)
	}
}

// kinds are those of what belongs to a lab. Control groups of other tests are in view, too.
func kinds(all []lab.Leftover, of string) string {
	var k []string
	for _, l := range all {
		if l.Lab == of {
			k = append(k, l.Kind)
		}
	}
	slices.Sort(k)
	return strings.Join(k, " ")
}

// notGroupsOfOthers leaves out the control groups of other labs than these: other tests that were killed may have left some.
func notGroupsOfOthers(all []lab.Leftover, labs ...string) []lab.Leftover {
	return slices.DeleteFunc(slices.Clone(all), func(l lab.Leftover) bool { return l.Kind == "cgroup" && !slices.Contains(labs, l.Lab) })
}

// mustMkdir makes a directory for the test.
func mustMkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// orphanGroup makes a control group as a lab's, of this age.
func orphanGroup(t *testing.T, lab string, age time.Duration) string {
	t.Helper()
	dir := "/sys/fs/cgroup/pids/nsnet/" + lab
	mustMkdir(t, dir+"/a")
	t.Cleanup(func() { _ = os.Remove(dir + "/a"); _ = os.Remove(dir) })
	at := time.Now().Add(-age)
	for _, d := range []string{dir + "/a", dir} {
		if err := os.Chtimes(d, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestGC(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "iptables", "unshare")
		lockGroups(t, unix.LOCK_EX)
		if _, err := os.Stat("/sys/fs/cgroup/pids/cgroup.procs"); err != nil {
			testenv.Miss(t, "needs a version 1 pids hierarchy")
		}
		testenv.MustCommand(t, "iptables", "-P", "FORWARD", "DROP")
		atEnd(t, "iptables", "-P", "FORWARD", "ACCEPT")
		atEnd(t, "iptables", "-F", "FORWARD")

		// What nobody may touch.
		stranger := testenv.LabName(t)
		mustMkdir(t, "/run/netns")
		for name, target := range map[string]string{"foreign": "/proc/4000000/ns/net", "other": "/no/such/file", "open.a": fmt.Sprintf("/proc/%d/fd/0", os.Getpid())} {
			if err := os.Symlink(target, "/run/netns/"+name); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { remove(t, "/run/netns/"+name) })
		}
		mustMkdir(t, "/etc/netns/a.b")
		t.Cleanup(func() { _ = os.RemoveAll("/etc/netns/a.b") })
		writeFile(t, "/etc/netns/a.b/resolv.conf", "nameserver 192.0.2.1\n")
		testenv.MustCommand(t, "ip", "link", "add", "foreign", "type", "bridge")
		atEnd(t, "ip", "link", "del", "foreign")
		testenv.MustCommand(t, "ip", "link", "set", "foreign", "alias", "nsnet2:x:y")
		testenv.MustCommand(t, "iptables", "-A", "FORWARD", "-i", "foreign", "-m", "comment", "--comment", "about nsnet:x", "-j", "ACCEPT")
		testenv.MustCommand(t, "ip", "link", "add", "attached", "type", "bridge")
		atEnd(t, "ip", "link", "del", "attached")
		testenv.MustCommand(t, "ip", "link", "set", "attached", "alias", "nsnet:attach:0123456789") // what attach makes has records of its own
		orphanGroup(t, stranger, 0)
		before := snapshot(t)

		// What has lost its record.
		lost := testenv.LabName(t)
		group := orphanGroup(t, lost, 2*time.Minute)
		for name, target := range map[string]string{lost: "/proc/4000000/ns/net", lost + ".a": "/proc/4000000/fd/9"} {
			if err := os.Symlink(target, "/run/netns/"+name); err != nil {
				t.Fatal(err)
			}
		}
		mustMkdir(t, "/etc/netns/"+lost+".a")
		writeFile(t, "/etc/netns/"+lost+".a/resolv.conf", "# Made by nsnet; changes are lost when the lab is changed or taken down.\nnameserver 192.0.2.1\n")
		testenv.MustCommand(t, "ip", "link", "add", "lost0", "type", "bridge")
		testenv.MustCommand(t, "ip", "link", "set", "lost0", "alias", "nsnet:"+lost+":lan0")
		testenv.MustCommand(t, "iptables", "-A", "FORWARD", "-i", "lost0", "-m", "comment", "--comment", "nsnet:"+lost, "-j", "ACCEPT")
		planted := snapshot(t)

		const all = "cgroup link netns netns resolv.conf rule"
		removed, kept := gc(t, "--dry-run")
		if got := kinds(removed, lost); got != all {
			t.Errorf("dry run: %s, want %s", got, all)
		}
		if got := kinds(kept, stranger); got != "cgroup" {
			t.Errorf("dry run: the young group is kept: %q", got)
		}
		nothingLeft(t, planted, "dry run")
		removed, _ = gc(t)
		if others := notGroupsOfOthers(removed, lost, stranger); kinds(removed, lost) != all || len(others) != 6 {
			t.Errorf("removed %+v", removed)
		}
		if _, err := os.Stat(group); err == nil {
			t.Error("the control group is there")
		}
		nothingLeft(t, before, "gc")
		removed, _ = gc(t)
		if others := notGroupsOfOthers(removed, lost, stranger); len(others) > 0 {
			t.Errorf("once more: removed %+v", others)
		}

		// A process in it keeps a group, however old.
		orphanGroup(t, lost, 2*time.Minute)
		p := exec.Command("sleep", "infinity")
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		testenv.MustCommand(t, "sh", "-c", "echo "+strconv.Itoa(p.Process.Pid)+" >"+group+"/a/cgroup.procs")
		at := time.Now().Add(-time.Hour)
		_ = os.Chtimes(group+"/a", at, at)
		if _, kept = gc(t); kinds(kept, lost) != "cgroup" {
			t.Errorf("with a process in it: kept %+v", kept)
		}
		if p.Process.Signal(nil) != nil && p.ProcessState != nil {
			t.Error("the process was ended")
		}
		_ = p.Process.Kill()
		_ = p.Wait()

		// So does one that gc cannot see.
		unseen := exec.Command("sh", "-c", "echo $$ >"+group+"/a/cgroup.procs && exec sleep infinity")
		if err := unseen.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unseen.Process.Kill(); _ = unseen.Wait() }()
		testenv.Eventually(t, 5*time.Second, "it is in the group", func() bool {
			b, err := os.ReadFile(group + "/a/cgroup.procs")
			return err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(unseen.Process.Pid)
		})
		orphanGroup(t, lost, 2*time.Minute)
		var out struct{ Removed, Kept []lab.Leftover }
		if err := json.Unmarshal([]byte(testenv.MustCommand(t, "unshare", "--pid", "--fork", "--mount-proc", "sh", "-c",
			"mount -t tmpfs nsnet-test /run/netns && exec "+testenv.Binary(t)+" gc --json")), &out); err != nil {
			t.Fatal(err)
		}
		if kinds(out.Kept, lost) != "cgroup" || kinds(out.Removed, lost) != "" {
			t.Errorf("with a process in it that is not in view: kept %+v, removed %+v", out.Kept, out.Removed)
		}
	})
}

// Labs that are dead, and one that lives without a record in sight.
func TestGCOfLabs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "iptables")
		lockGroups(t, unix.LOCK_SH)
		testenv.MustCommand(t, "iptables", "-P", "FORWARD", "DROP") // so that labs have rules there
		atEnd(t, "iptables", "-P", "FORWARD", "ACCEPT")
		before := snapshot(t)
		dead, living := define(t, mixed(3)), define(t, strings.NewReplacer("10.8", "10.9", "fd00:80", "fd00:90").Replace(mixed(3)))
		testenv.Must(t, "up", living.file)
		up := snapshot(t)
		testenv.Must(t, "up", dead.file)
		kill(t, dead.status().InitPID)
		testenv.Eventually(t, 2*time.Second, "gc sees the dead lab", func() bool {
			removed, _ := gc(t, "-n")
			return kinds(removed, dead.name) == "lab" && kinds(removed, living.name) == ""
		})
		if _, err := os.Stat("/run/nsnet/" + dead.name); err != nil {
			t.Errorf("the dry run removed the record: %v", err)
		}
		if removed, _ := gc(t); kinds(removed, dead.name) != "lab" {
			t.Errorf("removed %+v", removed)
		}
		nothingLeft(t, up, "gc")

		// As from a container with another /run.
		const away = "/run/away" // of the same file system, where the locks stay what they are
		testenv.MustCommand(t, "mv", "/run/nsnet/"+living.name, away)
		if removed, _ := gc(t, "--force"); kinds(removed, living.name) != "" {
			t.Errorf("removed of a lab that lives: %+v", removed)
		}
		testenv.MustCommand(t, "mkdir", "-p", "-m", "700", "/run/nsnet") // which nobody seemed to need
		testenv.MustCommand(t, "mv", away, "/run/nsnet/"+living.name)
		living.sh("n0", "ping -n -c 1 -W 1 n1")
		testenv.Must(t, "down", living.name)
		nothingLeft(t, before, "down")
	})
}

// A lab of the same name that another nsnet has, with a /run of its own, as in a container, is not this one's to end.
func TestDownLeavesLabsOfAnotherRun(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "unshare", "nsenter")
		r := define(t, "name: NAME\nnodes: {a: {}}\n")
		const script = `mount -t tmpfs n /run; "$0" up "$1"; nsenter --mount=/proc/$PPID/ns/mnt "$0" down "$2" || :; "$0" exec "$2/a" -- echo "it lives"; "$0" down "$2"`
		if got := testenv.Command(t, "unshare", "-m", "--propagation", "private", "sh", "-ec", script, testenv.Binary(t), r.file, r.name); got.Code != 0 || !strings.Contains(got.Stdout, "it lives") {
			t.Errorf("%+v", got)
		}
	})
}

// FAULTS 34, 36.
func TestFault34_RecordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		lockGroups(t, unix.LOCK_SH)
		before := snapshot(t)
		r := define(t, strings.ReplaceAll(mixed(3), ", nat: true", ""))
		state := filepath.Join("/run/nsnet", r.name, "state.json")
		for content, say := range map[string]string{`{"schema": 1,`: "unexpected end", `{"schema": 99, "new": true}`: "newer nsnet", "": "unexpected end", "\x00\xff": "invalid character"} {
			testenv.Must(t, "up", r.file)
			pid := r.status().InitPID
			writeFile(t, state, content)
			fails(t, testenv.Run(t, "ps"), 1, r.name, say)
			// It lives: not even by force.
			if removed, kept := gc(t, "--force"); kinds(removed, r.name) != "" || kinds(kept, r.name) != "lab" {
				t.Errorf("%q: of one that lives: removed %+v, kept %+v", content, removed, kept)
			}
			kill(t, pid)
			var kept []lab.Leftover
			testenv.Eventually(t, 2*time.Second, "gc sees it dead", func() bool {
				_, kept = gc(t)
				return !strings.Contains(kept[0].Kept, "it runs")
			})
			kept = slices.DeleteFunc(kept, func(l lab.Leftover) bool { return l.Lab != r.name })
			if len(kept) != 1 || !strings.Contains(kept[0].Kept, say) || !strings.Contains(kept[0].Kept, "--force") {
				t.Errorf("%q: kept %+v", content, kept)
			}
			if strings.Contains(say, "newer") {
				fails(t, testenv.Run(t, "down", r.name), 1, "newer nsnet", "gc --force")
				fails(t, testenv.Run(t, "up", r.file), 1, "newer nsnet", "gc --force")
			}
			if removed, _ := gc(t, "--force"); kinds(removed, r.name) != "lab" {
				t.Errorf("%q: removed by force: %+v", content, removed)
			}
			nothingLeft(t, before, "gc --force with "+say)
		}
	})
}
