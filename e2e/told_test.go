package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// says fails the test unless a command fails with all of these words.
func says(t *testing.T, got testenv.Result, code int, words ...string) {
	t.Helper()
	for _, w := range words {
		if got.Code != code || !strings.Contains(got.Stderr, w) {
			t.Errorf("exit code %d, not %d, or it does not say %q:\n%s", got.Code, code, w, got.Stderr)
		}
	}
}

// What keeps a file from being copied is said of that file, and in the words of who copies.
func TestCopyThatCannotBeIsTold(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
			t.Fatal(err)
		}
		r := start(t, writeFile(t, dir, "lab.yaml", "nodes: {a: {binds: ['./data:/mnt']}}\n"))
		file := writeFile(t, dir, "f", "text")
		got := testenv.Run(t, "cp", file, r.name+"/a:/mnt/f")
		says(t, got, 1, "copy /mnt/f: read-only file system: a bind is read-only unless")
		if strings.Contains(got.Stderr, ".nsnet-cp") {
			t.Errorf("it names a file of nsnet's own: %s", got.Stderr)
		}
		testenv.Must(t, "pause", r.name+"/a")
		says(t, testenv.Run(t, "cp", file, r.name+"/a:/tmp/"), 9, "node a: copy: the node is paused")
		says(t, testenv.Run(t, "cp", r.name+"/a:/etc/hosts", dir), 9, "node a: copy: the node is paused")
		testenv.Must(t, "resume", r.name+"/a")
	})
}

// Of a lab that has died it is said that it has, and of one whose record somebody has removed while it ran, that it runs and what ends it.
func TestLabThatCannotBeAskedIsTold(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := writeFile(t, t.TempDir(), "lab.yaml", "nodes: {a: {}}\n")
		r := start(t, file)
		pid := r.status().InitPID
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 20*time.Second, "the lab is dead", func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) })
		says(t, testenv.Run(t, "exec", r.name+"/a", "--", "true"), 125, "it is dead, its init has ended; bring it up again with nsnet up")

		testenv.Must(t, "up", "--name", r.name, file)
		pid = r.status().InitPID
		if err := os.RemoveAll("/run/nsnet/" + r.name); err != nil {
			t.Fatal(err)
		}
		const removed = "it runs, and what was written of it in /run/nsnet/"
		says(t, testenv.Run(t, "exec", r.name+"/a", "--", "true"), 125, removed, "nsnet down "+r.name+" ends it")
		says(t, testenv.Run(t, "ps", r.name), 4, removed)
		says(t, testenv.Run(t, "up", "--name", r.name, file), 5, "a lab of this name runs", "nsnet down "+r.name+" ends it")
		if got := testenv.Run(t, "down", r.name); got.Code != 0 || !strings.Contains(got.Stdout, "is down") || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			t.Errorf("down of it: %+v", got)
		}
		testenv.Must(t, "up", "--name", r.name, file)
	})
}
