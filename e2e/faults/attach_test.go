package faults

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// target is a container: a process with a network namespace of its own.
type target struct {
	cmd *exec.Cmd
	etc bool // it has an /etc of its own, which is empty
}

func (c *target) start(t *testing.T) {
	t.Helper()
	c.cmd = exec.Command("unshare", "--net", "sleep", "infinity")
	if c.etc {
		c.cmd = exec.Command("unshare", "--net", "--mount", "sh", "-c", "mount -t tmpfs none /etc && exec sleep infinity")
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	own := testenv.MustCommand(t, "readlink", "/proc/self/ns/net")
	testenv.Eventually(t, 2*time.Second, "it has a network namespace", func() bool {
		res := testenv.Command(t, "readlink", "/proc/"+c.pid()+"/ns/net")
		name, err := os.ReadFile("/proc/" + c.pid() + "/comm")
		return res.Code == 0 && res.Stdout != own && err == nil && string(name) == "sleep\n"
	})
}

func (c *target) pid() string { return strconv.Itoa(c.cmd.Process.Pid) }

func (c *target) end() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// attaching is attach to a container, on a bridge of a lab, or detach.
func attaching(command func(c *target, r run) []string, setup func(c *target, r run)) scenario {
	return attachingTo(&target{}, command, setup)
}

func attachingTo(c *target, command func(c *target, r run) []string, setup func(c *target, r run)) scenario {
	return scenario{goal: 2, text: "name: NAME\nbridges: {lan0: {address: 10.80.0.1/24}}\nnodes: {a: {}}\nlinks:\n  - endpoints: [\"a:eth0\", lan0]\n", shards: 1,
		setup: func(r run) {
			testenv.Must(r.t, "up", r.file)
			c.start(r.t)
			if setup != nil {
				setup(c, r)
			}
		},
		command: func(r run) []string { return command(c, r) },
		undo:    func(run) { c.end() },
	}
}

func attach(c *target, r run) []string {
	return []string{"attach", "--pid", c.pid(), "--bridge", r.name + "/lan0", "--ip", "auto", "--default-route"}
}

// An attach or a detach that is killed at any of its acts, or whose worker is, is finished or taken back by the next command, and can be
// done again.
func TestFault03_AttachKilledAtEveryAct(t *testing.T) {
	t.Parallel()
	detach := func(c *target, _ run) []string { return []string{"detach", "--pid", c.pid(), "--all"} }
	dns := &target{etc: true}
	for name, s := range map[string]scenario{
		"attach":                  attaching(attach, nil),
		"attach with nameservers": attachingTo(dns, func(c *target, r run) []string { return append(attach(c, r), "--dns", "192.0.2.53") }, nil),
		"detach":                  attaching(detach, func(c *target, r run) { testenv.Must(r.t, attach(c, r)...) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.each(t, func(c *cut) {
				when := "killed at " + c.act.String()
				if _, reached := c.do("kill"); !reached {
					c.missed++
				}
				testenv.Must(c.T, "ps")
				again := append([]string{}, c.command(c.run)...)
				res := testenv.Run(c.T, again...)
				taken := name != "detach" && res.Code == 5 // it was finished
				if res.Code != 0 && !taken {
					c.Errorf("%s: once more: exit code %d\n%s", when, res.Code, res.Stderr)
				}
				if name == "attach with nameservers" {
					testenv.Must(c.T, detach(dns, c.run)...)
					if left, err := os.ReadDir("/proc/" + dns.pid() + "/root/etc"); err != nil || len(left) > 0 {
						c.Errorf("%s: left in its /etc: %v, %v", when, left, err)
					}
				}
				c.down(when)
			})
		})
	}
}
