package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// TestExecSaysWhatWasMeant holds what exec says to a lab's name and to a command line in quotes.
func TestExecSaysWhatWasMeant(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		for want, args := range map[string][]string{
			r.name + " is a lab: name one of its nodes, as " + r.name + "/NODE": {"exec", r.name, "--", "true"},
			"give the program and its arguments apart: nsnet exec n -- ip addr": {"exec", "n", "ip  addr"},
		} {
			if got := testenv.Run(t, args...); got.Code < 125 || !strings.Contains(got.Stderr, want) {
				t.Errorf("%q: exit code %d, %s; want %s", args, got.Code, got.Stderr, want)
			}
		}
		if got := testenv.Run(t, "exec", "n", "--", "no-such"); strings.Contains(got.Stderr, "apart") {
			t.Error(got.Stderr)
		}
	})
}

func TestExecExitCodes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		var wait sync.WaitGroup
		next := make(chan int)
		for range 8 {
			wait.Go(func() {
				for code := range next {
					if got := r.exec("n", "sh", "-c", fmt.Sprintf("exit %d", code)).Code; got != code {
						t.Errorf("exit %d became %d", code, got)
					}
				}
			})
		}
		for code := range 256 {
			next <- code
		}
		close(next)
		wait.Wait()
		for _, c := range []struct {
			argv []string
			code int
		}{
			{[]string{"nsnet-no-such-program"}, 127},
			{[]string{"/no/such/program"}, 127},
			{[]string{"/etc/passwd"}, 126},
			{[]string{"/etc"}, 126},
			{[]string{"sh", "-c", "kill -TERM $$"}, 143},
			{[]string{"sh", "-c", "kill -KILL $$"}, 137},
			{[]string{"sh", "-c", "kill -SEGV $$"}, 139},
		} {
			if got := r.exec("n", c.argv...); got.Code != c.code {
				t.Errorf("exec %q: exit code %d, not %d; %s", c.argv, got.Code, c.code, got.Stderr)
			}
		}
		if got := testenv.Run(t, "exec", r.name+"/nobody", "--", "true"); got.Code != 125 {
			t.Errorf("exec in a node that is not there: exit code %d", got.Code)
		}
	})
}

// command is nsnet exec, to be started by the test.
func (r run) command(args ...string) *exec.Cmd {
	return exec.CommandContext(r.t.Context(), testenv.Binary(r.t), append([]string{"exec"}, args...)...)
}

func TestExecInputAndOutput(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {env: {FROM_FILE: file}, workdir: /usr, hostname: host}}")
		n := r.name + "/n"
		cat := r.command("-i", n, "--", "sh", "-c", "cat; echo end >&2")
		input := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		var stdout, stderr bytes.Buffer
		cat.Stdin, cat.Stdout, cat.Stderr = bytes.NewReader(input), &stdout, &stderr
		if err := cat.Run(); err != nil || !bytes.Equal(stdout.Bytes(), input) || stderr.String() != "end\n" {
			t.Errorf("1 MiB through a pipe: %v, %d bytes came back, standard error %q", err, stdout.Len(), stderr.String())
		}
		without := r.command(n, "--", "cat")
		without.Stdin = strings.NewReader("unseen")
		if out, err := without.Output(); err != nil || len(out) != 0 {
			t.Errorf("without -i: %v, %q", err, out)
		}
		big := r.exec("n", "sh", "-c", "head -c 16777216 /dev/zero | tr '\\0' x")
		if big.Code != 0 || len(big.Stdout) != 16<<20 || strings.Trim(big.Stdout, "x") != "" {
			t.Errorf("of 16 MiB of output %d bytes came, exit code %d", len(big.Stdout), big.Code)
		}
		// A reader that has enough ends the writer, as in any pipeline.
		if got := testenv.MustCommand(t, "sh", "-c", testenv.Binary(t)+" exec "+n+" -- yes | head -n 2"); got != "y\ny\n" {
			t.Errorf("yes | head -n 2: %q", got)
		}
		if got := r.sh("n", "echo $FROM_FILE $PWD $(hostname)"); got != "file /usr host" {
			t.Errorf("env, workdir, hostname: %q", got)
		}
		got := testenv.Must(t, "exec", "-e", "A=b c", "-e", "FROM_FILE=flag", "-w", "/tmp", "-u", "65534:65534", n, "--", "sh", "-c", "echo $A $FROM_FILE $PWD $(id -u):$(id -g)")
		if got != "b c flag /tmp 65534:65534\n" {
			t.Errorf("-e, -w, -u: %q", got)
		}
	})
}

func TestExecPassesSignalsOn(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
			cmd := r.command(r.name+"/n", "--", "sh", "-c",
				fmt.Sprintf("trap 'echo got; exit 40' %d; echo ready; while :; do sleep 0.01; done", sig))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ready := make([]byte, len("ready\n"))
			if _, err := io.ReadFull(out, ready); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(out)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 40 || string(rest) != "got\n" {
				t.Errorf("%v: exit code %d, output %q", sig, code, rest)
			}
		}
		for _, field := range []string{"SigIgn", "SigBlk"} {
			if got := r.sh("n", "exec grep "+field+" /proc/self/status"); strings.Trim(got, field+":\t0") != "" {
				t.Errorf("a command begins with %s", got)
			}
		}
		killed := r.command(r.name+"/n", "--", "sleep", "4242")
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 5*time.Second, "the command runs", func() bool {
			return r.exec("n", "pgrep", "-x", "sleep").Code == 0
		})
		if err := killed.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		_ = killed.Wait()
		if code := killed.ProcessState.ExitCode(); code != 143 {
			t.Errorf("a command that SIGTERM ends: exit code %d, not 143", code)
		}
	})
}

// terminal opens a pseudo-terminal, pty(7).
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	slave = os.NewFile(fd, "terminal")
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

func TestExecOnATerminal(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		master, slave := terminal(t)
		if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
			t.Fatal(err)
		}
		cmd := r.command("-it", r.name+"/n", "--", "sh", "-c",
			"tty; echo TERM=$TERM; stty size; read line; echo read $line; trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done")
		cmd.Env = append(os.Environ(), "TERM=vt100")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var seen bytes.Buffer
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := master.Read(buf)
				mu.Lock()
				seen.Write(buf[:n])
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}()
		screen := func() string {
			mu.Lock()
			defer mu.Unlock()
			return seen.String()
		}
		if _, err := master.WriteString("hello\r"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		testenv.Eventually(t, 10*time.Second, "the shell is ready", func() bool {
			return strings.Contains(screen(), "ready")
		})
		if _, err := master.Write([]byte{3}); err != nil { // Ctrl-C, which the node's terminal turns into SIGINT
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 9 {
			t.Errorf("exit code %d", code)
		}
		for _, want := range []string{"/dev/pts/", "TERM=vt100", "33 77", "read hello"} {
			if !strings.Contains(screen(), want) {
				t.Errorf("the terminal does not show %q:\n%s", want, screen())
			}
		}
		if termios, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || termios.Lflag&unix.ICANON == 0 {
			t.Errorf("the terminal is left raw: %v", err)
		}
		if got := testenv.Run(t, "exec", "-t", r.name+"/n", "--", "true"); got.Code == 0 {
			t.Error("-t without a terminal is not refused")
		}
	})
}

// Arguments and variables are bytes to the kernel, whatever the encoding is that they are meant to be text in.
func TestExecPassesBytes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		got := testenv.Must(t, "exec", "-e", "V=\xff", r.name+"/n", "--", "sh", "-c", `printf %s "$1$V"`, "sh", "a\xc3\xfe")
		if want := "a\xc3\xfe\xff"; got != want {
			t.Errorf("the command got %q, want %q", got, want)
		}
	})
}

// A reader that has seen enough, as head(1), ends a command on a terminal, and the terminal is as it was.
func TestExecOnATerminalToAClosedPipe(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		_, slave := terminal(t)
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := r.command("-it", r.name+"/n", "--", "yes")
		cmd.Stdin, cmd.Stdout = slave, in
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = in.Close()
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		_ = out.Close()
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 128+int(unix.SIGPIPE) {
			t.Errorf("it ended with %v", cmd.ProcessState)
		}
		if termios, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || termios.Lflag&unix.ICANON == 0 {
			t.Errorf("the terminal is left raw: %v", err)
		}
		testenv.Eventually(t, 5*time.Second, "the command is gone", func() bool { return r.exec("n", "pidof", "yes").Code != 0 })
	})
}

func TestFiftyExecsAtOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		var wait sync.WaitGroup
		for i := range 50 {
			wait.Go(func() {
				// Until all have begun, or the test's own limit: they run at the same time.
				res := r.exec("n", "sh", "-c", fmt.Sprintf(
					"touch /tmp/begun-%d; i=0; until [ $(ls /tmp | wc -l) = 50 ] || [ $i = 300 ]; do sleep 0.1; i=$((i+1)); done; ls /tmp | wc -l; exit %d", i, i))
				if res.Code != i || strings.TrimSpace(res.Stdout) != "50" {
					t.Errorf("exec %d: exit code %d, output %q, %s", i, res.Code, res.Stdout, res.Stderr)
				}
			})
		}
		wait.Wait()
		testenv.Eventually(t, 5*time.Second, "all processes of the execs are gone", func() bool {
			return r.sh("n", "ps -e -o pid= | wc -l") == "5" // init, the process between, sh, ps, wc
		})
	})
}

func TestLogs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		last := ""
		for i := range 20 {
			last += fmt.Sprintf("  last%d: {command: \"until [ -e /tmp/go ]; do sleep 0.01; done; head -c 200000 /dev/zero | tr '\\\\0' x; echo last\"}\n", i)
		}
		r := startText(t, `
nodes:
`+last+`
  short: {command: "echo out; echo err >&2; exit 3"}
  slow: {command: "echo one; until [ -e /tmp/go ]; do sleep 0.01; done; echo two"}
  much: {command: "i=0; while [ $i -lt 300000 ]; do echo line $i of the output; i=$((i+1)); done"}
  idle: {}
`)
		testenv.Eventually(t, 5*time.Second, "the command ends", func() bool { return r.node("short").State == lab.StateExited })
		if code := r.node("short").ExitCode; code == nil || *code != 3 {
			t.Errorf("exit code of the command: %v", code)
		}
		if got := testenv.Must(t, "logs", r.name+"/short"); got != "out\nerr\n" {
			t.Errorf("logs: %q", got)
		}
		if got := testenv.Run(t, "logs", r.name+"/idle"); got.Code != 4 || !strings.Contains(got.Stderr, "idle") {
			t.Errorf("logs of an idle node: exit code %d, %s", got.Code, got.Stderr)
		}
		follow := exec.CommandContext(t.Context(), testenv.Binary(t), "logs", "-f", r.name+"/slow")
		out, err := follow.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := follow.Start(); err != nil {
			t.Fatal(err)
		}
		first := make([]byte, len("one\n"))
		if _, err := io.ReadFull(out, first); err != nil || string(first) != "one\n" {
			t.Fatalf("logs -f begins with %q: %v", first, err)
		}
		r.sh("slow", "touch /tmp/go")
		rest, _ := io.ReadAll(out)
		if err := follow.Wait(); err != nil || string(rest) != "two\n" {
			t.Errorf("logs -f goes on with %q: %v", rest, err)
		}
		// What a command says right before its end is not lost.
		for i := range 20 {
			node := fmt.Sprintf("last%d", i)
			go func() { testenv.Run(t, "exec", r.name+"/"+node, "--", "touch", "/tmp/go") }()
			if got := testenv.Must(t, "logs", "-f", r.name+"/"+node); len(got) != 200005 || !strings.HasSuffix(got, "last\n") {
				t.Errorf("logs -f of %s: %d bytes, ending in %q", node, len(got), got[max(0, len(got)-10):])
			}
		}
		testenv.Eventually(t, 30*time.Second, "the command with much output ends", func() bool { return r.node("much").State == lab.StateExited })
		got := testenv.Must(t, "logs", r.name+"/much")
		if len(got) < 1<<20 || len(got) > 4<<20 || !strings.HasSuffix(got, "line 299999 of the output\n") {
			t.Errorf("of much output %d bytes are kept, ending in %q", len(got), got[max(0, len(got)-40):])
		}
	})
}
