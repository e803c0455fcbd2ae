package lab

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/execute"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 bytes", 1023: "1023 bytes", 1024: "1 KiB", 1025: "1025 bytes", 10 << 20: "10 MiB",
		1536 << 10: "1536 KiB", 1 << 30: "1 GiB", 5 << 40: "5120 GiB", 1<<30 + 1: "1073741825 bytes",
	} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, not %q", n, got, want)
		}
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for ws, want := range map[syscall.WaitStatus]int{0: 0, 1 << 8: 1, 255 << 8: 255, 9: 137, 15: 143, 11 | 0x80: 139} {
		if got := execute.ExitCode(ws); got != want {
			t.Errorf("wait status %#x is exit code %d, not %d", ws, got, want)
		}
	}
}

// smallLab is two nodes with a bridge, a cable and what else shows.
func smallLab() *topology.Lab {
	p := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	return &topology.Lab{
		Name: "demo",
		Nodes: []topology.Node{
			{Name: "web", Hostname: "web", Image: topology.Image{Kind: topology.ImageHost}, Command: []string{"nginx", "-g", "daemon off;"}},
			{Name: "db", Hostname: "db.lab", Image: topology.Image{Kind: topology.ImageDir, Path: "/images/db"}, Privileged: true},
		},
		Bridges: []topology.Bridge{
			{Name: "lan0", Addresses: p("192.168.10.1/24", "fd00::1/64"), NAT: true, MTU: 1500},
			{Name: "lan1", STP: true, MTU: 9000},
			{Name: "docker0", External: true, MTU: 1500, Addresses: p("172.17.0.1/16")},
		},
		Links: []topology.Link{
			{A: topology.Endpoint{Node: "web", Interface: "eth0", Addresses: p("192.168.10.2/24", "fd00::2/64"), MAC: "02:00:00:00:00:01", MTU: 1500}, B: topology.Endpoint{Bridge: "lan0"}},
			{A: topology.Endpoint{Node: "db", Interface: "ptp0", Addresses: p("10.1.1.1/32"), MTU: 1400}, B: topology.Endpoint{Node: "web", Interface: "ptp0", Addresses: p("10.1.1.2/32"), MTU: 1400}},
			{A: topology.Endpoint{Node: "web", Interface: "eth1", MTU: 9000}, B: topology.Endpoint{Bridge: "lan1"}},
		},
	}
}

func TestInterfaces(t *testing.T) {
	t.Parallel()
	want := map[string][]InterfaceStatus{
		"web": {
			{Name: "eth0", MAC: "02:00:00:00:00:01", MTU: 1500, Addresses: []string{"192.168.10.2/24", "fd00::2/64"}, Peer: "lan0", Port: "web.eth0"},
			{Name: "ptp0", MTU: 1400, Addresses: []string{"10.1.1.2/32"}, Peer: "db:ptp0"},
			{Name: "eth1", MTU: 9000, Addresses: []string{}, Peer: "lan1", Port: "web.eth1"}, // a list in JSON, too
		},
		"db": {{Name: "ptp0", MTU: 1400, Addresses: []string{"10.1.1.1/32"}, Peer: "web:ptp0"}},
	}
	if diff := cmp.Diff(want, interfaces(smallLab())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	want := []Action{
		{Op: "+", Kind: "bridge", Name: "lan0", Detail: "mtu 1500, stp off"},
		{Op: "+", Kind: "leg", Name: bridge.LegName("demo", "lan0"), Detail: "the host's, 192.168.10.1/24, fd00::1/64 on lan0"},
		{Op: "+", Kind: "nat", Name: "lan0", Detail: "nodes reach the outside through the host"},
		{Op: "+", Kind: "bridge", Name: "lan1", Detail: "mtu 9000, stp on"},
		{Op: "+", Kind: "node", Name: "web", Detail: "image host, runs nginx -g 'daemon off;'"},
		{Op: "+", Kind: "node", Name: "db", Detail: "image dir:/images/db, idle"},
		{Op: "+", Kind: "link", Name: "web:eth0 -- lan0", Detail: "192.168.10.2/24, fd00::2/64"},
		{Op: "+", Kind: "link", Name: "db:ptp0 -- web:ptp0", Detail: "10.1.1.1/32 -- 10.1.1.2/32"},
		{Op: "+", Kind: "link", Name: "web:eth1 -- lan1", Detail: ""},
	}
	if diff := cmp.Diff(want, actions(smallLab())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNodeStatus(t *testing.T) {
	t.Parallel()
	l := smallLab()
	r := &record{Name: "demo", Base: firstID}
	s := nodeStatus(r, &l.Nodes[0], &proto.NodeState{State: StateRunning, CommandPID: 7, PID: 101})
	if s.State != StateRunning || s.PID != 101 || s.CommandPID != 7 || s.ExitCode != nil || s.UIDBase != firstID+65536 || s.Netns != "/run/netns/demo.web" || s.Image != "host" {
		t.Errorf("running: %+v", s)
	}
	s = nodeStatus(r, &l.Nodes[0], &proto.NodeState{State: StateExited, WaitStatus: 3 << 8})
	if s.State != StateExited || s.ExitCode == nil || *s.ExitCode != 3 || s.Signal != "" {
		t.Errorf("exited: %+v", s)
	}
	s = nodeStatus(r, &l.Nodes[0], &proto.NodeState{State: StateExited, WaitStatus: uint32(unix.SIGKILL)})
	if s.ExitCode == nil || *s.ExitCode != 137 || s.Signal != "SIGKILL" {
		t.Errorf("killed: %+v", s)
	}
	s = nodeStatus(r, &l.Nodes[0], &proto.NodeState{State: StateDead, Reason: "gone"})
	if s.State != StateDead || s.PID != 0 || s.Reason != "gone" {
		t.Errorf("dead: %+v", s)
	}
	s = nodeStatus(r, &l.Nodes[1], nil)
	if s.State != StateDead || s.PID != 0 || s.UIDBase != 0 || s.Image != "dir:/images/db" || s.Hostname != "db.lab" {
		t.Errorf("privileged, of a lab that is dead: %+v", s)
	}
}

func TestExecFailure(t *testing.T) {
	t.Parallel()
	o := &ExecOptions{Lab: "demo", Node: "web"}
	for name, tc := range map[string]struct {
		errno syscall.Errno
		code  int
	}{
		"not found": {unix.ENOENT, 127}, "not executable": {unix.EACCES, 126}, "no program": {unix.ENOEXEC, 126}, "other": {unix.EMFILE, 0},
	} {
		code, err := execFailure(o, &wire.Failure{Errno: uint32(tc.errno), Text: "thing"})
		var e *Error
		if code != tc.code || !errors.As(err, &e) || e.Node != "web" || e.Object != "thing" {
			t.Errorf("%s: exit code %d, error %+v", name, code, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	wrong := errors.New("wrong")
	for want, e := range map[string]*Error{
		"lab a: node b: create link b:eth0: wrong; do this": {Op: "create link", Lab: "a", Node: "b", Object: "b:eth0", Err: wrong, Remedy: "do this"},
		"wrong":           {Err: wrong},
		"lab a: wrong":    {Lab: "a", Err: wrong},
		"x: wrong":        {Object: "x", Err: wrong},
		"boot: wrong":     {Op: "boot", Err: wrong},
		"wrong; do so":    {Err: wrong, Remedy: "do so"},
		"node b: x: ":     {Node: "b", Object: "x"},
		"lab a: y: wrong": {Lab: "a", Op: "y", Err: wrong},
	} {
		if got := e.Error(); got != want || e.Err != nil && !errors.Is(e, wrong) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
