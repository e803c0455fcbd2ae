package faults

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// piece is something that a change makes, and how the kernel shows whether that is so.
type piece struct {
	plan string // a regular expression of the line of a plan
	made func(r run) bool
}

// is has a piece made where a shell's script in a node says so.
func is(node, script string) func(run) bool {
	return func(r run) bool { return r.exec(node, "sh", "-c", script).Code == 0 }
}

// listens reports whether the host listens at a port. proc_pid_net(5).
func listens(port int) bool {
	b, err := os.ReadFile("/proc/self/net/tcp")
	return err == nil && regexp.MustCompile(fmt.Sprintf(`: 0100007F:%04X 00000000:0000 0A`, port)).Match(b)
}

// pieces are those of a change of many kinds, of a lab whose node x has an init of that pid.
func pieces(x *int) (before, after string, all []piece) {
	before = strings.Replace(base, "  c: {", "  x: {}\n  c: {", 1)
	after = strings.NewReplacer("address: 10.90.0.9/24", "address: 10.90.0.10/24", "memory: 64MiB", "memory: 32MiB", "192.0.2.53", "192.0.2.54", "192.0.2.1 outside", "192.0.2.1 elsewhere",
		"28080:80", "28081:80", "net.ipv4.ip_forward: 1, ", "", "via: 10.9.0.2}", "via: 10.90.0.10}", "[10.9.0.1/32, 10.9.0.2/32]", "[10.9.0.1/32, 10.9.0.2/32], mtu: 1400",
		"  - {endpoints: [\"a:eth1\", lan1]}\n", "  - {endpoints: [\"c:q0\", \"b:q0\"], addresses: [10.9.1.1/32, 10.9.1.2/32]}\n  - {endpoints: [\"d:eth0\", lan1], address: 10.91.0.77/24}\n",
		"  x: {}\n", "  d: {command: [sleep, \"2000000\"]}\n", "[sleep, infinity]", "[sleep, \"1000000\"]").Replace(before)
	limit := func(r run) bool {
		for _, path := range slices.Concat(globbed(r.t, "/sys/fs/cgroup/memory/nsnet/"+r.name+"/a/memory.limit_in_bytes"), globbed(r.t, "/sys/fs/cgroup/nsnet/"+r.name+"/a/memory.max")) {
			if b, err := os.ReadFile(path); err == nil {
				return strings.TrimSpace(string(b)) == fmt.Sprint(32<<20)
			}
		}
		r.t.Error("no control group of a")
		return false
	}
	return before, after, []piece{
		{`~ hosts +NAME `, is("c", "grep -q '^10.90.0.10.* b' /etc/hosts")},
		{`~ hosts +c `, is("c", "grep -q elsewhere /etc/hosts")},
		{`~ limits +a `, limit},
		{`~ dns +a `, is("a", "grep -q 192.0.2.54 /etc/resolv.conf")},
		{`~ sysctls +a `, is("a", "grep -qx 0 /proc/sys/net/ipv4/ip_forward")},
		{`~ link +b:eth0 -- lan0 `, is("b", "ip -o address show eth0 | grep -q 10.90.0.10/24 && ! ip -o address show eth0 | grep -q 10.90.0.9/24")},
		{`~ link +a:p0 -- b:p0 `, func(r run) bool {
			const small = "ip link show p0 | grep -q 'mtu 1400'"
			return is("a", small)(r) && is("b", small)(r)
		}},
		{`[+~] link +c:q0 -- b:q0 `, is("c", "ip address show q0 | tr '\\n' ' ' | grep -q 'LOWER_UP.*10.9.1.1.*fe80'")},
		{`- link +a:eth1 -- lan1`, is("a", "! ip link show eth1")},
		{`\+ route +a: 198.51.100.0/24 via 10.90.0.10`, is("a", "ip route show 198.51.100.0/24 | grep -q 'via 10.90.0.10 '")},
		{`- route +a: 198.51.100.0/24 via 10.9.0.2`, is("a", "! ip route show 198.51.100.0/24 | grep -q 'via 10.9.0.2 '")},
		{`\+ port +127.0.0.1:28081/tcp`, func(run) bool { return listens(28081) }},
		{`- port +127.0.0.1:28080/tcp`, func(run) bool { return !listens(28080) }},
		{`~ command +b `, is("b", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q '[s]leep 1000000'")},
		{`[+~] node +d `, is("d", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q '[s]leep 2000000'")},
		{`- node +x`, func(run) bool {
			_, err := os.Stat(fmt.Sprintf("/proc/%d", *x))
			return err != nil
		}},
	}
}

// After a change that has failed at any of its acts plan, ps and inspect say of each piece what is so, and up again makes what is left.
func TestFailedChangeIsToldPieceByPiece(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		var x int
		before, after, all := pieces(&x)
		r := start(t, before)
		x = r.node("x").PID
		before, after = strings.ReplaceAll(before, "NAME", r.name), strings.ReplaceAll(after, "NAME", r.name)
		writeFile(t, r.file, after)
		const path = "/run/trace"
		if res := failing(t, "NSNET_TRACE="+path, []string{"up", r.file}); res.Code != 0 {
			t.Fatalf("traced: exit code %d\n%s", res.Code, res.Stderr)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		remove(t, path)
		for _, p := range all {
			if !p.made(r) {
				t.Errorf("%s is not made", p.plan)
			}
		}
		var acts, kinds []string
		for line := range strings.Lines(string(b)) {
			act := strings.TrimSuffix(line, "\n")
			words := strings.Fields(act)
			if kind := strings.Join(words[:min(3, len(words))], " "); full() || !slices.Contains(kinds, kind) {
				acts, kinds = append(acts, act), append(kinds, kind)
			}
		}
		every, from := 1, 0
		if !full() {
			every = max(1, len(acts)/6)
			from = testenv.Random(t).IntN(every)
		}
		for i := from; i < len(acts); i += every {
			act := acts[i]
			writeFile(t, r.file, before)
			testenv.Must(t, "up", r.file)
			x = r.node("x").PID
			writeFile(t, r.file, after)
			res := failing(t, "NSNET_FAIL="+act+"=error(EIO)", []string{"up", r.file})
			plan := testenv.Run(t, "plan", r.file).Stdout
			r.truly(act, plan, all)
			if res.Code == 0 && plan != r.name+" is up already, nothing to do\n" {
				t.Errorf("%s: up succeeds, and there is more to do:\n%s", act, plan)
			}
			testenv.Must(t, "up", r.file)
			plans(t, r.file, 0)
			r.truly(act+", and up", "", all)
			if t.Failed() {
				t.Fatalf("%s: %s", act, res.Stderr)
			}
		}
	})
}

// truly fails the test unless a plan has just those pieces that are not made, and ps and inspect say the same.
func (r run) truly(when, plan string, all []piece) {
	r.t.Helper()
	for _, p := range all {
		if strings.HasPrefix(when, "sysctl net.") && strings.Contains(p.plan, "sysctls") {
			continue // it is begun: one of two is set
		}
		said := regexp.MustCompile(`(?m)^` + strings.ReplaceAll(p.plan, "NAME", r.name)).MatchString(plan)
		if made := p.made(r); made == said {
			r.t.Errorf("%s: made: %v, %s\n%s", when, made, p.plan, plan)
		}
	}
	status := r.status()
	if !slices.ContainsFunc(all, func(p piece) bool { return p.made(r) }) && len(status.Drift) == 0 {
		return // it has failed before the lab was told to be anything else
	}
	if lines := strings.Count(plan, "\n"); len(status.Drift) != lines && !strings.Contains(plan, "nothing to do") {
		r.t.Errorf("%s: ps tells of %d changes, the plan is\n%s", when, len(status.Drift), plan)
	}
	for _, n := range status.Nodes {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", n.PID)); (n.PID == 0 || err != nil) != (n.State == lab.StateNotMade) || n.State == lab.StateDead {
			r.t.Errorf("%s: node %s is %s, with pid %d: %v", when, n.Name, n.State, n.PID, err)
		}
		if n.Name == "b" && slices.Contains(n.Published, "127.0.0.1:28081/tcp") != listens(28081) {
			r.t.Errorf("%s: published is %v, and listened is at 28081: %v", when, n.Published, listens(28081))
		}
	}
}
