package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// goal tells what was measured for a numbered goal; make faults collects it.
func goal(t *testing.T, number int, format string, args ...any) {
	t.Helper()
	t.Logf("goal %d: %s", number, fmt.Sprintf(format, args...))
}

// Goal 3.
func TestFiftyNodesGoAtOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, mixed(50))
		pid := r.status().InitPID
		most := 2 * time.Second
		if !full() {
			most = 20 * time.Second // beside all other tests
		}
		since := time.Now()
		kill(t, pid)
		for time.Since(since) < most {
			if exec.Command("pgrep", "-x", "nsnet-node").Run() != nil && len(globbed(t, "/sys/class/net/ns*")) == 0 {
				break
			}
		}
		took := time.Since(since)
		if took > most {
			t.Errorf("not gone after %s", took)
		}
		goal(t, 3, "%d ms", took.Milliseconds())
		testenv.Must(t, "up", r.file)
	})
}

func globbed(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Goal 8: a process that got the pid of a dead lab's init, or of one of its nodes, is left alone, and nobody is led into its network
// namespace.
func TestPidsPassToStrangers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		times := 8
		if full() {
			times = 200
		}
		lockGroups(t, unix.LOCK_SH)
		r := define(t, "name: NAME\nnodes: {a: {}}\n")
		reused, harmed := 0, 0
		for i := range times {
			testenv.Must(t, "up", r.file)
			s := r.status()
			pid := s.InitPID
			kill(t, s.InitPID)
			testenv.Eventually(t, 2*time.Second, "the init is gone", func() bool { return !exists(fmt.Sprintf("/proc/%d", pid)) })
			var p *exec.Cmd
			for range 50 {
				if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
					testenv.Miss(t, "needs a kernel with ns_last_pid")
				}
				p = exec.Command("sleep", "infinity")
				if err := p.Start(); err != nil {
					t.Fatal(err)
				}
				if p.Process.Pid == pid {
					reused++
					for _, name := range []string{r.name, r.name + ".a"} {
						own, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
						if err != nil {
							t.Fatal(err)
						}
						if named, err := os.Stat("/run/netns/" + name); err == nil && os.SameFile(named, own) {
							t.Errorf("%s is a name of the stranger's network namespace", name)
						}
					}
					break
				}
				_ = p.Process.Kill()
				_ = p.Wait()
			}
			testenv.Must(t, [][]string{{"down", r.name}, {"gc"}, {"ps"}, {"down", "--all"}}[i%4]...)
			testenv.Must(t, "down", r.name)
			if p.Process.Pid == pid {
				if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || strings.TrimSpace(string(b)) != "sleep" {
					harmed++
				}
			}
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if harmed > 0 || reused < times*3/4 {
			t.Errorf("of %d pids %d were used again, and %d strangers harmed", times, reused, harmed)
		}
		goal(t, 8, "%d of %d pids used again, %d wrong signals", reused, times, harmed)
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Goal 10: what the host's firewall does, and what is done to it, is nothing to packets inside a lab; Docker's rules stay what they
// were.
func TestFault24_DockerAndAFlush(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Docker(t)
		testenv.MustCommand(t, "iptables", "-P", "FORWARD", "DROP")
		rules := func() string {
			return regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]`).ReplaceAllString(testenv.MustCommand(t, "iptables-save"), "")
		}
		before := rules()
		r := start(t, mixed(4))
		ping := exec.Command(testenv.Binary(t), "exec", r.name+"/n0", "--", "ping", "-n", "-q", "-i", "0.01", "-c", "200", "n3")
		var out strings.Builder
		ping.Stdout = &out
		if err := ping.Start(); err != nil {
			t.Fatal(err)
		}
		accept := testenv.MustCommand(t, "iptables", "-S", "DOCKER-USER")
		if !strings.Contains(accept, "nsnet:"+r.name) {
			t.Errorf("no rule for the lab:\n%s", accept)
		}
		testenv.MustCommand(t, "iptables", "-F", "DOCKER-USER")
		testenv.MustCommand(t, "iptables", "-A", "DOCKER-USER", "-j", "RETURN") // Docker's own
		if err := ping.Wait(); err != nil {
			t.Error(err)
		}
		if !strings.Contains(out.String(), " 0% packet loss") {
			t.Errorf("inside the lab:\n%s", out.String())
		}
		testenv.Must(t, "down", r.name)
		if after := rules(); after != before {
			t.Errorf("rules were\n%s\nand are\n%s", before, after)
		}
		goal(t, 10, "0 of 200 packets lost, Docker's rules as before")
	})
}

// Goal 12.
func TestThousandNodes(t *testing.T) {
	t.Parallel()
	if !full() {
		t.Log("a thousand nodes with NSNET_FAULTS=full; here a hundred")
	}
	testenv.Isolate(t, func(t *testing.T) {
		nodes := 100
		if full() {
			nodes = 1000
		}
		var b strings.Builder
		b.WriteString("name: NAME\nbridges: {lan0: {subnet: 10.80.0.0/16}}\nnodes:\n")
		for i := range nodes {
			fmt.Fprintf(&b, "  n%d: {}\n", i)
		}
		b.WriteString("links:\n")
		for i := range nodes {
			fmt.Fprintf(&b, "  - endpoints: [\"n%d:eth0\", lan0]\n", i)
		}
		before := snapshot(t)
		r := start(t, b.String())
		s := r.status()
		for _, n := range s.Nodes {
			if n.PID == 0 {
				t.Errorf("%s is %s", n.Name, n.State)
			}
		}
		testenv.Must(t, "down", r.name)
		nothingLeft(t, before, "down")
		goal(t, 12, "%d of %d nodes up", len(s.Nodes), nodes)
	})
}

// Goal 14: a change of one link is nothing to the others.
func TestFault17_ChangeOfOneLink(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, mixed(50))
		pids := map[string]int{}
		for _, n := range r.status().Nodes {
			pids[n.Name] = n.PID
		}
		ping := exec.Command(testenv.Binary(t), "exec", r.name+"/n40", "--", "ping", "-n", "-q", "-i", "0.001", "-c", "1500", "10.83.41.2")
		var out strings.Builder
		ping.Stdout = &out
		if err := ping.Start(); err != nil {
			t.Fatal(err)
		}
		edit(t, r.file, "addresses: [10.83.5.1/32, 10.83.5.2/32]}", "addresses: [10.83.5.1/32, 10.83.5.2/32], mtu: 1400}")
		since := time.Now()
		testenv.Must(t, "up", r.file)
		took := time.Since(since)
		if err := ping.Wait(); err != nil {
			t.Error(err)
		}
		if !strings.Contains(out.String(), " 0% packet loss") {
			t.Errorf("on another link:\n%s", out.String())
		}
		for _, n := range r.status().Nodes {
			if pids[n.Name] != n.PID {
				t.Errorf("%s has pid %d and had %d", n.Name, n.PID, pids[n.Name])
			}
		}
		if got := r.sh("n4", "cat /sys/class/net/p4/mtu"); got != "1400" {
			t.Errorf("the MTU is %s", got)
		}
		loss := regexp.MustCompile(`\d+% packet loss`).FindString(out.String())
		goal(t, 14, "%d ms, %s at 1 ms on another link, all pids kept", took.Milliseconds(), loss)

		// FAULTS 17: what is done to an interface by hand is seen and mended.
		r.sh("n10", "ip link set q10 down; ip addr flush dev q10")
		if res := testenv.Run(t, "plan", r.file); res.Code != 10 || !strings.Contains(res.Stdout, "q10") {
			t.Errorf("plan: exit code %d\n%s", res.Code, res.Stdout)
		}
		r.sh("n20", "ip link del q20")
		testenv.Must(t, "up", r.file)
		r.sh("n10", "ping -n -c 1 -W 1 10.83.10.1")
		r.sh("n20", "ping -n -c 1 -W 1 10.83.20.1")
		if res := testenv.Run(t, "plan", r.file); res.Code != 0 {
			t.Errorf("plan after up: exit code %d\n%s", res.Code, res.Stdout)
		}
	})
}

// Goal 15: what nodes leave behind in processes.
func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		orphans := 500
		if full() {
			orphans = 10000
		}
		r := start(t, "name: NAME\nnodes: {a: {command: [sleep, infinity]}}\n")
		r.sh("a", fmt.Sprintf("i=0; while [ $i -lt %d ]; do (true &); i=$((i+1)); done", orphans))
		zombies := 0
		count := func() bool {
			zombies = 0
			for _, f := range globbed(t, "/proc/[0-9]*/stat") {
				if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), ") Z ") {
					zombies++
				}
			}
			return zombies == 0
		}
		testenv.Eventually(t, time.Second, "no zombies", count)
		goal(t, 15, "%d zombies 1 s after %d orphans", zombies, orphans)
	})
}
