package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// people makes a directory of an operator's and one of a stranger's, each with what a file names, and returns the
// text of a file that asks for something. Who has made what a node has is told by /s/who.
func people(t *testing.T, name string) (ours, theirs, text string) {
	t.Helper()
	base := t.TempDir()
	ours, theirs = filepath.Join(base, "ours"), filepath.Join(base, "theirs")
	for dir, who := range map[string]string{ours: "operator\n", theirs: "stranger\n"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "scripts"), 0o755), os.WriteFile(filepath.Join(dir, "scripts/who"), []byte(who), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return ours, theirs, "name: " + name + "\nnodes:\n  a: {privileged: true, binds: [\"./scripts:/s\"]}\n"
}

// What was allowed to a file goes with what lies beside that file, whatever lies beside a link to it.
func TestConsentIsForTheFilesDirectory(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		r := run{t, name}
		ours, theirs, text := people(t, name)
		file := writeFile(t, ours, "lab.yaml", text)
		if got := bare(t, "up", "--trust", file); got.Code != 0 {
			t.Fatalf("exit code %d\n%s", got.Code, got.Stderr)
		}
		bare(t, "down", name)
		link := filepath.Join(theirs, "lab.yaml")
		if err := os.Symlink("../ours/lab.yaml", link); err != nil {
			t.Fatal(err)
		}
		for _, typed := range []string{link, "lab.yaml", "./lab.yaml"} {
			up := exec.Command(testenv.Binary(t), "up", typed)
			up.Dir = theirs
			if out, err := up.CombinedOutput(); err != nil || !strings.Contains(string(out), "(allowed before)") {
				t.Errorf("%s: %v\n%s", typed, err, out)
			}
			if who := r.sh("a", "cat /s/who"); who != "operator" {
				t.Errorf("%s: what the operator's file was allowed has what is the %s's", typed, who)
			}
			if got := r.status().File; got != file {
				t.Errorf("ps: %s, want %s", got, file)
			}
			bare(t, "down", name)
		}
		// The operator's own link to a stranger's file does not make his directory the stranger's.
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		writeFile(t, theirs, "lab.yaml", "name: "+name+"\nnodes:\n  a: {binds: [\".:/d\"]}\n")
		mine := filepath.Join(ours, "current.yaml")
		if err := os.Symlink(link, mine); err != nil {
			t.Fatal(err)
		}
		if got := bare(t, "up", mine); got.Code != 0 {
			t.Fatalf("exit code %d\n%s", got.Code, got.Stderr)
		}
		if who := r.sh("a", "cat /d/scripts/who"); who != "stranger" {
			t.Errorf("the %s's directory is beneath the stranger's file", who)
		}
		bare(t, "down", name)
	})
}

// Standard input has no directory, by whatever name and whatever file it is.
func TestStandardInputByName(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, dir := testenv.LabName(t), t.TempDir()
		file := writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes:\n  a: {binds: [\"/dev/shm:/s\", \""+dir+":/d\"]}\n")
		for _, as := range []string{"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"} {
			stdin, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			up := exec.Command(testenv.Binary(t), "up", as)
			up.Stdin = stdin
			out, _ := up.CombinedOutput()
			stdin.Close()
			if up.ProcessState.ExitCode() != 13 || !strings.Contains(string(out), as+":3:15: asks for the path /dev/shm, to read\n"+as+":3:30: asks for the path "+dir+", to read\n") {
				t.Errorf("%s: %s\n%s", as, up.ProcessState, out)
			}
		}
		// A pipe by a descriptor's name, as shells have it for <(COMMAND), is read to its end.
		text, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		up := exec.Command(testenv.Binary(t), "up", "/dev/fd/3")
		up.ExtraFiles = []*os.File{text}
		go func() {
			_, _ = to.WriteString("name: " + name + "\nnodes: {a: {}}\n")
			to.Close()
		}()
		if out, err := up.CombinedOutput(); err != nil {
			t.Errorf("a pipe: %v\n%s", err, out)
		}
		text.Close()
		if got := (run{t, name}).status().File; got != "" {
			t.Errorf("a pipe: ps says that %q has made it", got)
		}
		bare(t, "down", name)
	})
}

// Whoever exchanges the directory of a file that was allowed something, as who owns the one above it can, has what lies in the other one in no node.
func TestOwnDirectoryIsExchanged(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		ours, theirs, text := people(t, name)
		file := writeFile(t, ours, "lab.yaml", text)
		if got := bare(t, "up", "--trust", file); got.Code != 0 {
			t.Fatalf("exit code %d\n%s", got.Code, got.Stderr)
		}
		bare(t, "down", name)
		if err := os.Chown(writeFile(t, theirs, "lab.yaml", text), 1234, -1); err != nil {
			t.Fatal(err)
		}
		ups := 0
		for range 25 {
			stop := exchanging(t, ours, theirs)
			got := bare(t, "up", file)
			stop()
			if got.Code == 0 {
				ups++
				if who := (run{t, name}).sh("a", "cat /s/who"); who != "operator" {
					t.Fatalf("what the operator's file was allowed has what is the %s's", who)
				}
			} else if got.Code != 13 && !strings.Contains(got.Stderr, "moved or replaced") && !strings.Contains(got.Stderr, "is another directory now") && !strings.Contains(got.Stderr, "no such file") {
				t.Errorf("exit code %d\n%s", got.Code, got.Stderr)
			}
			bare(t, "down", name)
		}
		t.Logf("up in %d of 25 tries", ups)
	})
}

// A pipe, a device or a socket in the place of a file is told, and not waited for; and who waits for text ends on a signal.
func TestFileIsAPipe(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		pipe := filepath.Join(t.TempDir(), "lab.yaml")
		if err := unix.Mkfifo(pipe, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"up", pipe}, {"plan", pipe}, {"validate", pipe}, {"doctor", pipe}, {"down", pipe}} {
			got := bounded(t, args...)
			if got.Code != 3 || !strings.Contains(got.Stderr, pipe+" is a named pipe and not a file; its text can be given as standard input") {
				t.Errorf("%s: exit code %d\n%s", args, got.Code, got.Stderr)
			}
		}
		watch := exec.Command(testenv.Binary(t), "watch", pipe)
		told, err := watch.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := watch.Start(); err != nil {
			t.Fatal(err)
		}
		over := time.AfterFunc(time.Minute, func() { _ = watch.Process.Kill() })
		defer over.Stop()
		lines := bufio.NewScanner(told)
		for lines.Scan() && !strings.Contains(lines.Text(), "is a named pipe and not a file") {
			continue
		}
		if err := watch.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			continue
		}
		if err := watch.Wait(); watch.ProcessState.ExitCode() != 143 {
			t.Errorf("watch: %v", err)
		}
		// A writer that never ends.
		text, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		defer text.Close()
		for _, args := range [][]string{{"up", "/dev/fd/3"}, {"doctor", "/dev/fd/3"}, {"down", "/dev/fd/3"}} {
			cmd := exec.Command(testenv.Binary(t), args...)
			cmd.ExtraFiles = []*os.File{text}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			over := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			reads(t, cmd.Process.Pid)
			if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 143 {
				t.Errorf("%s: %v", args, err)
			}
			over.Stop()
		}
	})
}

// reads waits until a process has the pipe of its third descriptor open once more: it is about to read it.
func reads(t *testing.T, pid int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the pipe is not read")
		}
		given, err := os.Readlink(dir + "/3")
		if err != nil {
			continue
		}
		open, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, fd := range open {
			if at, err := os.Readlink(dir + "/" + fd.Name()); err == nil && at == given && fd.Name() != "3" {
				return
			}
		}
	}
}

// What watch may have at first is for its first look at the file, also where that has a mistake.
func TestWatchIsAllowedOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, dir := testenv.LabName(t), t.TempDir()
		file := writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes: {a: {imgae: host}}\n")
		w := startWatch(t, "--trust", "--allow", "caps", file)
		w.says(w.err, "imgae")
		w.says(w.err, "the lab is left as it is")
		testenv.MustCommand(t, "mv", writeFile(t, dir, "new", "name: "+name+"\nnodes: {a: {caps: [SYS_ADMIN]}}\n"), file)
		w.says(w.err, "the file asks for the capability SYS_ADMIN")
		w.end()
	})
}

// What a file was allowed is withdrawn by a name that led to it, also when it is gone.
func TestWithdrawnThroughALink(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, dir := testenv.LabName(t), t.TempDir()
		testenv.MustCommand(t, "sh", "-euc", `mkdir -p "$1/real/labs"; ln -s real "$1/dl"`, "sh", dir)
		writeFile(t, dir+"/real/labs", "lab.yaml", "name: "+name+"\nnodes: {a: {nnp: false}}\n")
		typed := dir + "/dl/labs/lab.yaml"
		if got := bare(t, "up", "--trust", typed); got.Code != 0 {
			t.Fatalf("exit code %d\n%s", got.Code, got.Stderr)
		}
		bare(t, "down", name)
		testenv.MustCommand(t, "rm", "-r", dir+"/real/labs")
		if got := bare(t, "consent", typed); got.Code != 0 || !strings.Contains(got.Stdout, dir+"/real/labs/lab.yaml ") {
			t.Errorf("exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		for _, code := range []int{0, 4} {
			if got := bare(t, "consent", "--withdraw", typed); got.Code != code {
				t.Errorf("exit code %d\n%s", got.Code, got.Stderr)
			}
		}
	})
}

// watching is a watch that a test listens to.
type watching struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err *bufio.Scanner
}

// startWatch begins to watch a file, for a minute at most.
func startWatch(t *testing.T, args ...string) *watching {
	t.Helper()
	w := &watching{t: t, cmd: exec.Command(testenv.Binary(t), append([]string{"watch"}, args...)...)}
	for _, to := range []struct {
		scanner **bufio.Scanner
		pipe    func() (io.ReadCloser, error)
	}{{&w.out, w.cmd.StdoutPipe}, {&w.err, w.cmd.StderrPipe}} {
		r, err := to.pipe()
		if err != nil {
			t.Fatal(err)
		}
		*to.scanner = bufio.NewScanner(r)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := time.AfterFunc(time.Minute, func() { _ = w.cmd.Process.Kill() })
	t.Cleanup(func() { over.Stop() })
	return w
}

// says reads lines until one has a part.
func (w *watching) says(r *bufio.Scanner, part string) {
	w.t.Helper()
	for r.Scan() {
		if strings.Contains(r.Text(), part) {
			return
		}
	}
	w.t.Errorf("watch has ended without a word of %q", part)
}

// end ends it as Ctrl-C does.
func (w *watching) end() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		w.t.Error(err)
	}
	for w.err.Scan() || w.out.Scan() {
		continue
	}
	if err := w.cmd.Wait(); w.cmd.ProcessState.ExitCode() != 130 {
		w.t.Errorf("watch: %v", err)
	}
}
