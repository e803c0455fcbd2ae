package faults

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// terminal makes a pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	master, slave = os.NewFile(uintptr(fd), "master"), os.NewFile(peer, "slave")
	t.Cleanup(func() { _ = master.Close(); _ = slave.Close() })
	return master, slave
}

// CVE-2017-5226: what runs in a node types nothing into the caller's terminal.
func TestNodeCannotType(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, "name: NAME\ndefaults: {"+probe(t)+"}\nnodes: {a: {}}\n")
		for _, flag := range []string{"-i", "-it"} {
			_, slave := terminal(t)
			// So that each byte counts, and not whole lines alone.
			termios, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			termios.Lflag &^= unix.ICANON
			if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, termios); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(testenv.Binary(t), "exec", flag, r.name+"/a", "/probe", "tiocsti")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			cmd.WaitDelay = 10 * time.Second
			err = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); flag == "-i" && code != 10 {
				t.Errorf("exec -i: exit code %d: %v", code, err)
			}
			if n, err := unix.IoctlGetInt(int(slave.Fd()), unix.TIOCINQ); err != nil || n != 0 {
				t.Errorf("exec %s: the node typed %d bytes into the terminal: %v", flag, n, err)
			}
		}
	})
}

// What a file or a node says does not reach the terminal as control characters.
func TestNoEscapesOnTheTerminal(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const evil = `\e[2J\e]0;owned\a\r\x9b31m\u202e`
		r := start(t, "name: NAME\nnodes:\n  a: {command: [sh, -c, \"exec sleep infinity # "+evil+"\"], env: {X: \""+evil+"\"}}\n")
		plain := func(what, out string) {
			t.Helper()
			for _, c := range out {
				if c < 0x20 && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 || c == 0x202e || c == 0xfffd {
					t.Fatalf("%s prints %q:\n%q", what, c, out)
				}
			}
		}
		for _, args := range [][]string{
			{"ps"}, {"ps", r.name}, {"ps", "--json"}, {"inspect", r.name}, {"inspect", r.name + "/a"}, {"inspect", "--json", r.name}, {"plan", r.file},
			{"exec", r.name + "/a", "\x1b[2Jx"}, {"exec", "-w", "/\x1b[2J", r.name + "/a", "true"}, {"exec", "-u", "\x1b[2J", r.name + "/a", "true"},
			{"exec", "\x1b[2J/a", "true"}, {"ps", "\x1b[2J"}, {"down", "\x1b[2J"}, {"logs", "\x1b[2J"}, {"up", "\x1b[2J.yaml"}, {"\x1b[2J"},
		} {
			res := testenv.Run(t, args...)
			plain(strings.Join(args, " "), res.Stdout+res.Stderr)
		}
		bad := strings.TrimSuffix(r.file, "lab.yaml") + "bad.yaml"
		for _, text := range []string{"\"" + evil + "\": 1\n", "name: \"" + evil + "\"\n", "nodes: {\"" + evil + "\": {}}\n", "nodes: {a: {image: \"" + evil + "\"}}\n", "nodes: {a: {command: [\"" + evil + "\"]}}\n"} {
			writeFile(t, bad, text)
			res := testenv.Run(t, "up", "--name", testenv.LabName(t), bad)
			if res.Code == 0 {
				t.Errorf("%s: no error", text)
			}
			plain(text, res.Stdout+res.Stderr)
		}
	})
}
