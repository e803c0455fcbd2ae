package attach

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// scene is a host with a bridge, an interface to share and one to lend, and two containers, one in
// a user namespace, which both have a default route already.
type scene struct {
	t    *testing.T
	a, b *container
}

func newScene(t *testing.T) *scene {
	t.Helper()
	testenv.Need(t, "ip", "ping", "nsenter")
	ip(t, "link add br0 type bridge")
	ip(t, "addr add 10.0.0.1/24 dev br0")
	ip(t, "addr add fd00::1/64 dev br0 nodad")
	ip(t, "link set br0 up")
	ip(t, "link add p0 type veth peer name p1")
	ip(t, "link set p0 up")
	ip(t, "link set p1 up")
	ip(t, "link add nic0 type veth peer name far0")
	ip(t, "link set far0 up")
	ip(t, "link set nic0 address 02:11:22:33:44:55 mtu 1400 alias card addrgenmode none")
	ip(t, "addr add 10.9.0.1/24 dev nic0")
	ip(t, "addr add fd09::1/64 dev nic0 nodad")
	ip(t, "link set nic0 up")
	ip(t, "route add 10.77.0.0/16 via 10.9.0.7")
	ip(t, "route add 10.78.0.0/16 dev nic0 metric 5")
	t.Cleanup(func() {
		for _, name := range []string{"br0", "p0", "far0"} {
			ip(t, "link del "+name)
		}
	})
	s := &scene{t: t, a: newContainer(t, 0), b: newContainer(t, unix.CLONE_NEWUSER)}
	for _, c := range []*container{s.a, s.b} {
		c.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "gw0")
		for _, name := range []string{"lo", "gw0", "eth0"} {
			c.run("ip", "link", "set", name, "up", "addrgenmode", "none")
		}
		c.run("ip", "addr", "add", "192.0.2.2/24", "dev", "eth0")
		c.run("ip", "route", "add", "default", "via", "192.0.2.1")
		c.run("ip", "-6", "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
		c.run("ip", "-6", "route", "add", "default", "via", "2001:db8::1")
	}
	return s
}

// forms are requests of every kind for container a.
func (s *scene) forms() map[string]*Request {
	return map[string]*Request{
		"bridge": {Target: s.a.ref, Interface: "eth1", Via: Via{Kind: ViaBridge, Name: "br0"},
			Addresses: prefixes("10.0.0.9/24", "fd00::9/64"), DefaultRoute: true, Routes: []Route{{To: netip.MustParsePrefix("10.50.0.0/16")}}},
		"host": {Target: s.a.ref, Interface: "eth1", Via: Via{Kind: ViaHost, Addresses: prefixes("10.2.0.1/32", "fd02::1/128")},
			Addresses: prefixes("10.2.0.2/32", "fd02::2/128"), DefaultRoute: true},
		"peer": {Target: s.a.ref, Interface: "A", Via: Via{Kind: ViaPeer, Peer: s.b.ref, Interface: "B", Addresses: prefixes("10.1.1.2/32", "fd01::2/128")},
			Addresses: prefixes("10.1.1.1/32", "fd01::1/128"), DefaultRoute: true},
		"macvlan": {Target: s.a.ref, Interface: "eth1", Via: Via{Kind: ViaMACVLAN, Name: "p0", Mode: "bridge"},
			Addresses: prefixes("10.3.0.2/24", "fd03::2/64"), Gateways: addrs("10.3.0.1", "fd03::1"), DefaultRoute: true},
		"nic": {Target: s.a.ref, Interface: "lan", Via: Via{Kind: ViaNIC, Name: "nic0"}, MAC: "02:00:00:00:00:77", MTU: 1300,
			Addresses: prefixes("10.9.0.2/24", "fd09::2/64"), Gateways: addrs("10.9.0.1"), DefaultRoute: true},
	}
}

// all is the state of the host and of both containers.
func (s *scene) all() []string {
	s.t.Helper()
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		s.t.Fatal(err)
	}
	defer host.Close()
	var lines []string
	for _, l := range stateOf(s.t, host) {
		lines = append(lines, "host: "+l)
	}
	for name, c := range map[string]*container{"a": s.a, "b": s.b} {
		for _, l := range c.state() {
			lines = append(lines, name+": "+l)
		}
	}
	return lines
}

// Every form carries packets of both families at once, moves the default route because it is asked to,
// and leaves nothing when it is detached.
func TestEveryForm(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := s.all()
		for name, q := range s.forms() {
			res, err := Attach(t.Context(), q, Options{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if !res.Changed || len(res.Notes) > 0 {
				t.Errorf("%s: %+v", name, res)
			}
			pings := map[string][]string{"bridge": {"10.0.0.1", "fd00::1"}, "host": {"10.2.0.1", "fd02::1"}, "peer": {"10.1.1.2", "fd01::2"}}
			for _, to := range pings[name] {
				s.a.run("ping", "-n", "-c", "1", "-W", "1", to)
			}
			routes := s.a.run("ip", "route", "show", "default") + s.a.run("ip", "-6", "route", "show", "default")
			if !strings.Contains(routes, "dev "+q.Interface) || strings.Contains(routes, "192.0.2.1") {
				t.Errorf("%s: the default routes are %s", name, routes)
			}
			attached := s.all()
			again, err := Attach(t.Context(), q, Options{})
			if err != nil || again.Changed || again.Record.ID != res.Record.ID {
				t.Errorf("%s: the same call again: %+v, %v", name, again, err)
			}
			equal(t, name+", twice", s.all(), attached)
			if list, err := List(t.Context()); err != nil || len(list) != 1 || list[0].State != Attached || list[0].Interface != q.Interface {
				t.Errorf("%s: the list is %+v, %v", name, list, err)
			}
			if err := Sweep(t.Context()); err != nil {
				t.Errorf("%s: sweep: %v", name, err)
			}
			equal(t, name+", swept", s.all(), attached)
			for range 2 {
				if _, err := Detach(t.Context(), q.Target, q.Interface, false); err != nil {
					t.Errorf("%s: detach: %v", name, err)
				}
			}
			equal(t, name+", detached", s.all(), before)
		}
	})
}

// What has gone by itself leaves its changes behind until the next command puts them back.
func TestSweepPutsBack(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := s.all()
		for name, q := range s.forms() {
			if name == "nic" {
				continue // deleting it is its owner's affair
			}
			if _, err := Attach(t.Context(), q, Options{}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s.a.run("ip", "link", "del", q.Interface)
			if list, err := List(t.Context()); err != nil || len(list) != 1 || list[0].State != Gone {
				t.Errorf("%s: the list is %+v, %v", name, list, err)
			}
			if err := Sweep(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			equal(t, name, s.all(), before)
		}
	})
}

// A lent interface is home after its container was killed, as it was before.
func TestLentInterfaceComesHome(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := slices.DeleteFunc(s.all(), func(l string) bool { return strings.HasPrefix(l, "a: ") })
		if _, err := Attach(t.Context(), s.forms()["nic"], Options{}); err != nil {
			t.Fatal(err)
		}
		s.a.kill()
		if err := Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.a = newContainer(t, 0)
		after := slices.DeleteFunc(s.all(), func(l string) bool { return strings.HasPrefix(l, "a: ") })
		equal(t, "the host", after, before)
		if entries, err := os.ReadDir(lab.RunDir); err == nil {
			t.Errorf("%s holds %v", lab.RunDir, entries)
		}
	})
}

// A target that has died takes its interface along, and detaching from it is no error.
func TestTargetDies(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		for _, name := range []string{"bridge", "host", "peer", "macvlan"} {
			q := s.forms()[name]
			if _, err := Attach(t.Context(), q, Options{}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s.a.kill()
			if _, err := Detach(t.Context(), q.Target, q.Interface, false); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if list, err := List(t.Context()); err != nil || len(list) > 0 {
				t.Errorf("%s: the list is %+v, %v", name, list, err)
			}
			settled(t, "lo", "br0", "p0", "p1", "nic0", "far0")
			s.a = newContainer(t, 0)
		}
	})
}

// resolv.conf is the container's own, and put back only if it is as it was left.
func TestResolvConf(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		c := newContainer(t, unix.CLONE_NEWNS)
		path := fmt.Sprintf("/proc/%d/root/etc/resolv.conf", c.cmd.Process.Pid)
		const text = "# mine\nnameserver 192.0.2.53\nsearch lab.test\n"
		testenv.MustCommand(t, "nsenter", "-t", fmt.Sprint(c.cmd.Process.Pid), "-m", "sh", "-c",
			"mount --make-rprivate / && mount -t tmpfs none /mnt && printf '"+strings.ReplaceAll(text, "\n", `\n`)+"' >/mnt/resolv.conf && mount --bind /mnt/resolv.conf $(readlink -f /etc/resolv.conf)")
		host, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			t.Fatal(err)
		}
		read := func() string {
			t.Helper()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		q := &Request{Target: c.ref, Interface: "eth1", Via: Via{Kind: ViaBridge, Name: "br0"}, Addresses: prefixes("10.0.0.9/24"), DNS: addrs("10.0.0.1", "fd00::1")}
		for _, edited := range []bool{false, true} {
			if _, err := Attach(t.Context(), q, Options{}); err != nil {
				t.Fatal(err)
			}
			if got := read(); got != "nameserver 10.0.0.1\nnameserver fd00::1\n# mine\nsearch lab.test\n" {
				t.Errorf("attached: %q", got)
			}
			want := text
			if edited {
				want = "nameserver 9.9.9.9\n"
				if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Detach(t.Context(), c.ref, "eth1", false); err != nil {
				t.Fatal(err)
			}
			if got := read(); got != want {
				t.Errorf("detached: %q, not %q", got, want)
			}
		}
		if now, err := os.ReadFile("/etc/resolv.conf"); err != nil || string(now) != string(host) {
			t.Errorf("the host's is %q now", now)
		}
		_ = s
	})
}

// A bridge keeps its MAC, whether it has ports or not, as ports come and go.
func TestBridgeKeepsItsMAC(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		mac := func() string {
			t.Helper()
			c, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sp, err := look(c, false)
			if err != nil {
				t.Fatal(err)
			}
			l, _ := sp.link("br0")
			return l.MAC.String()
		}
		for _, port := range []string{"", "p1"} {
			if port != "" {
				ip(t, "link set p1 master br0")
			}
			want := mac()
			q := s.forms()["bridge"]
			if _, err := Attach(t.Context(), q, Options{}); err != nil {
				t.Fatal(err)
			}
			if got := mac(); got != want {
				t.Errorf("with a port: %s, not %s", got, want)
			}
			if _, err := Detach(t.Context(), q.Target, "eth1", false); err != nil {
				t.Fatal(err)
			}
			if got := mac(); got != want {
				t.Errorf("without it again: %s, not %s", got, want)
			}
		}
	})
}

// Many at once, for one container and on one bridge: each is there, or says why not.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := s.all()
		errs := make(chan error)
		for i := range 20 {
			go func() {
				_, err := Attach(t.Context(), &Request{Target: s.a.ref, Interface: fmt.Sprintf("x%d", i%10), Via: Via{Kind: ViaBridge, Name: "br0"},
					Addresses: prefixes(fmt.Sprintf("10.0.0.%d/24", 100+i%10))}, Options{})
				errs <- err
			}()
		}
		for range 20 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if list, err := List(t.Context()); err != nil || len(list) != 10 {
			t.Errorf("%d are attached, not 10; %v", len(list), err)
		}
		if res, err := Detach(t.Context(), s.a.ref, "", true); err != nil || len(res.Detached) != 10 {
			t.Errorf("detach: %+v, %v", res, err)
		}
		equal(t, "at the end", s.all(), before)
	})
}

// Who knew another by an address learns whose it is now, without asking.
func TestAnnounces(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		bridge := Via{Kind: ViaBridge, Name: "br0"}
		// One without ports forgets its neighbours as it loses its carrier.
		ip(t, "link set p1 master br0")
		neighbour := func(to string) string {
			t.Helper()
			fields := strings.Fields(testenv.MustCommand(t, "ip", "neigh", "show", to, "dev", "br0"))
			if i := slices.Index(fields, "lladdr"); i >= 0 {
				return fields[i+1]
			}
			return ""
		}
		q := &Request{Target: s.a.ref, Interface: "eth1", Via: bridge, Addresses: prefixes("10.0.0.9/24", "fd00::9/64")}
		for _, mac := range []string{"02:00:00:00:00:0a", "02:00:00:00:00:0b"} {
			ip(t, "neigh replace 10.0.0.9 lladdr 02:00:00:00:00:ff dev br0 nud stale")
			ip(t, "neigh replace fd00::9 lladdr 02:00:00:00:00:ff dev br0 nud stale")
			q.MAC = mac
			if _, err := Attach(t.Context(), q, Options{Replace: true}); err != nil {
				t.Fatal(err)
			}
			for _, to := range []string{"10.0.0.9", "fd00::9"} {
				testenv.Eventually(t, 2*time.Second, "the host knows "+to+" by its new MAC", func() bool { return neighbour(to) == mac })
			}
		}
		if _, err := Detach(t.Context(), s.a.ref, "eth1", false); err != nil {
			t.Fatal(err)
		}
	})
}

// A record that cannot be read is in nobody's way but its own interface's.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := s.all()
		q := s.forms()["host"]
		q.DefaultRoute = false
		res, err := Attach(t.Context(), q, Options{})
		if err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("%s/.attach/%s.json", lab.RunDir, res.Record.ID)
		for _, damage := range []string{"", "{", `{"schema": 99}`, `{"id": "ffffffffff"}`} {
			if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
				t.Fatal(err)
			}
			other := *s.forms()["bridge"]
			other.Interface = "eth5"
			if _, err := Attach(t.Context(), &other, Options{}); err != nil {
				t.Errorf("%q: another interface: %v", damage, err)
			}
			if _, err := Detach(t.Context(), s.a.ref, "eth5", false); err != nil {
				t.Errorf("%q: another interface: %v", damage, err)
			}
			if _, err := Attach(t.Context(), q, Options{}); !errors.Is(err, lab.ErrConflict) || !strings.Contains(err.Error(), path) {
				t.Errorf("%q: the interface itself: %v", damage, err)
			}
			if err := Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%q: sweep: %v", damage, err)
			}
		}
		if res, err := Detach(t.Context(), s.a.ref, "eth1", false); err != nil || len(res.Detached) != 1 {
			t.Errorf("detach: %+v, %v", res, err)
		}
		equal(t, "at the end", s.all(), before)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Detach(t.Context(), s.a.ref, "eth1", false); err != nil {
			t.Fatal(err)
		}
	})
}
