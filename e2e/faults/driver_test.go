package faults

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// scenario is a command that is cut short, or has a failure, before each of its acts in turn.
type scenario struct {
	text    string             // topology, see define
	setup   func(run)          // what is there before the command, each time anew; nil: nothing
	command func(run) []string // arguments of nsnet
	undo    func(run)          // of what setup has started; nil: nothing
	shards  int                // parts that are tested side by side
	goal    int                // the number of the goal that is measured
	some    int                // so many of the acts are enough, unless full; 0: all
}

// full tells whether every case is wanted, which takes minutes, and not a choice of them.
func full() bool { return os.Getenv("NSNET_FAULTS") == "full" }

// rich is a small lab with something of each kind that nsnet makes.
func rich() string {
	return `name: NAME
defaults: {dns: {nameservers: [192.0.2.53]}}
bridges:
  lan0: {address: [10.80.0.1/24, "fd00:80::1/64"], nat: true}
  lan1: {subnet: 10.82.0.0/24}
nodes:
  a: {limits: {memory: 64MiB, pids: 64}, binds: ["./data:/mnt/data"], sysctls: {net.ipv4.ip_forward: 1, net.ipv4.conf.eth0.rp_filter: 0}}
  b: {command: [sleep, infinity], ports: ["127.0.0.1:7081:80"], tmpfs: ["/scratch"]}
  c: {image: "dir:./root"}
links:
  - endpoints: ["a:eth0", lan0]
  - endpoints: ["b:eth0", lan0]
  - endpoints: ["c:eth0", lan1]
  - {endpoints: ["a:p0", "b:p0"], addresses: [10.83.0.1/32, 10.83.0.2/32]}
`
}

// ups is up of a new lab.
func ups() scenario {
	return scenario{goal: 1, text: rich(), shards: 4, command: func(r run) []string { return []string{"up", r.file} }}
}

// downs is down of a lab that runs.
func downs() scenario {
	return scenario{goal: 2, text: rich(), shards: 1, command: func(r run) []string { return []string{"down", r.name} },
		setup: func(r run) { testenv.Must(r.t, "up", r.file) }}
}

// act is one act of a command, as NSNET_FAIL names it.
type act struct {
	name  string
	count int // the how-manieth of this name
}

func (a act) String() string { return fmt.Sprintf("%s:%d", a.name, a.count) }

// own tells whether the command itself does it, and not an init of the lab.
func (a act) own() bool { return !strings.HasPrefix(a.name, "lab init: ") }

// each runs the scenario once with a trace, and then once for each of its acts, which f is told of.
func (s scenario) each(t *testing.T, f func(c *cut)) {
	for shard := range s.shards {
		t.Run(fmt.Sprintf("part %d of %d", shard+1, s.shards), func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				r := define(t, s.text)
				for _, d := range []string{"data", "root"} {
					if err := os.Mkdir(filepath.Join(filepath.Dir(r.file), d), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				before := snapshot(t)
				acts := s.trace(t, r)
				nothingLeft(t, before, "traced, and down")
				c := &cut{T: t, run: r, scenario: s, before: before}
				every, from := 1, 0
				if s.some > 0 && !full() {
					every = max(1, len(acts)/s.some)
					from = testenv.Random(t).IntN(every)
				}
				for i, a := range acts {
					if i%s.shards == shard && i%every == from {
						c.i, c.act = i, a
						f(c)
					}
				}
				// Directories that all labs of the machine share are made and removed by who comes first and last.
				if c.tried == 0 || c.missed > c.tried/20 {
					t.Errorf("%d of %d acts were not done again", c.missed, c.tried)
				}
				goal(t, s.goal, "%s: %d tries at %d acts", strings.TrimPrefix(t.Name(), "Test"), c.tried, len(acts))
			})
		})
	}
}

// trace is all acts of the command.
func (s scenario) trace(t *testing.T, r run) []act {
	t.Helper()
	if s.setup != nil {
		s.setup(r)
	}
	const path = "/run/trace" // which the lab init's user can reach
	if res := failing(t, "NSNET_TRACE="+path, s.command(r)); res.Code != 0 {
		t.Fatalf("traced: exit code %d\n%s", res.Code, res.Stderr)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, path)
	if s.undo != nil {
		s.undo(r)
	}
	testenv.Must(t, "down", r.name)
	chosen := regexp.MustCompile(`ns[0-9a-f]{10}`) // names of interfaces that may be others the next time
	seen := map[string]int{}
	var acts []act
	for line := range strings.Lines(string(b)) {
		name := strings.TrimSuffix(line, "\n")
		if at := chosen.FindStringIndex(name); at != nil {
			name = name[:at[0]] + "*"
		}
		seen[name]++
		acts = append(acts, act{name, seen[name]})
	}
	// The order differs from run to run, where processes work side by side; the parts have to be parts of the same list.
	slices.SortFunc(acts, func(a, b act) int { return cmp.Or(strings.Compare(a.name, b.name), a.count-b.count) })
	return acts
}

// failing runs the nsnet with failpoints.
func failing(t *testing.T, variable string, args []string) testenv.Result {
	t.Helper()
	return testenv.Command(t, append([]string{"env", variable, testenv.FailpointBinary(t)}, testenv.Trusting(args...)...)...)
}

// cut is one run of a scenario with something at one act.
type cut struct {
	*testing.T
	run
	scenario
	before        *testenv.Snapshot
	i             int
	act           act
	tried, missed int
}

// do runs the command with the action at the act. It is false when the command did not come to that act; the lab is
// down then.
func (c *cut) do(action string) (testenv.Result, bool) {
	c.Helper()
	if c.setup != nil {
		c.setup(c.run)
	}
	c.tried++
	res := failing(c.T, fmt.Sprintf("NSNET_FAIL=%s=%s", c.act, action), c.command(c.run))
	if strings.Contains(res.Stderr, "goroutine ") {
		c.Errorf("%s at %s: panic:\n%s", action, c.act, res.Stderr)
	}
	return res, res.Code != 0
}

// down takes the lab down, which must leave nothing.
func (c *cut) down(when string) {
	c.Helper()
	if c.undo != nil {
		c.undo(c.run)
	}
	if out, err := exec.Command(testenv.Binary(c.T), "down", c.name).CombinedOutput(); err != nil {
		c.Fatalf("%s: down: %v\n%s", when, err, out)
	}
	nothingLeft(c.T, c.before, when+", down")
}
