package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// elsewhere is what is said of a path that was exchanged.
const elsewhere = "it leads elsewhere than when it was looked at"

// exchange has two names of a directory change places, at once.
func exchange(t *testing.T, a, b string) {
	t.Helper()
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
}

// exchanging has two names change places at once, and again and again until stop.
func exchanging(t *testing.T, a, b string) (stop func()) {
	t.Helper()
	exchange(t, a, b)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// whileWaiting runs nsnet, which begins to change the lab only after f: it has read its file by then.
func whileWaiting(t *testing.T, name string, f func(), args ...string) testenv.Result {
	t.Helper()
	dir := filepath.Join(lab.RunDir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), testenv.Binary(t), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	testenv.Eventually(t, 60*time.Second, "nsnet waits for the lab's lock", func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", cmd.Process.Pid))
		for _, l := range links {
			if to, err := os.Readlink(l); err == nil && to == lock.Name() {
				return true
			}
		}
		return false
	})
	f()
	lock.Close()
	<-ended
	return testenv.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// stranger is a stranger's directory, with something of its own, which can be exchanged for a link to what is not the stranger's.
func stranger(t *testing.T) (own, victim string) {
	t.Helper()
	dir := t.TempDir()
	own, victim = filepath.Join(dir, "own"), filepath.Join(dir, "victim")
	testenv.MustCommand(t, "sh", "-euc", `
		mkdir -p "$1/data" "$1/sub" "$2"; echo -n own >"$1/data/who"; echo -n victim >"$2/who"
		: >"$1/data/image.tar"; cp "$1/data/image.tar" "$2"
		echo -n own >"$1/file"; ln -s ../victim "$1/link"; ln -s ../victim/who "$1/filelink"`, "sh", own, victim)
	return own, victim
}

// What a path of a file leads to is looked at once. Who has it lead elsewhere then, while nsnet is at work, is refused, whatever the path is of.
func TestExchangedBeforeUpOpens(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		own, victim := stranger(t)
		defer func() { _ = os.RemoveAll(image.Dir) }() // the test's own
		for i, c := range []struct {
			node string
			path string // where the node sees who it is of; empty: no lab can be made of it
			file bool   // not the directory is exchanged
		}{
			{node: `binds: ["./data:/d"]`, path: "/d/who"},
			{node: `binds: ["./data:/d:rw"]`, path: "/d/who"},
			{node: `binds: ["./data/who:/d"]`, path: "/d"},
			{node: `binds: ["./file:/d"]`, path: "/d", file: true},
			{node: `layers: [./data]`, path: "/who"},
			{node: `image: "dir:./data"`},
			{node: `unions: [{path: /u, layers: [./data, ./sub]}]`, path: "/u/who"},
			{node: `unions: [{path: /u, layers: ["./data:rw", ./sub]}]`, path: "/u/who"},
			{node: `unions: [{path: /u, storage: copy, layers: [./data, ./sub]}]`, path: "/u/who"},
			{node: `unions: [{path: /u, storage: fuse, layers: [./data, ./sub]}]`, path: "/u/who"},
			{node: `unions: [{path: /u, storage: fuse, layers: ["./sub:rw", "./data:rw"]}]`, path: "/u/who"},
			{node: `image: "docker-archive:./data/image.tar"`},
			{node: `image: "oci:./data"`},
		} {
			name := fmt.Sprintf("%s%d", testenv.LabName(t), i)
			file := writeFile(t, own, "lab.yaml", "name: "+name+"\nnodes:\n  n: {"+c.node+"}\n")
			swap := func() { exchange(t, own+"/data", own+"/link") }
			if c.file {
				swap = func() { exchange(t, own+"/file", own+"/filelink") }
			}
			got := whileWaiting(t, name, swap, "up", "--allow", "writes", file)
			if got.Code != 1 || !strings.Contains(got.Stderr, elsewhere) {
				t.Errorf("%s: exit code %d, %s", c.node, got.Code, got.Stderr)
				if got.Code == 0 && c.path != "" {
					t.Errorf("the node sees what is of the %s", run{t, name}.sh("n", "cat "+c.path))
				}
			}
			if got.Code == 0 {
				testenv.Must(t, "down", name)
			}
			swap()
			if c.path == "" {
				continue
			}
			testenv.MustCommand(t, testenv.Binary(t), "up", "--allow", "writes", file)
			if got := (run{t, name}).sh("n", "cat "+c.path); got != "own" {
				t.Errorf("%s: without an exchange the node sees what is of %q", c.node, got)
			}
			testenv.Must(t, "down", name)
		}
		if got := testenv.MustCommand(t, "sh", "-c", `cd "$1/.." && echo victim/* .[a-z]*`, "sh", victim); got != "victim/image.tar victim/who .[a-z]*\n" {
			t.Errorf("beside and in what is not the stranger's there is now %s", got)
		}
	})
}

// So it is where a bind is made anew in a node that runs, by up and by restart, which asks nobody.
func TestExchangedBeforeBindsAreMadeAnew(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		own, _ := stranger(t)
		allowed := filepath.Join(t.TempDir(), "allowed")
		testenv.MustCommand(t, "sh", "-euc", `mkdir "$1"; echo -n allowed >"$1/who"`, "sh", allowed)
		name := testenv.LabName(t)
		file := writeFile(t, own, "lab.yaml", "name: "+name+`
nodes:
  n: {command: sleep infinity, binds: ["./data:/d", "`+allowed+`:/a"]}
`)
		testenv.MustCommand(t, testenv.Binary(t), "up", "--allow", "paths", file)
		atEnd(t, testenv.Binary(t), "down", name)
		r := run{t, name}
		sees := func(d, a string) {
			t.Helper()
			if got := r.sh("n", "cat /d/who; echo; cat /a/who"); got != d+"\n"+a {
				t.Errorf("the node sees what is of %q", got)
			}
		}
		another := func(dir, who string) {
			t.Helper()
			testenv.MustCommand(t, "sh", "-euc", `rm -rf "$1.old"; mv "$1" "$1.old"; mkdir "$1"; echo -n "$2" >"$1/who"`, "sh", dir, who)
		}
		refused := func(got testenv.Result) {
			t.Helper()
			if got.Code != 1 || !strings.Contains(got.Stderr, elsewhere) {
				t.Errorf("exit code %d, %s", got.Code, got.Stderr)
			}
		}
		swap := func() { exchange(t, own+"/data", own+"/link") }

		another(own+"/data", "second")
		refused(whileWaiting(t, name, swap, "up", file))
		sees("own", "allowed")
		refused(bare(t, "restart", name))
		sees("own", "allowed")
		swap()
		testenv.MustCommand(t, testenv.Binary(t), "restart", name)
		sees("second", "allowed")

		// A link to what is beneath the file's directory is as good as that, and what was allowed is what was allowed.
		testenv.MustCommand(t, "sh", "-euc", `cd "$1"; echo -n linked >sub/who; mv data other; ln -s sub data`, "sh", own)
		another(allowed, "allowed too")
		testenv.MustCommand(t, testenv.Binary(t), "restart", name)
		sees("linked", "allowed too")
		testenv.MustCommand(t, "sh", "-euc", `mv "$2" "$2.x"; ln -s "$1/link/" "$2"`, "sh", own, allowed)
		refused(bare(t, "restart", name))
		sees("linked", "allowed too")
	})
}

// Who exchanges without end does not hit the moment either.
func TestExchangedAllTheTime(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		own, _ := stranger(t)
		name := testenv.LabName(t)
		file := writeFile(t, own, "lab.yaml", "name: "+name+`
nodes:
  n: {command: sleep infinity, binds: ["./data:/d"], layers: [./data]}
`)
		defer exchanging(t, own+"/data", own+"/link")()
		const rounds = 40
		ups := 0
		for i := range rounds {
			got := bare(t, "up", file)
			if got.Code != 0 { // it led outside when it was looked at, or when it was opened, or was exchanged between two looks
				if !strings.Contains(got.Stderr, own+"/") || got.Code != 13 && got.Code != 1 && got.Code != 3 {
					t.Errorf("exit code %d: %s", got.Code, got.Stderr)
				}
				continue
			}
			ups++
			bare(t, "restart", name)
			seen := run{t, name}.sh("n", "cat /d/who /who")
			testenv.Must(t, "down", name)
			if seen != "ownown" {
				t.Fatalf("in round %d the node sees what is of %q", i, seen)
			}
		}
		t.Logf("%d of %d were made", ups, rounds)
	})
}
