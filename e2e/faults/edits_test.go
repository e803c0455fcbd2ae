package faults

import (
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// edits are changes of the file of rich.
func edits() map[string]*strings.Replacer {
	return map[string]*strings.Replacer{
		"a node more":           strings.NewReplacer("links:\n", "  d: {command: [sleep, infinity], limits: {pids: 64}}\nlinks:\n  - endpoints: [\"d:eth0\", lan0]\n"),
		"a node less":           strings.NewReplacer("  c: {image: \"dir:./root\"}\n", "", "  - endpoints: [\"c:eth0\", lan1]\n", ""),
		"a cable to a bridge":   strings.NewReplacer("links:\n", "links:\n  - endpoints: [\"b:eth1\", lan1]\n"),
		"a cable less":          strings.NewReplacer("  - {endpoints: [\"a:p0\", \"b:p0\"], addresses: [10.83.0.1/32, 10.83.0.2/32]}\n", ""),
		"other addresses":       strings.NewReplacer("10.83.0.", "10.84.0.", "10.82.0.0/24", "10.85.0.0/24"),
		"another MTU":           strings.NewReplacer("10.83.0.2/32]}", "10.83.0.2/32], mtu: 1400}"),
		"a bridge with a leg":   strings.NewReplacer("nodes:\n", "  lan2: {address: 10.86.0.1/24, nat: true}\nnodes:\n", "links:\n", "links:\n  - endpoints: [\"c:eth1\", lan2]\n"),
		"no NAT":                strings.NewReplacer(", nat: true", ""),
		"names, limits, sysctl": strings.NewReplacer("192.0.2.53", "192.0.2.54", "pids: 64", "pids: 128", "ip_forward: 1", "ip_forward: 0"),
		"a port and a command":  strings.NewReplacer("7081:80", "7082:80", "[sleep, infinity]", "[sleep, \"1000000\"]"),
	}
}

// Goal 2: a change of a running lab that is killed at any of its acts is finished by the next up, and down leaves nothing.
func TestFault03_ChangeKilledAtEveryAct(t *testing.T) {
	t.Parallel()
	for name, edit := range edits() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scenario{goal: 2, text: rich(), shards: 1, some: 8,
				setup: func(r run) {
					writeFile(r.t, r.file, strings.ReplaceAll(rich(), "NAME", r.name))
					testenv.Must(r.t, "up", r.file)
					writeFile(r.t, r.file, edit.Replace(strings.ReplaceAll(rich(), "NAME", r.name)))
				},
				command: func(r run) []string { return []string{"up", r.file} }}
			s.each(t, func(c *cut) {
				when := "killed at " + c.act.String()
				if _, reached := c.do("kill"); !reached {
					c.missed++
				} else if c.i%2 == 0 || full() {
					c.converges(when)
				}
				c.down(when)
			})
		})
	}
}

// converges fails the test unless up finishes what was begun, and finds nothing to do then.
func (c *cut) converges(when string) {
	c.Helper()
	if res := testenv.Run(c.T, "up", c.file); res.Code != 0 {
		c.Errorf("%s: up again: exit code %d\n%s", when, res.Code, res.Stderr)
		return
	}
	if res := testenv.Run(c.T, "plan", c.file); res.Code != 0 {
		c.Errorf("%s: after up again, plan has more to do:\n%s%s", when, res.Stdout, res.Stderr)
	}
	if _, err := os.Stat("/run/nsnet/" + c.name + "/state.json"); err != nil {
		c.Error(err)
	}
}
