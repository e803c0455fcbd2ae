package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// What watch says of the lab after a change that failed is so.
func TestWatchTellsHowTheLabIs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "text", "exit 0\n")
		if err := os.Chmod(dir+"/text", 0o755); err != nil {
			t.Fatal(err)
		}
		put := func(command, more string) {
			t.Helper()
			writeFile(t, dir, "new", "name: "+name+"\nnodes:\n  n: {binds: ['"+dir+":/b'], command: "+command+more+"}\n")
			if err := os.Rename(dir+"/new", dir+"/lab.yaml"); err != nil {
				t.Fatal(err)
			}
		}
		put("[slep, infinity]", "")
		cmd := exec.Command(testenv.Binary(t), "watch", "--trust", dir+"/lab.yaml")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
		errs, out := bufio.NewScanner(stderr), bufio.NewScanner(stdout)
		says := func(r *bufio.Scanner, part string) {
			t.Helper()
			for r.Scan() {
				if strings.Contains(r.Text(), part) {
					return
				}
			}
			t.Errorf("watch has ended without a word of %q", part)
		}
		says(errs, "nsnet: the lab is not up; watching ")
		put("[sleep, infinity]", "")
		says(out, name+" is up")
		r := run{t, name}
		before := r.node("n").PID
		put("[sleep, infinity]", ", tmpfs: [/etc/passwd]")
		says(errs, "nsnet: the lab is left as it is; watching ")
		if now := r.node("n"); now.PID != before || now.State != "running" {
			t.Errorf("the node was %d and is %+v", before, now)
		}
		put("[/b/text]", "") // which only its start shows to be none
		says(errs, "nsnet: the lab is changed in part; watching ")
		put("[sleep, infinity]", "")
		says(out, name+" is up to date")
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		for errs.Scan() || out.Scan() {
			continue
		}
		_ = cmd.Wait() // it was told to end
		testenv.Must(t, "down", name)
	})
}
