package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// patience is how long something may take that is done at once on a machine that does nothing else.
const patience = 30 * time.Second

// ends waits for a command of nsnet, which is killed, and the test fails, where it does not end. It returns its exit code.
func ends(t *testing.T, what string, cmd *exec.Cmd) int {
	t.Helper()
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("%s does not end", what)
	}
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatalf("%s: %v", what, err)
	}
	return cmd.ProcessState.ExitCode()
}

// What a command is given as its standard streams can be opened by their names, as images do that log there, whoever the command's user is
// and whatever nsnet was given.
func TestExecStreamsCanBeOpened(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  n: {}
  main: {user: nobody, command: "echo out >/dev/stdout; echo err >/dev/stderr; exec sleep infinity"}
  check: {user: nobody, ready: {exec: "echo out >/dev/stdout && echo err >/dev/stderr && cat /dev/stdin"}}
`)
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		open := func(name string, flags int, mode os.FileMode) *os.File {
			t.Helper()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte("in\n"), mode); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, flags, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			return f
		}
		for _, user := range []string{"root", "nobody"} {
			for what, in := range map[string]io.Reader{
				"a pipe":               strings.NewReader("in\n"),
				"a file":               open("file-"+user, os.O_RDONLY, 0o644),
				"a closed file":        open("closed-"+user, os.O_RDONLY, 0o600),
				"a file to be written": open("written-"+user, os.O_RDWR, 0o644),
				"an open file":         open("open-"+user, os.O_RDONLY, 0o666),
			} {
				cmd := r.command("-i", "-u", user, r.name+"/n", "--", "sh", "-c", "cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr")
				var stdout, stderr bytes.Buffer
				cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &stdout, &stderr
				if err := cmd.Run(); err != nil || stdout.String() != "in\nout\n" || stderr.String() != "err\n" {
					t.Errorf("%s, %s: %v, %q, %q", user, what, err, stdout.String(), stderr.String())
				}
			}
			out := open("out-"+user, os.O_WRONLY|os.O_TRUNC, 0o600)
			cmd := r.command("-u", user, r.name+"/n", "--", "sh", "-c", "echo 1; echo 2 >/dev/stderr; echo 3; echo 4 >/dev/stdout; echo 5 >&2; cat /dev/stdin")
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Run(); err != nil {
				t.Error(err)
			}
			if b, err := os.ReadFile(out.Name()); err != nil || string(b) != "1\n2\n3\n4\n5\n" {
				t.Errorf("%s: what goes to one file comes as %q, %v", user, b, err)
			}
		}
		testenv.Must(t, "exec", "-i", r.name+"/n", "--", "true")
		testenv.Eventually(t, patience, "the command of another user writes", func() bool { return testenv.Must(t, "logs", r.name+"/main") == "out\nerr\n" })
		testenv.Eventually(t, patience, "the check passes", func() bool { return r.node("check").Ready == "ready" })
	})
}

// The caller's terminal and pipes are not the node's: what a command leaves behind would read there what is typed next. A file that
// everybody may read and nobody write is, and is open for reading alone.
func TestExecHandsNothingOver(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		id := func(f *os.File) string {
			var st unix.Stat_t
			if err := unix.Fstat(int(f.Fd()), &st); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
		}
		// What the command has, by a way of its own.
		has := func(in, out, errs *os.File, flags ...string) string {
			cmd := r.command(append(flags, r.name+"/n", "--", "sh", "-c", "exec stat -L -c %d:%i /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 >/tmp/has")...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
			if err := cmd.Run(); err != nil {
				t.Errorf("%q: %v", flags, err)
			}
			return r.sh("n", "cat /tmp/has")
		}
		_, slave := terminal(t)
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		defer write.Close()
		var files []*os.File
		for name, mode := range map[string]os.FileMode{"public": 0o644, "private": 0o600, "writable": 0o666} {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			for _, flags := range []int{os.O_RDONLY, os.O_RDWR} {
				f, err := os.OpenFile(path, flags, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				handed := strings.Contains(has(f, write, write, "-i"), id(f))
				if want := mode == 0o644 && flags == os.O_RDONLY; handed != want {
					t.Errorf("a %s file, opened with %#x: handed over %v", name, flags, handed)
				}
				files = append(files, f)
			}
		}
		for _, got := range []string{
			has(slave, slave, slave, "-it"), has(slave, slave, slave, "-i"), has(slave, slave, slave), has(read, write, write, "-i"), has(slave, files[0], files[1]),
		} {
			for _, f := range append(files, slave, read, write) {
				if strings.Contains(got, id(f)) {
					t.Errorf("%s is the node's: it has %q", f.Name(), got)
				}
			}
		}
	})
}

// exec ends when its command does, whoever else has the streams, with all that the command has written, and no more than was there then.
func TestExecEndsWithItsCommand(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		for i := range 5 {
			const much = 3_000_000
			cmd := r.command(r.name+"/n", "--", "sh", "-c",
				fmt.Sprintf("sleep 1000 & (while :; do echo behind; done) & head -c %d /dev/zero | tr '\\0' x; echo last >&2; exit %d", much, i))
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if code := ends(t, "exec of a command that leaves writers behind", cmd); code != i {
				t.Errorf("exit code %d, not %d", code, i)
			}
			if n := strings.Count(stdout.String(), "x"); n != much || stderr.String() != "last\n" {
				t.Errorf("of %d bytes came %d, and %q", much, n, stderr.String())
			}
			r.exec("n", "pkill", "-KILL", "sh|sleep")
		}
	})
}

// A reader that has enough, and one that reads nothing, hold nothing up.
func TestExecReaders(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		yes := r.command(r.name+"/n", "--", "yes")
		yes.Stdout = write
		if err := yes.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := read.Read(make([]byte, 2)); err != nil {
			t.Error(err)
		}
		_, _ = read.Close(), write.Close()
		if code := ends(t, "exec n -- yes | head -1", yes); code != 128+int(unix.SIGPIPE) {
			t.Errorf("its exit code is %d", code)
		}

		// What a command writes waits for who reads it. When the command has ended a signal lets exec end, too.
		read, write, err = os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		defer write.Close()
		size, err := unix.FcntlInt(write.Fd(), unix.F_GETPIPE_SZ, 0)
		if err != nil {
			t.Fatal(err)
		}
		slow := func() *exec.Cmd {
			cmd := r.command(r.name+"/n", "--", "sh", "-c", fmt.Sprintf("head -c %d /dev/zero; touch /tmp/written", size+10))
			cmd.Stdout = write
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, patience, "the command ends", func() bool {
				return r.sh("n", "ls /tmp/written; pgrep -x head; true") == "/tmp/written"
			})
			r.sh("n", "rm /tmp/written")
			return cmd
		}
		cmd := slow()
		if n, err := io.ReadFull(read, make([]byte, size+10)); err != nil {
			t.Errorf("of %d bytes came %d: %v", size+10, n, err)
		}
		if code := ends(t, "exec with a slow reader", cmd); code != 0 {
			t.Errorf("its exit code is %d", code)
		}
		cmd = slow()
		// More than once: one that comes before the news of the command's end is the command's.
		stop := make(chan struct{})
		var signalling sync.WaitGroup
		signalling.Go(func() {
			for {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
		if code := ends(t, "exec with a reader that reads nothing", cmd); code != 128+int(unix.SIGTERM) {
			t.Errorf("its exit code is %d", code)
		}
		close(stop)
		signalling.Wait()
	})
}

// A command that closes or does not read its input, or that waits for its end, gets what it would of a pipe.
func TestExecInput(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		zeros, err := os.Open("/dev/zero")
		if err != nil {
			t.Fatal(err)
		}
		defer zeros.Close()
		for script, code := range map[string]int{
			"exit 3":                          3,
			"exec 0<&-; exit 4":               4,
			"head -c 1000000 | wc -c; exit 5": 5,
		} {
			cmd := r.command("-i", r.name+"/n", "--", "sh", "-c", script)
			cmd.Stdin = zeros
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if got := ends(t, script, cmd); got != code {
				t.Errorf("%s: exit code %d", script, got)
			}
		}
		// Every byte, and then the end, while the other direction goes on.
		all := make([]byte, 1<<20)
		for i := range all {
			all[i] = byte(i * 7)
		}
		cmd := r.command("-i", r.name+"/n", "--", "sh", "-c", "cat; cat >/dev/null; echo end")
		cmd.Stdin = bytes.NewReader(all)
		if got, err := cmd.Output(); err != nil || !bytes.Equal(got, append(all, "end\n"...)) {
			t.Errorf("%v, %d bytes", err, len(got))
		}
	})
}

// A signal is for the command and what it runs, as from a terminal.
func TestExecSignalsTheGroup(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		for _, shell := range []string{"sh", "bash"} {
			for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
				for _, script := range []string{"echo go; while :; do sleep 4242; done", "echo go; sleep 4242 | sleep 4242"} {
					cmd := r.command(r.name+"/n", "--", shell, "-c", script)
					out, err := cmd.StdoutPipe()
					if err != nil {
						t.Fatal(err)
					}
					if err := cmd.Start(); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
						t.Fatal(err)
					}
					testenv.Eventually(t, patience, "it runs", func() bool { return r.exec("n", "pgrep", "-x", "sleep").Code == 0 })
					if err := cmd.Process.Signal(sig); err != nil {
						t.Fatal(err)
					}
					if code := ends(t, shell+" -c "+script, cmd); code != 128+int(sig) {
						t.Errorf("%s -c %q: %v makes the exit code %d", shell, script, sig, code)
					}
					testenv.Eventually(t, patience, "nothing of it is left", func() bool { return r.exec("n", "pgrep", "-x", "sleep").Code == 1 })
				}
			}
		}
		// ping ends in its own way, and its shell with the same signal.
		cmd := r.command(r.name+"/n", "--", "sh", "-c", "while :; do ping -c 1 127.0.0.1; done")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, out)
		if code := ends(t, "a loop of pings", cmd); code != 128+int(unix.SIGINT) {
			t.Errorf("a loop of pings ends with %d", code)
		}
	})
}

// A shell that has left something in the background ends at once, and gives the terminal back; so it does on a signal.
func TestExecTerminalIsGivenBack(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		begin := func(argv ...string) (*exec.Cmd, *os.File, *os.File) {
			master, slave := terminal(t)
			cmd := r.command(append([]string{"-it", r.name + "/n", "--"}, argv...)...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd, master, slave
		}
		// What the screen shows, which somebody has to read.
		watch := func(master *os.File, want string) <-chan struct{} {
			seen := make(chan struct{})
			go func() {
				var all []byte
				b := make([]byte, 4096)
				for told := false; ; {
					n, err := master.Read(b)
					if all = append(all, b[:n]...); !told && bytes.Contains(all, []byte(want)) {
						told = true
						close(seen)
					}
					if err != nil {
						return
					}
				}
			}()
			return seen
		}
		cooked := func(what string, slave *os.File) {
			t.Helper()
			if termios, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || termios.Lflag&unix.ICANON == 0 {
				t.Errorf("%s: the terminal is left raw: %v", what, err)
			}
		}
		for range 3 {
			cmd, master, slave := begin("bash", "--norc")
			watch(master, "")
			if _, err := master.WriteString("sleep 4242 &\rexit 6\r"); err != nil {
				t.Fatal(err)
			}
			if code := ends(t, "bash with a job in the background", cmd); code != 6 {
				t.Errorf("bash: exit code %d", code)
			}
			cooked("exit", slave)
			testenv.Eventually(t, patience, "the job goes on", func() bool { return r.exec("n", "pkill", "-x", "sleep").Code == 0 })
		}
		for range 10 { // all that was written before the end is shown
			cmd, master, slave := begin("sh", "-c", "sleep 4242 & head -c 20000 /dev/zero | tr '\\0' x; printf the-end")
			seen := watch(master, "the-end")
			if code := ends(t, "a job in the background", cmd); code != 0 {
				t.Errorf("exit code %d", code)
			}
			select {
			case <-seen:
			case <-time.After(patience):
				t.Error("the last that was written is not shown")
			}
			cooked("the end", slave)
			r.exec("n", "pkill", "-x", "sleep") // if the terminal's end has not
		}
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
			cmd, master, slave := begin("sh", "-c", "trap '' TERM HUP INT; echo begun; while :; do sleep 4242; done")
			select {
			case <-watch(master, "begun"):
			case <-time.After(patience):
				t.Fatal("the command has not begun")
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if code := ends(t, "a command that ignores signals", cmd); code != 128+int(sig) {
				t.Errorf("%v: exit code %d", sig, code)
			}
			cooked(sig.String(), slave)
			testenv.Eventually(t, patience, "the command is gone", func() bool { return r.exec("n", "pgrep", "-x", "sleep").Code == 1 })
		}
	})
}

// The parent of a command is not 1, which programs take for "started by init", and is gone with it. Its end is told exactly, also where
// somebody has killed that parent.
func TestExecParent(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		if got := r.sh("n", "echo $PPID"); got == "1" || got == "0" {
			t.Errorf("the parent of a command is %s", got)
		}
		r.sh("n", "test $(ps -o ppid= $PPID) = 1")
		cmd := r.command("-i", r.name+"/n", "--", "sh", "-c", "echo $PPID; read x; echo $PPID; kill -QUIT $$")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var parent int
		if _, err := fmt.Fscan(out, &parent); err != nil {
			t.Fatal(err)
		}
		r.sh("n", fmt.Sprintf("kill -KILL %d; while kill -0 %d; do sleep 0.01; done 2>/dev/null; true", parent, parent))
		if _, err := io.WriteString(in, "go\n"); err != nil {
			t.Fatal(err)
		}
		if code := ends(t, "a command whose parent was killed", cmd); code != 128+int(unix.SIGQUIT) {
			t.Errorf("exit code %d", code)
		}
		testenv.Eventually(t, patience, "nobody is left", func() bool {
			return r.sh("n", "ps -e -o pid= | wc -l") == "5" // init, the process between, sh, ps, wc
		})
		if n := r.node("n"); n.State != lab.StateIdle {
			t.Errorf("the node is %s", n.State)
		}
	})
}

// Where a limit of processes leaves room for one more, that is the command.
func TestExecWithRoomForOne(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {limits: {pids: 8}}}")
		for range 3 {
			if got := r.exec("n", "sh", "-c", "exit 7"); got.Code != 7 {
				t.Errorf("exit code %d, %s", got.Code, got.Stderr)
			}
			if got := r.exec("n", "/etc/passwd"); got.Code != 126 {
				t.Errorf("exit code %d, %s", got.Code, got.Stderr)
			}
		}
	})
}

// An init that is stopped keeps nobody: a signal that it has not taken is not waited for.
func TestExecOfAStoppedInit(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cmd := exec.CommandContext(ctx, testenv.Binary(t), "exec", r.name+"/n", "--", "sh", "-c", "echo go; exec sleep 4242")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		pid := r.node("n").PID
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		waiting := exec.CommandContext(ctx, testenv.Binary(t), "exec", r.name+"/n", "--", "true")
		if err := waiting.Start(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*exec.Cmd{cmd, waiting} {
			done := make(chan struct{})
			go func() {
				for {
					_ = c.Process.Signal(syscall.SIGTERM)
					select {
					case <-done:
						return
					case <-time.After(50 * time.Millisecond):
					}
				}
			}()
			if code := ends(t, "exec in a node whose init is stopped", c); code != 128+int(unix.SIGTERM) && code != -1 {
				t.Errorf("exit code %d", code)
			}
			close(done)
		}
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, patience, "what nobody waits for is gone", func() bool { return r.exec("n", "pgrep", "-x", "sleep").Code == 1 })
	})
}
