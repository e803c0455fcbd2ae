package attach

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// launch starts nsnet in a process group of its own.
func launch(t *testing.T, args string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd, out := exec.Command(testenv.Binary(t), strings.Fields(args)...), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, 10*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// nsnets are the processes of nsnet that there are.
func nsnets(t *testing.T) (pids []int) {
	t.Helper()
	binary, err := os.Stat(testenv.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if exe, err := os.Stat(filepath.Join("/proc", e.Name(), "exe")); err == nil && os.SameFile(exe, binary) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// quiet waits until no process of nsnet is left, one that goes on behind a killed one least of all.
func quiet(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, 5*time.Second, "no process of nsnet is left", func() bool { return len(nsnets(t)) == 0 })
}

// scene is the host and two containers, the first of which has a default route by a card of its own.
type scene struct {
	pid, peer       int
	me, other, host string // views of before
	usual           string // default routes of before
}

// form is one of the ways to attach, and what it makes.
type form struct {
	args      string
	addresses []string
	reach     []string // from the target
	takes     bool     // the default route of IPv4
}

func build(t *testing.T) (*scene, []form) {
	t.Helper()
	bridge(t, "br0", "10.7.0.1/24", "fd00:7::1/64")
	wire(t, "port0", "port1") // keeps the bridge in operation
	ip(t, 0, "link set port0 master br0")
	wire(t, "mac0", "mac1")
	lend(t)
	s := &scene{pid: stranger(t, "--user", "--map-root-user"), peer: stranger(t)}
	ip(t, s.pid, "link add eth0 type veth peer name wire")
	ip(t, s.pid, "addr add 10.3.0.2/24 dev eth0")
	ip(t, s.pid, "link set eth0 up")
	ip(t, s.pid, "link set wire up")
	ip(t, s.pid, "route add default via 10.3.0.1 dev eth0")
	forms := []form{
		{args: "--bridge br0 --ip 10.7.0.2/24 --ip fd00:7::2/64 --default-route", addresses: []string{"10.7.0.2/24", "fd00:7::2/64"}, reach: []string{"10.7.0.1", "fd00:7::1"}, takes: true},
		{args: toHost, addresses: []string{"10.2.0.2/32", "fd00:2::2/128"}, reach: []string{"10.2.0.1", "fd00:2::1"}},
		{
			args:      fmt.Sprintf("--ip 10.1.1.1/32 --peer-pid %d --peer-ip 10.1.1.2/32 --default-route", s.peer),
			addresses: []string{"10.1.1.1/32"}, reach: []string{"10.1.1.2"}, takes: true,
		},
		{args: "--macvlan mac0 --ip 10.8.0.2/24", addresses: []string{"10.8.0.2/24"}},
		{args: "--host-nic card0 --ip 10.6.0.9/24 --mtu 1300", addresses: []string{"10.6.0.9/24"}, reach: []string{"10.6.0.2"}},
	}
	for _, pid := range []int{0, s.pid, s.peer} {
		settled(t, pid)
	}
	s.me, s.other, s.host, s.usual = s.now(t)
	return s, forms
}

// now is how things are.
func (s *scene) now(t *testing.T) (me, other, host, usual string) {
	t.Helper()
	return stable(view(t, s.pid)), stable(view(t, s.peer)), stable(view(t, 0)), defaults(t, s.pid)
}

// nothing fails the test unless all is as it was. The kernel may need a moment to take interfaces away.
func (s *scene) nothing(t *testing.T, when string) {
	t.Helper()
	const between = "\nof the other container:\n"
	becomes(t, when, s.me+between+s.other+between+s.host, func() string {
		me, other, host, _ := s.now(t)
		return me + between + other + between + host
	})
	if t.Failed() {
		t.FailNow()
	}
}

// all fails the test unless a form is there with everything that belongs to it.
func (s *scene) all(t *testing.T, f form, when string) {
	t.Helper()
	// Who was killed did not wait until the first packet gets through.
	for _, to := range f.reach {
		testenv.Eventually(t, 3*time.Second, when+": "+to+" answers", func() bool {
			return testenv.InNetns(t, s.pid, "ping", "-n", "-c", "1", "-W", "1", to).Code == 0
		})
	}
	whole(t, s.pid, "eth1", f.addresses...)
	got := defaults(t, s.pid)
	switch {
	case f.takes && (strings.Contains(got, "eth0") || !strings.Contains(got, "dev eth1")), !f.takes && got != s.usual:
		t.Errorf("%s: default routes:\n%s", when, got)
	}
	if out := must(t, "attach --pid %d %s", s.pid, f.args); !strings.Contains(out, "already") {
		t.Errorf("%s: the same call again says %q", when, out)
	}
	if t.Failed() {
		t.Fatalf("%s: half an interface:\n%s", when, view(t, s.pid))
	}
}

// duration is how long a command takes, more or less.
func duration(t *testing.T, args, undo string) time.Duration {
	t.Helper()
	var least time.Duration
	for range 3 {
		start := time.Now()
		must(t, "%s", args)
		if d := time.Since(start); least == 0 || d < least {
			least = d
		}
		must(t, "%s", undo)
	}
	return least
}

// Who can be killed.
const (
	command   = iota // the process that the user has started
	group            // its process group, as a shell or CI does
	everybody        // every process of nsnet, as the end of a control group is
)

func kill(t *testing.T, cmd *exec.Cmd, who int) {
	t.Helper()
	switch who {
	case command:
		_ = cmd.Process.Kill()
	case group:
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	case everybody:
		for range 2 { // what one had started meanwhile
			for _, pid := range nsnets(t) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	_ = cmd.Wait()
	quiet(t)
}

// SIGKILL of attach, whenever it comes: the interface is there with all that belongs to it, or there is nothing
// of it. Without any further command, unless what carried it out was killed as well; then with the next one.
func TestAttachKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const kills = 100
	testenv.Isolate(t, func(t *testing.T) {
		t.Cleanup(func() { must(t, "detach --netns /nonexistent --all") }) // the last command takes the lock's file along
		s, forms := build(t)
		rnd := testenv.Random(t)
		detach := fmt.Sprintf("detach --pid %d --ifname eth1", s.pid)
		var took []time.Duration
		for _, f := range forms {
			took = append(took, duration(t, fmt.Sprintf("attach --pid %d %s", s.pid, f.args), detach))
		}
		s.nothing(t, "before the first kill")
		made := 0
		for i := range kills {
			f, who := forms[i%len(forms)], i/len(forms)%3
			at := time.Duration(rnd.Int64N(int64(took[i%len(forms)]) * 5 / 4))
			when := fmt.Sprintf("kill %d (%s, who %d, after %s)", i, f.args, who, at)
			cmd, _ := launch(t, fmt.Sprintf("attach --pid %d %s", s.pid, f.args))
			time.Sleep(at)
			kill(t, cmd, who)
			if who == everybody {
				must(t, "ps")
			}
			if _, there := nics(t, s.pid)["eth1"]; there {
				made++
				s.all(t, f, when)
				must(t, "%s", detach)
			}
			s.nothing(t, when)
		}
		t.Logf("%d of %d times the interface was there", made, kills)
		if made == 0 || made == kills {
			t.Errorf("%d of %d times the interface was there: the moments are not the ones wanted", made, kills)
		}
	})
}

// A detach that is killed has taken the interface away or has not, at the latest with the next command; once more is enough.
func TestDetachKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const kills = 30
	testenv.Isolate(t, func(t *testing.T) {
		t.Cleanup(func() { must(t, "detach --netns /nonexistent --all") }) // the last command takes the lock's file along
		s, forms := build(t)
		rnd := testenv.Random(t)
		detach := fmt.Sprintf("detach --pid %d --ifname eth1", s.pid)
		whole := duration(t, fmt.Sprintf("attach --pid %d %s", s.pid, forms[0].args), detach)
		for i := range kills {
			f := forms[i%len(forms)]
			at := time.Duration(rnd.Int64N(int64(whole)))
			when := fmt.Sprintf("kill %d (%s, after %s)", i, f.args, at)
			must(t, "attach --pid %d %s", s.pid, f.args)
			cmd, _ := launch(t, detach)
			time.Sleep(at)
			kill(t, cmd, i/len(forms)%3)
			must(t, "ps")
			if _, there := nics(t, s.pid)["eth1"]; there {
				s.all(t, f, when)
			} else {
				s.nothing(t, when)
			}
			must(t, "%s", detach)
			s.nothing(t, when+", and detached")
		}
	})
}

// Ctrl-C leaves either, too, and says which by its exit code.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s, forms := build(t)
		rnd := testenv.Random(t)
		detach := fmt.Sprintf("detach --pid %d --ifname eth1", s.pid)
		attach := fmt.Sprintf("attach --pid %d %s", s.pid, forms[0].args)
		whole := duration(t, attach, detach)
		for range 20 {
			at := time.Duration(rnd.Int64N(int64(whole)))
			cmd, out := launch(t, attach)
			time.Sleep(at)
			_ = cmd.Process.Signal(syscall.SIGINT)
			_ = cmd.Wait()
			when := fmt.Sprintf("interrupted after %s: %s, %q", at, cmd.ProcessState, out)
			quiet(t)
			// -1: ended by the signal itself, before nsnet had asked for signals, or after it had said that it was done.
			_, there := nics(t, s.pid)["eth1"]
			if code := cmd.ProcessState.ExitCode(); code != -1 && (code != 0 || !there) && (code != 130 || there) {
				t.Errorf("%s; the interface is there: %t", when, there)
			}
			if there {
				s.all(t, forms[0], when)
				must(t, "%s", detach)
			}
			s.nothing(t, when)
		}
	})
}

// Many at once: of the same attach one makes it; others do not disturb each other.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s, forms := build(t)
		type started struct {
			cmd *exec.Cmd
			out *bytes.Buffer
		}
		run := func(args ...string) (texts []string) {
			t.Helper()
			var all []started
			for _, a := range args {
				cmd, out := launch(t, a)
				all = append(all, started{cmd, out})
			}
			for _, p := range all {
				if err := p.cmd.Wait(); err != nil {
					t.Errorf("%v: %v\n%s", p.cmd.Args, err, p.out)
				}
				texts = append(texts, p.out.String())
			}
			return texts
		}
		var args []string
		for range 10 {
			args = append(args, fmt.Sprintf("attach --pid %d %s", s.pid, forms[0].args))
		}
		already := strings.Count(strings.Join(run(args...), ""), "already")
		if already != 9 {
			t.Errorf("%d of 10 found it attached", already)
		}
		s.all(t, forms[0], "ten at once")
		must(t, "detach --pid %d --all", s.pid)
		s.nothing(t, "ten at once, detached")

		args = nil
		for i := range 10 {
			args = append(args, fmt.Sprintf("attach --pid %d --ifname x%d --bridge br0 --ip 10.7.0.%d/24", []int{s.pid, s.peer}[i%2], i, 10+i))
		}
		run(args...)
		for i := range 10 {
			whole(t, []int{s.pid, s.peer}[i%2], fmt.Sprintf("x%d", i), fmt.Sprintf("10.7.0.%d/24", 10+i))
		}
		run(fmt.Sprintf("detach --pid %d --all", s.pid), fmt.Sprintf("detach --pid %d --all", s.peer), fmt.Sprintf("detach --pid %d --ifname x3", s.peer))
		s.nothing(t, "different ones, detached")
	})
}
