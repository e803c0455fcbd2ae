package faults

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// replace puts another file in the place of one.
func replace(t *testing.T, path, text string) {
	t.Helper()
	writeFile(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// An up that is killed while it binds a replaced file anew, or fails, leaves what the node had, and the next one finishes.
func TestBindAnewBrokenOff(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, "name: NAME\nnodes: {a: {binds: [\"./one:/one\", \"./two:/two\"]}}\n")
		one, two := strings.TrimSuffix(r.file, "lab.yaml")+"one", strings.TrimSuffix(r.file, "lab.yaml")+"two"
		writeFile(t, one, "0")
		writeFile(t, two, "0")
		testenv.Must(t, "up", r.file)
		for i, c := range []struct {
			fail string
			code int
			has  string // in /one and /two
		}{{"unshare binds=kill", 137, "00"}, {"bind /two=kill", 137, "21"}, {"bind /two=error(EPERM)", 1, "32"}, {"open_tree " + two + "=error(EMFILE)", 1, "43"}} {
			text := string(rune('1' + i))
			replace(t, one, text)
			replace(t, two, text)
			got := failing(t, "NSNET_FAIL="+c.fail, []string{"up", r.file})
			if got.Code != c.code || c.code == 1 && !strings.Contains(got.Stderr, "node a: bind anew /two: ") {
				t.Errorf("%s: exit code %d, %s", c.fail, got.Code, got.Stderr)
			}
			if is := r.sh("a", "cat /one /two"); is != c.has {
				t.Errorf("%s: the node has %q, not %q", c.fail, is, c.has)
			}
			testenv.Must(t, "up", r.file)
			if is := r.sh("a", "cat /one /two"); is != text+text {
				t.Errorf("%s, and up again: the node has %q", c.fail, is)
			}
		}
	})
}

// watch binds what was replaced anew, and says nothing of a bound file that is written in place.
func TestWatchBinds(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, "name: NAME\nnodes: {a: {binds: [\"./one:/one\"]}}\n")
		dir := strings.TrimSuffix(r.file, "lab.yaml")
		writeFile(t, dir+"one", "1")
		writeFile(t, dir+"two", "1")
		out := &said{}
		cmd := exec.Command(testenv.Binary(t), "watch", "--trust", r.file)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = cmd.Process.Signal(syscall.SIGINT)
			var e *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &e) || e.ExitCode() != 130 {
				t.Errorf("watch: %v", err)
			}
			if t.Failed() {
				t.Log(out.b.String())
			}
		}()
		says := func(text string, times int) {
			t.Helper()
			testenv.Eventually(t, 20*time.Second, text, func() bool { return out.count(text) >= times })
		}
		says(r.name+" is up: 1 node", 1)
		replace(t, dir+"one", "2")
		says("is up to date: 1 change", 1)
		if got := r.sh("a", "cat /one"); got != "2" {
			t.Errorf("the node has %q", got)
		}
		// What the file binds from now on is watched, too.
		b, err := os.ReadFile(r.file)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, r.file, strings.Replace(string(b), "[\"", "[\"./two:/two\", \"", 1))
		says("is up to date: 1 change", 2)
		writeFile(t, dir+"one", "3") // in place: there is nothing to do, and nothing to say
		replace(t, dir+"two", "2")
		says("is up to date: 1 change", 3)
		if got := r.sh("a", "cat /one /two"); got != "32" {
			t.Errorf("the node has %q", got)
		}
		if n := out.count("nothing to do"); n != 0 {
			t.Errorf("that there is nothing to do is said %d times", n)
		}
	})
}
