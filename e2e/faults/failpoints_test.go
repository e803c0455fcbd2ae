package faults

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// killed is a scenario killed before each of its acts, and then down.
func killed(t *testing.T, s scenario) {
	s.each(t, func(c *cut) {
		when := "killed at " + c.act.String()
		res, reached := c.do("kill")
		switch {
		case !reached:
			c.missed++
		case c.act.own() && res.Code != 137:
			c.Errorf("%s: exit code %d\n%s", when, res.Code, res.Stderr)
		}
		c.down(when)
	})
}

// FAULTS 1, goal 1: whichever process of an up is killed before whichever of its acts, down leaves nothing.
func TestFault01_UpKilledAtEveryAct(t *testing.T) {
	t.Parallel()
	killed(t, ups())
}

// FAULTS 3, goal 2.
func TestFault03_DownKilledAtEveryAct(t *testing.T) {
	t.Parallel()
	killed(t, downs())
}

// Goal 5: whatever the kernel or the disk refuses, up fails, says at what and what to do, and leaves nothing.
func TestErrorAtEveryAct(t *testing.T) {
	t.Parallel()
	s := ups()
	s.goal = 5
	if full() {
		s.shards = 2 // of so many processes as there are processors
	}
	errnos := []string{"ENOSPC", "EMFILE", "EPERM", "ENOBUFS", "EEXIST"}
	s.each(t, func(c *cut) {
		if strings.Contains(c.act.name, "send ") {
			return // to another process of nsnet, whose death is tested above
		}
		some := errnos
		if !full() {
			some = errnos[c.i%len(errnos):][:1]
		}
		for _, errno := range some {
			c.fails(errno)
		}
	})
}

// FAULTS 6, 8: a limit that the kernel tells by the error of something else.
func TestFault06_08_LimitsOfNamespacesAndProcesses(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		r := define(t, "name: NAME\nnodes: {a: {}, b: {}}\n")
		for point, want := range map[string][]string{
			"clone lab init=error(ENOSPC)":    {"create its namespaces", "a limit of namespaces is reached", "raise the sysctl user.max_", ", which is "},
			"lab init: clone b=error(ENOSPC)": {"node b", "a limit of namespaces is reached", "raise the sysctl user.max_", ", which is "},
			"clone lab init=error(EAGAIN)":    {"create its namespaces", "the limit of processes is reached", "pids.max", "kernel.pid_max"},
			"lab init: clone b=error(EAGAIN)": {"node b", "the limit of processes is reached", "pids.max", "kernel.pid_max"},
		} {
			fails(t, failing(t, "NSNET_FAIL="+point, []string{"up", r.file}), 1, append(want, "lab "+r.name)...)
			nothingLeft(t, before, point)
		}
	})
}

// fails has an act of up fail.
func (c *cut) fails(errno string) {
	when := errno + " at " + c.act.String()
	res, failed := c.do("error(" + errno + ")")
	if !failed {
		if !c.harmless(errno) {
			c.Errorf("%s: up succeeds", when)
		}
		testenv.Must(c.T, "down", c.name)
		nothingLeft(c.T, c.before, when)
		return
	}
	nothingLeft(c.T, c.before, when)
	says := []string{"lab " + c.name}
	what := strings.TrimSuffix(strings.TrimPrefix(c.act.name, "lab init: "), "*")
	if rest, ok := strings.CutPrefix(what, "node "); ok {
		node, label, _ := strings.Cut(rest, " ")
		says = append(says, "node "+node, label)
	} else if node, ok := strings.CutPrefix(what, "clone "); ok && node != "lab init" {
		says = append(says, "node "+node)
	} else if label, ok := strings.CutPrefix(what, "netlink "); ok {
		says = append(says, label)
	}
	for _, s := range says {
		if !strings.Contains(res.Stderr, s) {
			c.Errorf("%s: the message does not say %q:\n%s", when, s, res.Stderr)
		}
	}
	if _, remedy, ok := strings.Cut(res.Stderr, "; "); !ok || len(remedy) < 20 {
		c.Errorf("%s: no remedy:\n%s", when, res.Stderr)
	}
}

// harmless tells acts whose failure is no reason for up to fail.
func (c *cut) harmless(errno string) bool {
	name := strings.TrimPrefix(c.act.name, "lab init: ")
	switch {
	case strings.HasPrefix(name, "rmdir "):
		return true // the parent of all groups, which is removed where it is empty
	case errno == "EEXIST":
		// That something is there already is what was wanted of these.
		return strings.HasPrefix(name, "mkdir ") || strings.HasPrefix(name, "node ") && strings.Contains(name, " create /")
	}
	return false
}
