package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// New nodes of a running lab that cannot be made keep no others from being made. They are named, and are "not made" until the file is mended.
func TestNewNodesThatCannotBeMade(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		file := func(command, workdir string) string {
			t.Helper()
			return writeFile(t, dir, "lab.yaml", strings.NewReplacer("NAME", name, "COMMAND", command, "WORKDIR", workdir).Replace(`name: NAME
bridges: {lan: {subnet: 10.5.0.0/24}}
nodes:
  old: {dns: {nameservers: [192.0.2.54]}, limits: {pids: 100}}
  good: {command: [sleep, infinity]}
  bad: {command: [COMMAND, infinity], ports: ["28090:80"], limits: {pids: 64}}
  worse: {command: [sleep, infinity], workdir: WORKDIR}
  beside:
    sysctls: {net.ipv4.conf.p0.rp_filter: 2}
    routes: [{to: 198.51.100.0/24, via: 10.6.0.2}, {to: 203.0.113.0/24, via: 10.5.0.1}]
  waits: {command: [sleep, infinity], depends_on: [bad]}
links:
  - {endpoints: ["old:eth0", lan], address: 10.5.0.1/24}
  - {endpoints: ["good:eth0", lan], address: 10.5.0.2/24}
  - {endpoints: ["bad:eth0", lan], address: 10.5.0.3/24}
  - {endpoints: ["beside:eth0", lan], address: 10.5.0.4/24}
  - {endpoints: ["beside:p0", "bad:p0"], addresses: [10.6.0.1/30, 10.6.0.2/30]}
`))
		}
		testenv.Must(t, "up", writeFile(t, dir, "lab.yaml", "name: "+name+`
bridges: {lan: {subnet: 10.5.0.0/24}}
nodes: {old: {dns: {nameservers: [192.0.2.53]}}}
links: [{endpoints: ["old:eth0", lan], address: 10.5.0.1/24}]
`))
		defer testenv.Must(t, "down", name)
		r := run{t, name}
		init := r.node("old").PID

		got := testenv.Run(t, "up", file("slep", "/none"))
		for _, want := range []string{"node bad: run slep: command not found; name a program", "node worse: run the command in /none", "node good, node beside, node waits",
			"not made: node bad, node worse, link bad:eth0 -- lan, link beside:p0 -- bad:p0, port 127.0.0.1:28090/tcp; run it again to finish"} {
			if !strings.Contains(got.Stderr, want) {
				t.Errorf("up does not say %q:\n%s", want, got.Stderr)
			}
		}
		if got.Code != 127 && got.Code != 126 || r.node("old").PID != init {
			t.Errorf("exit code %d, and old's init was %d and is %d", got.Code, init, r.node("old").PID)
		}
		states := func(want string) {
			t.Helper()
			var all []string
			for _, n := range r.status().Nodes {
				all = append(all, n.Name+" "+n.State)
			}
			if is := strings.Join(all, ", "); is != want {
				t.Errorf("the nodes are %s, not %s", is, want)
			}
		}
		states("old idle, good running, bad not made, worse not made, beside idle, waits waiting")
		for _, n := range []string{"good", "beside"} {
			testenv.Must(t, "exec", name+"/old", "--", "ping", "-n", "-c", "1", "-W", "2", n)
		}
		testenv.Must(t, "exec", name+"/beside", "--", "sh", "-c", "ip route show 203.0.113.0/24 | grep eth0 && ! ip route show 198.51.100.0/24 | grep . && ! ip link show p0 2>/dev/null")
		testenv.Must(t, "exec", name+"/old", "--", "grep", "192.0.2.54", "/etc/resolv.conf")

		// What there is to do is what is not there, and no more.
		plan := testenv.Run(t, "plan", dir+"/lab.yaml")
		var kinds []string
		for line := range strings.Lines(plan.Stdout) {
			f := strings.Fields(line)
			kinds = append(kinds, strings.Join(f[:3], " "))
		}
		want := []string{"+ node bad", "+ node worse", "+ link bad:eth0", "+ link beside:p0", "+ route beside:", "+ port 127.0.0.1:28090/tcp"}
		if slices.Sort(kinds); plan.Code != 10 || !slices.Equal(kinds, slices.Sorted(slices.Values(want))) {
			t.Errorf("exit code %d, the plan is\n%s", plan.Code, plan.Stdout)
		}
		if drift := r.status().Drift; len(drift) != len(want) {
			t.Errorf("ps tells of %v", drift)
		}
		if text := testenv.Must(t, "inspect", name); !strings.Contains(text, "not as its file says\n  + node") {
			t.Errorf("inspect does not tell:\n%s", text)
		}
		if text := testenv.Must(t, "inspect", name+"/bad"); !strings.Contains(text, "not made") || !strings.Contains(text, "tcp       not published") {
			t.Errorf("inspect of it says\n%s", text)
		}
		for _, args := range [][]string{{"exec", name + "/bad", "--", "true"}, {"stop", name + "/bad"}, {"diff", name + "/bad"}, {"wait", name + "/bad"}} {
			if got := testenv.Run(t, args...); got.Code == 0 || !strings.Contains(got.Stderr, "it is not made") {
				t.Errorf("%v: %+v", args, got)
			}
		}

		// The rest is made when it can be.
		if got := testenv.Run(t, "up", file("sleep", "/none")); got.Code != 126 || !strings.Contains(got.Stderr, "node worse: run the command in /none") {
			t.Errorf("%+v", got)
		}
		r.until("waits", lab.StateRunning)
		states("old idle, good running, bad running, worse not made, beside idle, waits running")
		if n := r.node("bad"); !slices.Equal(n.Published, []string{"127.0.0.1:28090/tcp"}) {
			t.Errorf("published is %v", n.Published)
		}
		testenv.Must(t, "exec", name+"/beside", "--", "sh", "-c", "ping -n -c 1 -W 2 10.6.0.2 && ip route show 198.51.100.0/24 | grep p0 && grep -qx 2 /proc/sys/net/ipv4/conf/p0/rp_filter")
		testenv.Must(t, "up", file("sleep", "/"))
		states("old idle, good running, bad running, worse running, beside idle, waits running")
		if got := testenv.Run(t, "plan", dir+"/lab.yaml"); got.Code != 0 {
			t.Errorf("%+v", got)
		}
	})
}
