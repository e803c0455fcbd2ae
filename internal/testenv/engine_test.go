package testenv

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/engines"
)

// docker0 is the bridge's own addresses, which engines.Docker has asked for.
func docker0() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("172.17.0.1"), netip.MustParseAddr("fd00:172:17::1")}
}

func TestDocker(t *testing.T) {
	t.Parallel()
	Isolate(t, func(t *testing.T) {
		e := Docker(t, "--live-restore")
		pid := e.Run(t, "web")
		for _, to := range docker0() {
			Ping(t, pid, to, 1)
		}
		if got := e.Exec(t, "web", "sh", "-c", "ip -o link | wc -l"); got != "2" {
			t.Errorf("links in a container: %s", got)
		}
		none := e.Run(t, "none", "--network", "none")
		if got := e.Exec(t, "none", "sh", "-c", "ip -o link | wc -l"); got != "1" {
			t.Errorf("links in a container without network: %s", got)
		}
		groups, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(none), "cgroup"))
		if err != nil || !strings.Contains(string(groups), "/"+labPrefix()) {
			t.Errorf("control groups of a container: %s, %v", groups, err)
		}
		e.Restart(t)
		if got := e.Do(t, "inspect", "--format", "{{.State.Pid}}", "web"); got != strconv.Itoa(pid) {
			t.Errorf("after a restart process %s, and not %d", got, pid)
		}
		e.Do(t, "kill", "web")
	})
}

// What a test leaves on docker0, beside its containers, is told while docker0 is there.
func TestDockerFindsLeaks(t *testing.T) {
	t.Parallel()
	Isolate(t, func(t *testing.T) {
		f := &fake{TB: t}
		f.run(func() {
			Docker(f)
			MustCommand(f, "ip", "link", "add", "left0", "type", "veth", "peer", "name", "left1")
			MustCommand(f, "ip", "link", "set", "left0", "master", "docker0")
			MustCommand(f, "iptables", "-I", "DOCKER-USER", "-j", "ACCEPT")
		})
		MustCommand(t, "ip", "link", "del", "left0")
		told := strings.Join(f.messages, "\n")
		for _, want := range []string{"left behind beside docker: + link", "left0 veth", "left behind beside docker: + firewall", "DOCKER-USER -j ACCEPT"} {
			if !strings.Contains(told, want) {
				t.Errorf("not told: %q; but\n%s", want, told)
			}
		}
	})
}

func TestDockerRemapped(t *testing.T) {
	t.Parallel()
	Isolate(t, func(t *testing.T) {
		e := Docker(t, engines.FlagRemap)
		pid := e.Run(t, "web")
		ids, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "uid_map"))
		if f := strings.Fields(string(ids)); err != nil || len(f) != 3 || f[1] == "0" {
			t.Errorf("ids of the container: %s, %v", ids, err)
		}
	})
}

func TestPodman(t *testing.T) {
	t.Parallel()
	Isolate(t, func(t *testing.T) {
		e := Podman(t)
		pid := e.Run(t, "web", "--network", "none")
		if got := e.Exec(t, "web", "sh", "-c", "ip -o link | wc -l"); got != "1" {
			t.Errorf("links in a container without network: %s", got)
		}
		e.Restart(t)
		if got := e.Do(t, "inspect", "--format", "{{.State.Pid}}", "web"); got != strconv.Itoa(pid) {
			t.Errorf("after a restart process %s, and not %d", got, pid)
		}
	})
}
