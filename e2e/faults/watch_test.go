package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// said is what a program prints, as it comes.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.b.String(), text)
}

// A lab follows its file while that is edited, by whatever way of saving; a broken file changes nothing.
func TestWatch(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, "name: NAME\nnodes: {a: {}}\n")
		out := &said{}
		cmd := exec.Command(testenv.Binary(t), "watch", "--trust", r.file, "--mend", "300ms")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // how it ended is looked at below
			close(ended)
		}()
		stop := func() {
			_ = cmd.Process.Signal(syscall.SIGINT)
			<-ended
		}
		says := func(text string, times int) {
			t.Helper()
			defer func() {
				if t.Failed() {
					stop()
				}
			}()
			testenv.Eventually(t, 20*time.Second, fmt.Sprintf("%q is said %d times", text, times), func() bool { return out.count(text) >= times })
		}
		says(r.name+" is up: 1 node", 1)
		before := r.pids()
		next := strings.ReplaceAll("name: NAME\nnodes: {a: {}, b: {}}\nlinks: [{endpoints: [\"a:x\", \"b:x\"], addresses: [10.1.1.1/32, 10.1.1.2/32]}]\n", "NAME", r.name)
		writeFile(t, r.file+".new", next)
		if err := os.Rename(r.file+".new", r.file); err != nil {
			t.Fatal(err)
		}
		says("is up to date: ", 1)
		r.sh("a", "ping -n -c 1 -W 1 10.1.1.2")
		writeFile(t, r.file, "nodes: [")
		says("left as it is", 1)
		writeFile(t, r.file, strings.Replace(next, r.name, "other", 1))
		says("called other now", 1)
		if now := r.pids(); now["a"] != before["a"] || len(now) != 2 {
			t.Errorf("nodes were %v and are %v", before, now)
		}
		writeFile(t, r.file, next)
		says("nothing to do", 1)
		if out, err := exec.Command("ip", "-n", r.name+".a", "link", "del", "x").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		says("is up to date: ", 2)
		r.sh("a", "ping -n -c 1 -W 1 10.1.1.2")
		if n := out.count("nothing to do"); n != 1 {
			t.Errorf("that there is nothing to do is said %d times, and not once, of the file that was saved", n)
		}
		stop()
		asJSON := testenv.Command(t, "timeout", "-s", "INT", "2", testenv.Binary(t), "watch", "--trust", r.file, "--json")
		var res lab.UpResult
		if first, _, _ := strings.Cut(asJSON.Stdout, "\n"); json.Unmarshal([]byte(first), &res) != nil || res.Name != r.name || res.Changed {
			t.Errorf("watch --json says %q, %s", asJSON.Stdout, asJSON.Stderr)
		}
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("exit code %d after Ctrl-C", code)
		}
		r.sh("b", "ping -n -c 1 -W 1 10.1.1.1") // the lab stays
	})
}
