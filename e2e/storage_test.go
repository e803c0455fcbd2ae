package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A lab that runs keeps the drivers that it has, unless the file or the command line names others; of the nodes that have another
// one then, and of no others, the processes end.
func TestStorageOfRunningLab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		dir := garden(t)
		const layers = "layers: [./fruits, ./vegetables]"
		file := func(u, more string) string {
			return writeFile(t, dir, "lab.yaml", "nodes:\n  u: {unions: [{path: /mnt, "+layers+u+"}]}\n  n: {"+more+"}\n")
		}
		path, name := file("", ""), testenv.LabName(t)
		up := func(flags ...string) string {
			t.Helper()
			return testenv.Must(t, append([]string{"up", path, "--name", name}, flags...)...)
		}
		up("--storage-driver", "fuse")
		t.Cleanup(func() { testenv.Must(t, "down", name) })
		inits := func() map[string]string {
			pids := map[string]string{}
			for _, n := range []string{"n", "u"} {
				pids[n] = regexp.MustCompile(`init pid.*`).FindString(testenv.Must(t, "inspect", name+"/"+n))
			}
			return pids
		}
		last := inits()
		// expect looks at what a step has done: what up said, which nodes were restarted, and how u is made.
		expect := func(step, out, said, restarted, storage string) {
			t.Helper()
			if !regexp.MustCompile(said).MatchString(out) {
				t.Errorf("%s: up says\n%s", step, out)
			}
			now := inits()
			var others []string
			for _, n := range []string{"n", "u"} {
				if now[n] != last[n] {
					others = append(others, n)
				}
			}
			if got := strings.Join(others, " "); got != restarted {
				t.Errorf("%s: restarted %q, and not %q", step, got, restarted)
			}
			last = now
			if got := testenv.Must(t, "inspect", name+"/u"); !strings.Contains(got, "/mnt: "+storage) {
				t.Errorf("%s: the union is not %s:\n%s", step, storage, got)
			}
			if got := testenv.Must(t, "plan", path, "--name", name); !strings.Contains(got, "nothing to do") {
				t.Errorf("%s: afterwards there is to do\n%s", step, got)
			}
			if got := testenv.Must(t, "ps", name); strings.Contains(got, "differs") {
				t.Errorf("%s: afterwards\n%s", step, got)
			}
		}
		const nothing, byFlag = "nothing to do", " (asked for by --storage-driver)"
		expect("up without the flag", up(), nothing, "", "fuse"+byFlag)
		path = file("", "hosts: [\"192.0.2.1 x\"]")
		expect("another change", up(), "~ hosts +n", "", "fuse"+byFlag)
		path = file("", "caps: [SYS_TIME]")
		expect("another node's restart", up(), "~ node +n", "n", "fuse"+byFlag)
		expect("the same flag", up("--storage-driver", "fuse"), nothing, "", "fuse"+byFlag)
		if out := testenv.Must(t, "up", path, "--name", name, "--dry-run", "--storage-driver", "overlay"); !strings.Contains(out, "storage of /mnt: fuse -> overlay") {
			t.Errorf("a dry run says\n%s", out)
		}
		path = file(", storage: overlay", "caps: [SYS_TIME]")
		expect("the file names another", up(), `~ node +u .*\(storage of /mnt: fuse -> overlay; node restarted\)`, "u", "overlay (asked for)")
		path = file("", "caps: [SYS_TIME]")
		expect("the file names none, and it is what nsnet chooses", up(), nothing, "", "overlay (asked for)")
		path = file(", storage: copy", "caps: [SYS_TIME]")
		expect("the file names a third", up(), `overlay -> copy`, "u", "copy (asked for)")
		path = file("", "caps: [SYS_TIME]")
		expect("the file names none any more", up(), `copy -> overlay`, "u", "overlay (the kernel has it)")
		expect("the flag names another", up("--storage-driver", "fuse"), `overlay -> fuse`, "u", "fuse"+byFlag)
	})
}

// A root that is a copy, by the command line, is one after a change of the lab, too.
func TestCopiedRootOfRunningLab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := garden(t), testenv.LabName(t)
		file := func(more string) string {
			return writeFile(t, dir, "lab.yaml", "nodes: {n: {image: \"dir:./fruits\""+more+"}}\n")
		}
		testenv.Must(t, "up", file(""), "--name", name, "--storage-driver", "copy")
		t.Cleanup(func() { testenv.Must(t, "down", name) })
		for _, more := range []string{"", ", hosts: [\"192.0.2.1 x\"]"} {
			testenv.Must(t, "up", file(more), "--name", name)
			if got := testenv.Must(t, "inspect", name+"/n"); !strings.Contains(got, "copy (asked for by --storage-driver)") {
				t.Errorf("the root is no copy:\n%s", got)
			}
			if got := testenv.Must(t, "diff", name+"/n"); got != "" {
				t.Errorf("nobody has written anything:\n%s", got)
			}
		}
	})
}
