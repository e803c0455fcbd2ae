package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// commands is a lab with a node whose command has children of every kind, with routes of every kind, and two others on links of their own.
const commands = `
nodes:
  web:
    command: |
      trap 'echo ending; exit 0' TERM
      sleep 1000 &
      setsid sleep 1001 &
      (setsid sleep 1002 &)
      echo "run $$ $(ip -o addr show eth0 | wc -l)"
      while :; do sleep 0.05; done
    routes: [{to: 10.9.0.0/16, via: 10.3.0.2}, {to: "fd00:9::/64", dev: eth1}]
  pinger: {command: "ping -n -i 0.02 10.3.0.3"}
  other: {}
bridges: {lan0: {subnet: [10.3.0.0/24, "fd00:3::/64"]}}
links:
  - {endpoints: ["web:eth0", "lan0"], address: 10.3.0.1/24}
  - {endpoints: ["pinger:eth0", "lan0"], address: 10.3.0.2/24}
  - {endpoints: ["other:eth0", "lan0"], address: 10.3.0.3/24}
  - {endpoints: ["web:eth1", "other:eth1"], addresses: [[10.4.0.1/32, "fd00:4::1/128"], [10.4.0.2/32, "fd00:4::2/128"]]}
`

// network is all that a node's kernel has of its network, as text.
func (r run) network(node string) string {
	r.t.Helper()
	return r.sh(node, "ip -d -o link; ip -o addr; ip -4 route show table all; ip -6 route show table all; ip rule; ip neigh show nud permanent")
}

// until waits for a node to be in a state.
func (r run) until(node, state string) {
	r.t.Helper()
	testenv.Eventually(r.t, 10*time.Second, node+" is "+state, func() bool { return r.node(node).State == state })
}

// pids are the nodes' inits.
func (r run) pids() string {
	r.t.Helper()
	var all []string
	for _, n := range r.status().Nodes {
		all = append(all, fmt.Sprintf("%s=%d", n.Name, n.PID))
	}
	return strings.Join(all, " ")
}

func TestRestartKeepsTheNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, commands)
		r.goesOn("pinger")
		// By hand: addresses, routes, rules, neighbours, an interface and a firewall are the node's, not the command's.
		r.sh("web", `ip addr add 10.3.0.77/24 dev eth0; ip route add 10.8.0.0/16 via 10.3.0.3 metric 7; ip route add unreachable 10.7.0.0/16
			ip -6 addr add fd00:77::1/64 dev eth0 nodad; ip -6 route add fd00:8::/64 via fd00:3::2 dev eth0
			ip route add 10.6.0.0/16 via 10.3.0.2 table 100; ip rule add from 10.3.0.77 table 100
			ip neigh add 10.3.0.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
			echo kept >/tmp/kept; sysctl -qw net.ipv4.conf.eth0.log_martians=1`)
		// Started by exec: one that runs, and one that it has left behind in its session.
		r.sh("web", "sleep 2001 >/dev/null 2>&1 & sleep 2002 >/dev/null 2>&1 & true")
		before, pids := r.network("web"), r.pids()
		replies, began := r.replies("pinger"), time.Now()
		for i := range 3 {
			testenv.Eventually(t, 5*time.Second, "the command runs", func() bool {
				return strings.Count(testenv.Must(t, "logs", r.name+"/web"), "run ") == i+1
			})
			if got, want := testenv.Must(t, "restart", r.name+"/web"), r.name+"/web is restarted\n"; got != want {
				t.Fatalf("restart printed %q", got)
			}
		}
		if after := r.network("web"); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
		if after := r.pids(); after != pids {
			t.Errorf("inits were %s, are %s", pids, after)
		}
		if got := r.sh("web", "cat /tmp/kept /proc/sys/net/ipv4/conf/eth0/log_martians"); got != "kept\n1" {
			t.Errorf("a file and a sysctl: %q", got)
		}
		r.ping("web", "10.3.0.3")
		r.ping("web", "fd00:4::2")
		// The others' packets flow meanwhile: at 20 ms there is none lost in ping's own count.
		if got := r.replies("pinger") - replies; got == 0 {
			t.Errorf("no replies in %v", time.Since(began))
		}
		r.goesOn("pinger")
		sequence := 0
		for line := range strings.Lines(testenv.Must(t, "logs", r.name+"/pinger")) {
			_, rest, ok := strings.Cut(line, "icmp_seq=")
			if !ok {
				continue
			}
			var n int
			if _, err := fmt.Sscan(rest, &n); err != nil || n != sequence+1 {
				t.Errorf("reply %d after %d", n, sequence)
			}
			sequence = n
		}
		// The log goes on, and the command was told each time.
		testenv.Eventually(t, 5*time.Second, "the command runs", func() bool {
			return strings.Count(testenv.Must(t, "logs", r.name+"/web"), "run ") == 4
		})
		log := testenv.Must(t, "logs", r.name+"/web")
		if strings.Count(log, "run ") != 4 || strings.Count(log, "ending\n") != 3 || strings.Count(log, " 5\n") < 1 {
			t.Errorf("log:\n%s", log)
		}
		// What it has started is gone but that of the last run, exec's is not.
		if got := r.sh("web", "pgrep -c -f '^sleep 100[012]'; pgrep -c -f '^sleep 200[12]'"); got != "3\n2" {
			t.Errorf("processes of the command, and of exec: %q\n%s", got, r.sh("web", "ps -ef"))
		}
	})
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, commands)
		r.goesOn("pinger")
		before := r.network("web")
		running := make(chan testenv.Result, 1)
		go func() { running <- testenv.Run(t, "exec", r.name+"/web", "--", "sh", "-c", "sleep 1; echo done") }()
		testenv.Eventually(t, 5*time.Second, "exec runs", func() bool { return r.exec("web", "pgrep", "-f", "echo done").Code == 0 })
		if got, want := testenv.Must(t, "stop", r.name+"/web"), r.name+"/web is stopped\n"; got != want {
			t.Errorf("stop printed %q", got)
		}
		if n := r.node("web"); n.State != lab.StateStopped || n.CommandPID != 0 || n.PID == 0 {
			t.Errorf("a stopped node is %+v", n)
		}
		if got := r.sh("web", "pgrep -l -f '^sleep 100' || echo none"); got != "none" {
			t.Errorf("the command has left %s", got)
		}
		if after := r.network("web"); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
		if res := <-running; res.Code != 0 || res.Stdout != "done\n" {
			t.Errorf("an exec that ran: %+v", res)
		}
		if got, want := testenv.Must(t, "stop", r.name+"/web"), r.name+"/web is stopped already, nothing to do\n"; got != want {
			t.Errorf("stop printed %q", got)
		}
		if got, want := testenv.Must(t, "start", r.name+"/web"), r.name+"/web is started\n"; got != want {
			t.Errorf("start printed %q", got)
		}
		if got, want := testenv.Must(t, "start", r.name+"/web"), r.name+"/web runs already, nothing to do\n"; got != want {
			t.Errorf("start printed %q", got)
		}
		r.until("web", lab.StateRunning)

		var res lab.CommandResult
		if err := json.Unmarshal([]byte(testenv.Must(t, "stop", "--json", r.name)), &res); err != nil || res.State != lab.StateStopped || strings.Join(res.Nodes, " ") != "web pinger" {
			t.Errorf("stop of the lab: %+v, %v", res, err)
		}
		r.standsStill("pinger")
		r.ping("other", "10.3.0.1")
		if got, want := testenv.Must(t, "start", r.name), r.name+" is started: 2 nodes\n"; got != want {
			t.Errorf("start printed %q", got)
		}
		r.goesOn("pinger")
		if got, want := testenv.Must(t, "restart", r.name), r.name+" is restarted: 2 nodes\n"; got != want {
			t.Errorf("restart printed %q", got)
		}
		r.goesOn("pinger")
	})
}

func TestStopIsRefused(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {idle: {}, busy: {command: [sleep, infinity]}}")
		for _, command := range []string{"stop", "start", "restart"} {
			for ref, code := range map[string]int{r.name + "x": 4, r.name + "/b": 4, r.name + "/idle": 9} {
				if got := testenv.Run(t, command, ref); got.Code != code || got.Stdout != "" || got.Stderr == "" {
					t.Errorf("%s %s: exit code %d, %s%s", command, ref, got.Code, got.Stdout, got.Stderr)
				}
			}
		}
		testenv.Must(t, "pause", r.name+"/busy")
		if got := testenv.Run(t, "stop", r.name+"/busy"); got.Code != 9 || !strings.Contains(got.Stderr, "nsnet resume "+r.name+"/busy") {
			t.Errorf("stop of a paused node: %+v", got)
		}
		testenv.Must(t, "resume", r.name+"/busy")
		if got := testenv.Run(t, "stop", r.name, "--time", "-1"); got.Code != 2 {
			t.Errorf("a negative time: %+v", got)
		}
	})
}

// FAULTS 30: a command that ignores SIGTERM is killed when its time is over, with all that it has started.
func TestFault30_StopKills(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  deaf: {command: "trap '' TERM; setsid sleep 1001 & sleep 1000 & echo deaf; while :; do sleep 0.05; done"}
  forks: {limits: {pids: 60}, command: "trap '' TERM; f() { f & f & sleep 1003; }; f"}
`)
		testenv.Eventually(t, 5*time.Second, "it is deaf", func() bool { return testenv.Must(t, "logs", r.name+"/deaf") != "" })
		began := time.Now()
		testenv.Must(t, "stop", r.name+"/deaf", "--time", "0.5")
		if d := time.Since(began); d < 400*time.Millisecond || d > 3*time.Second {
			t.Errorf("stop took %v", d)
		}
		if got := r.sh("deaf", "ls -d /proc/[0-9]* | wc -l"); got != "4" && got != "5" { // init, the process between, sh, ls, wc
			t.Errorf("%s processes are left", got)
		}
		testenv.Must(t, "stop", r.name+"/forks", "--time", "0")
		if got := r.sh("forks", "pgrep -c -f '[1]003' || true"); got != "0" {
			t.Errorf("%s processes of a fork bomb are left", got)
		}
	})
}

// FAULTS 30: a process that cannot be killed is named, with what it waits for; the node is stopped when it ends.
func TestFault30_StopOfWhatHangs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {command: \"echo $$; exec sleep infinity\"}}")
		freeze, thaw := freezer(t, r.name)
		r.until("n", lab.StateRunning)
		freeze(hostPID(t, r.node("n").PID, "sleep"))
		began := time.Now()
		got := testenv.Run(t, "stop", r.name+"/n", "--time", "0.2")
		if d := time.Since(began); got.Code != 12 || d > 9*time.Second {
			t.Errorf("exit code %d after %v", got.Code, d)
		}
		for _, text := range []string{"node n", "process ", "host pid", "sleep", "state D", "refrigerator"} {
			if !strings.Contains(got.Stderr, text) {
				t.Errorf("%q is not in: %s", text, got.Stderr)
			}
		}
		if state := r.node("n").State; state != lab.StateStopping {
			t.Errorf("the node is %s", state)
		}
		thaw()
		r.until("n", lab.StateStopped)
		testenv.Must(t, "start", r.name+"/n")
	})
}

// freezer makes a control group of version 1 to freeze a process in, which SIGKILL does not end.
func freezer(t *testing.T, name string) (freeze func(pid int), thaw func()) {
	t.Helper()
	const root = "/sys/fs/cgroup/freezer"
	if _, err := os.Stat(root); err != nil {
		testenv.Miss(t, "the freezer of control groups of version 1")
	}
	dir := root + "/" + name + "-hang"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_ = os.WriteFile(dir+"/freezer.state", []byte("THAWED"), 0o644)
		testenv.Eventually(t, 5*time.Second, "the group is empty", func() bool { return os.Remove(dir) == nil })
	})
	return func(pid int) {
			write("cgroup.procs", fmt.Sprint(pid))
			write("freezer.state", "FROZEN")
			testenv.Eventually(t, 5*time.Second, "it is frozen", func() bool {
				b, err := os.ReadFile(dir + "/freezer.state")
				return err == nil && string(b) == "FROZEN\n"
			})
		}, func() {
			write("freezer.state", "THAWED")
		}
}

// hostPID is the child of a node's init that has a name.
func hostPID(t *testing.T, init int, name string) int {
	t.Helper()
	var pid int
	testenv.Eventually(t, 5*time.Second, name+" runs", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", init, init))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range strings.Fields(string(b)) {
			comm, err := os.ReadFile("/proc/" + f + "/comm")
			if err == nil && strings.TrimSpace(string(comm)) == name {
				_, err = fmt.Sscan(f, &pid)
				return err == nil
			}
		}
		return false
	})
	return pid
}
