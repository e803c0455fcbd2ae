package attach

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/engines"
	"github.com/nsnet/nsnet/internal/testenv"
)

// docker0's own addresses, and some of its subnets.
const (
	host4, host6 = "172.17.0.1", "fd00:172:17::1"
	onDocker0    = "--bridge docker0 --ip 172.17.0.99/16 --ip fd00:172:17::99/64"
)

func TestDocker(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		e := testenv.Docker(t, "--live-restore")
		for _, sub := range []struct {
			name string
			test func(*testing.T, *testenv.Engine)
		}{
			{"empty bridge", emptyBridge},
			{"bridge", onBridge},
			{"second interface", secondInterface},
			{"names of interfaces", interfaceNames},
			{"point to point", pointToPoint},
			{"paused", paused},
			{"killed", containerKilled},
			{"names", containerNames},
			{"engine restarted", engineRestarted},
		} {
			t.Run(sub.name, func(t *testing.T) {
				sub.test(t, e)
				if err := e.RemoveAll(t.Context()); err != nil {
					t.Error(err)
				}
			})
			must(t, "ps") // forgets what has gone by itself, once it has shown it
			if left := listed(t); len(left) > 0 {
				t.Errorf("after %q: %+v", sub.name, left)
			}
		}
	})
}

// The kernel takes up to a second until a bridge with its first port forwards, the more so when it has just lost its
// last one. attach waits for that.
func emptyBridge(t *testing.T, e *testenv.Engine) {
	web := e.Run(t, "web", "--network", "none")
	for range 4 {
		must(t, "attach --container web %s", onDocker0)
		ping(t, web, host4)
		ping(t, 0, "fd00:172:17::99")
		must(t, "detach --container web --ifname eth1")
	}
}

func onBridge(t *testing.T, e *testenv.Engine) {
	web, db := e.Run(t, "web", "--network", "none"), e.Run(t, "db")
	db4 := e.Do(t, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", "db")
	db6 := e.Do(t, "inspect", "--format", "{{.NetworkSettings.GlobalIPv6Address}}", "db")
	clean, cleanDB, mac := view(t, web), view(t, db), nics(t, 0)["docker0"].MAC

	refused(t, nsnet(t, "attach --container web --bridge docker0 --ip %s/16", db4), 5, db4, "in use")
	refused(t, nsnet(t, "attach --container web --bridge docker0 --ip %s/64", db6), 5, db6, "in use")
	refused(t, nsnet(t, "attach --container web --bridge docker0 --ip %s/16", host4), 5, host4)
	same(t, "after refusals", clean, view(t, web))

	out := must(t, "attach --container web %s", onDocker0)
	if !strings.Contains(out, "eth1") || !strings.Contains(out, "container web") || !strings.Contains(out, "docker0") {
		t.Errorf("attach says %q", out)
	}
	n := whole(t, web, "eth1", "172.17.0.99/16", "fd00:172:17::99/64")
	ping(t, web, host4, host6, db4, db6)
	ping(t, db, "172.17.0.99", "fd00:172:17::99")
	ping(t, 0, "172.17.0.99", "fd00:172:17::99")
	if got := e.Exec(t, "web", "ping", "-c", "1", "-W", "2", db4); !strings.Contains(got, " 0% packet loss") {
		t.Errorf("ping by a program of the container: %s", got)
	}
	if got := defaults(t, web); got != "" {
		t.Errorf("a default route that nobody asked for: %s", got)
	}

	full := view(t, web)
	if out := must(t, "attach --container web %s", onDocker0); !strings.Contains(out, "already") {
		t.Errorf("the same call again says %q", out)
	}
	refused(t, nsnet(t, "attach --container web --bridge docker0 --ip 172.17.0.98/16"), 5, "172.17.0.99/16", "172.17.0.98/16")
	refused(t, nsnet(t, "attach --container web %s --mtu 1400", onDocker0), 5, "1400", "1500")
	refused(t, nsnet(t, "attach --container web %s --mac 02:00:00:00:00:01", onDocker0), 5, "02:00:00:00:00:01", n.MAC)
	refused(t, nsnet(t, "attach --container web --ip 10.9.0.2/32 --peer-ip 10.9.0.1/32"), 5, "docker0")
	must(t, "attach --container web --bridge docker0 --ip 172.17.0.98/16 --if-absent")
	same(t, "after calls that change nothing", full, view(t, web))

	ps := listed(t)
	if len(ps) != 1 || ps[0].Target != "container web" || ps[0].Interface != "eth1" || ps[0].State != "attached" || len(ps[0].Addresses) != 2 {
		t.Errorf("ps shows %+v", ps)
	}
	if got := nics(t, 0)["docker0"].MAC; got != mac {
		t.Errorf("docker0 had MAC %s and has %s", mac, got)
	}

	must(t, "attach --container web --bridge docker0 --ip 172.17.0.98/16 --replace")
	whole(t, web, "eth1", "172.17.0.98/16")
	ping(t, web, host4, db4)

	must(t, "detach --container web --ifname eth1")
	same(t, "after detach", clean, view(t, web))
	must(t, "detach --container web --ifname eth1")
	must(t, "detach --container web --all")
	same(t, "the other container", cleanDB, view(t, db))
	if got := nics(t, 0)["docker0"].MAC; got != mac {
		t.Errorf("docker0 had MAC %s and has %s", mac, got)
	}
}

// Without --ifname attach takes a name that is free. Docker does not look, but counts: it fails at a name that is taken, which attach
// tells, and has counted further when it is asked again. Names that it has counted beyond are never taken by it.
func interfaceNames(t *testing.T, e *testenv.Engine) {
	networks := []string{"names1", "names2"}
	for _, n := range networks {
		e.Do(t, "network", "create", n)
	}
	defer func() {
		if err := e.RemoveAll(t.Context()); err != nil {
			t.Error(err)
		}
		for _, n := range networks {
			e.Do(t, "network", "rm", n)
		}
	}()
	const note = "docker network connect calls the next interface of container "
	names := func(pid int) string { return strings.Join(slices.Sorted(maps.Keys(nics(t, pid))), " ") }

	// Docker first: its eth1 is left alone.
	first := e.Run(t, "first")
	e.Do(t, "network", "connect", "names1", "first")
	res := nsnet(t, "attach --container first %s", toHost)
	if res.Code != 0 || !strings.Contains(res.Stdout, "eth2 of container first") || !strings.Contains(res.Stderr, note+"first eth2, ") {
		t.Errorf("beside two of Docker's: %+v", res)
	}
	if out := must(t, "attach --container first %s", toHost); !strings.Contains(out, "eth2 of container first is attached already") {
		t.Errorf("the same again: %q", out)
	}
	must(t, "detach --container first --ifname eth2")
	if got := names(first); got != "eth0 eth1 lo" {
		t.Errorf("after detach: %s", got)
	}

	// nsnet first.
	second := e.Run(t, "second")
	if res := nsnet(t, "attach --container second %s", toHost); res.Code != 0 || !strings.Contains(res.Stdout, "eth1 of container second") || !strings.Contains(res.Stderr, note+"second eth1, ") {
		t.Errorf("beside one of Docker's: %+v", res)
	}
	connect := func() error {
		return exec.Command("docker", "--host", "unix://"+e.Socket, "network", "connect", "names1", "second").Run()
	}
	if err := connect(); err == nil {
		t.Error("Docker looks by now: what attach and its documentation say of it is not so any more")
	} else if err := connect(); err != nil {
		t.Errorf("tried again: %v", err)
	}
	if got := names(second); got != "eth0 eth1 eth2 lo" {
		t.Errorf("after both: %s", got)
	}
	must(t, "detach --container second --all")
	// By its networks alone: it has counted to three.
	if res := nsnet(t, "attach --container second %s", toHost); !strings.Contains(res.Stdout, "eth1 of container second") || strings.Contains(res.Stderr, "note") {
		t.Errorf("a name that Docker has counted beyond: %+v", res)
	}
	must(t, "detach --container second --all")
	e.Do(t, "network", "connect", "names2", "second")

	// With a name of one's own, and where Docker connects nothing, there is nothing to tell.
	e.Run(t, "third", "--network", "none")
	for container, args := range map[string]string{"third": "", "second": "--ifname net1"} {
		if res := nsnet(t, "attach --container %s %s %s", container, args, toHost); res.Code != 0 || strings.Contains(res.Stderr, "note") {
			t.Errorf("%s %s: %+v", container, args, res)
		}
		must(t, "detach --container %s --all", container)
	}
}

// A container that has a network of Docker's keeps it as it is, its default route most of all.
func secondInterface(t *testing.T, e *testenv.Engine) {
	web := e.Run(t, "web")
	clean, before := view(t, web), defaults(t, web)
	if strings.Count(before, "default") != 2 {
		t.Fatalf("Docker has given no default routes: %q", before)
	}
	link := "--ip 10.9.0.2/32 --ip fd00:9::2/128 --peer-ip 10.9.0.1/32 --peer-ip fd00:9::1/128"
	must(t, "attach --container web %s", link)
	whole(t, web, "eth1", "10.9.0.2/32", "fd00:9::2/128")
	ping(t, web, "10.9.0.1", "fd00:9::1", host4, host6)
	if got := defaults(t, web); got != before {
		t.Errorf("default routes\n%sand before\n%s", got, before)
	}
	must(t, "detach --container web --all")
	same(t, "after detach", clean, view(t, web))

	must(t, "attach --container web %s --default-route", link)
	moved := defaults(t, web)
	for _, want := range []string{"default via 10.9.0.1 dev eth1", "default via fd00:9::1 dev eth1"} {
		if !strings.Contains(moved, want) {
			t.Errorf("no %q: %s", want, moved)
		}
	}
	if strings.Contains(moved, "eth0") {
		t.Errorf("the former default routes are there, too: %s", moved)
	}
	must(t, "detach --container web --ifname eth1")
	same(t, "after detach with the default route", clean, view(t, web))

	must(t, "attach --container web %s --default-route --metric 4242", link)
	if got := defaults(t, web); strings.Count(got, "eth0") != 2 || strings.Count(got, "metric 4242") != 2 {
		t.Errorf("with a metric default routes stand side by side: %s", got)
	}
	must(t, "detach --container web --ifname eth1")
	same(t, "after detach with a metric", clean, view(t, web))
}

func pointToPoint(t *testing.T, e *testenv.Engine) {
	a, b := e.Run(t, "aa", "--network", "none"), e.Run(t, "bb", "--network", "none")
	cleanA, cleanB := view(t, a), view(t, b)
	cable := "attach --container aa --ip 10.1.1.1/32 --ip fd00:1::1/128 --peer-container bb --peer-ip 10.1.1.2/32 --peer-ip fd00:1::2/128"
	must(t, "%s", cable)
	whole(t, a, "eth1", "10.1.1.1/32", "fd00:1::1/128")
	whole(t, b, "eth1", "10.1.1.2/32", "fd00:1::2/128")
	ping(t, a, "10.1.1.2", "fd00:1::2")
	ping(t, b, "10.1.1.1", "fd00:1::1")
	if out := must(t, "%s", cable); !strings.Contains(out, "already") {
		t.Errorf("the same call again says %q", out)
	}
	refused(t, nsnet(t, "attach --container aa --ifname eth2 --ip 10.1.2.1/32 --peer-container bb --peer-ip 10.1.2.2/32 --peer-ifname eth1"), 5, "eth1", "--peer-ifname")
	must(t, "attach --container aa --ifname eth2 --ip 10.1.2.1/32 --peer-container bb --peer-ifname eth2 --peer-ip 10.1.2.2/32")
	ping(t, a, "10.1.2.2")
	must(t, "detach --container bb --ifname eth1") // from the other end
	if _, ok := nics(t, a)["eth1"]; ok {
		t.Error("the cable's other end is still there")
	}
	must(t, "detach --container aa --all")
	same(t, "one end after detach", cleanA, view(t, a))
	same(t, "the other end after detach", cleanB, view(t, b))
}

// A paused container's processes do not run. Its network can be changed all the same.
func paused(t *testing.T, e *testenv.Engine) {
	web := e.Run(t, "web", "--network", "none")
	e.Do(t, "pause", "web")
	must(t, "attach --container web %s", onDocker0)
	ping(t, 0, "172.17.0.99", "fd00:172:17::99") // the kernel answers
	e.Do(t, "unpause", "web")
	whole(t, web, "eth1", "172.17.0.99/16", "fd00:172:17::99/64")
}

func containerKilled(t *testing.T, e *testenv.Engine) {
	e.Run(t, "web", "--network", "none")
	ports := len(nics(t, 0))
	must(t, "attach --container web %s", onDocker0)
	must(t, "attach --container web --ifname eth2 --ip 10.9.0.2/32 --peer-ip 10.9.0.1/32")
	e.Do(t, "kill", "web")
	testenv.Eventually(t, 5*time.Second, "the host's ends go", func() bool { return len(nics(t, 0)) == ports })
	refused(t, nsnet(t, "attach --container web --bridge docker0 --ip 172.17.0.99/16"), 9, "container web", "exited")
	must(t, "detach --container web --ifname eth1")
	must(t, "detach --container web --all")

	e.Do(t, "start", "web")
	web, err := e.PID(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(nics(t, web)); n != 1 {
		t.Errorf("a container that is started anew has %d interfaces", n)
	}
	must(t, "attach --container web %s", onDocker0) // as for a new one
	ping(t, web, host4, host6)
}

func containerNames(t *testing.T, e *testenv.Engine) {
	web := e.Run(t, "web", "--network", "none")
	id := e.Do(t, "inspect", "--format", "{{.Id}}", "web")
	for _, name := range []string{"web", "docker:web", id, id[:12], "docker:" + id[:6]} {
		must(t, "attach --container %s --bridge docker0 --ip 172.17.0.99/16", name)
		whole(t, web, "eth1", "172.17.0.99/16")
		must(t, "detach --container %s --ifname eth1", name)
	}
	// One container, by whatever name.
	must(t, "attach --container web --bridge docker0 --ip 172.17.0.99/16")
	if out := must(t, "attach --pid %d --bridge docker0 --ip 172.17.0.99/16", web); !strings.Contains(out, "already") {
		t.Errorf("the same container by its process: %q", out)
	}
	must(t, "detach --container %s --ifname eth1", id)
	if len(nics(t, web)) != 1 {
		t.Error("detach by id has not taken away what attach by name has made")
	}
	refused(t, nsnet(t, "attach --container nobody --bridge docker0 --ip 172.17.0.99/16"), 4, "nobody", e.Socket)
	refused(t, nsnet(t, "attach --container podman:web --bridge docker0 --ip 172.17.0.99/16"), 4, "podman")
	must(t, "detach --container nobody --all")
}

func engineRestarted(t *testing.T, e *testenv.Engine) {
	web := e.Run(t, "web")
	must(t, "attach --container web %s --ifname eth5", onDocker0)
	ping(t, web, host4, host6) // the kernel makes the route to an IPv6 address of its own a moment after the address
	before := view(t, web)
	if err := e.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	same(t, "after the engine's death", before, view(t, web))
	refused(t, nsnet(t, "attach --container web --ip 10.9.0.2/32 --peer-ip 10.9.0.1/32"), 4, e.Socket, "--pid")
	must(t, "attach --pid %d --ip 10.9.0.2/32 --peer-ip 10.9.0.1/32", web) // needs no engine
	must(t, "detach --pid %d --ifname eth1", web)
	e.Restart(t)
	e.Restart(t)
	same(t, "after restarts of the engine", before, view(t, web))
	ping(t, web, host4, host6)
	if ps := listed(t); len(ps) != 1 || ps[0].State != "attached" {
		t.Errorf("ps shows %+v", ps)
	}
	must(t, "detach --container web --ifname eth5")
}

// With userns-remap a container's root is nobody outside.
func TestDockerRemapped(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		e := testenv.Docker(t, engines.FlagRemap)
		a, b := e.Run(t, "aa"), e.Run(t, "bb", "--network", "none")
		cleanA, cleanB := view(t, a), view(t, b)
		must(t, "attach --container bb %s --default-route", onDocker0)
		whole(t, b, "eth1", "172.17.0.99/16", "fd00:172:17::99/64")
		ping(t, b, host4, host6)
		must(t, "attach --container aa --ip 10.1.1.1/32 --peer-container bb --peer-ifname eth2 --peer-ip 10.1.1.2/32")
		ping(t, a, "10.1.1.2", "172.17.0.99")
		if got := e.Exec(t, "bb", "ping", "-c", "1", "-W", "2", "10.1.1.1"); !strings.Contains(got, " 0% packet loss") {
			t.Errorf("ping by a program of the container: %s", got)
		}
		must(t, "detach --container aa --all")
		must(t, "detach --container bb --all")
		same(t, "one after detach", cleanA, view(t, a))
		same(t, "the other after detach", cleanB, view(t, b))
	})
}

func TestPodman(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24", "fd00:7::1/64")
		e := testenv.Podman(t)
		a, b := e.Run(t, "aa", "--network", "none"), e.Run(t, "bb", "--network", "none")
		clean := view(t, a)
		for i, name := range []string{"aa", "podman:bb"} {
			must(t, "attach --container %s --bridge br0 --ip 10.7.0.%d/24 --ip fd00:7::%d/64", name, 2+i, 2+i)
		}
		whole(t, a, "eth1", "10.7.0.2/24", "fd00:7::2/64")
		ping(t, a, "10.7.0.1", "fd00:7::1", "10.7.0.3", "fd00:7::3")
		ping(t, b, "10.7.0.2", "fd00:7::2")
		ping(t, 0, "10.7.0.2", "fd00:7::3")
		e.Restart(t)
		if out := must(t, "attach --container aa --bridge br0 --ip 10.7.0.2/24 --ip fd00:7::2/64"); !strings.Contains(out, "already") {
			t.Errorf("the same call again says %q", out)
		}
		must(t, "attach --container aa --ifname p0 --ip 10.1.1.1/32 --peer-container bb --peer-ifname p0 --peer-ip 10.1.1.2/32")
		ping(t, b, "10.1.1.1")
		refused(t, nsnet(t, "attach --container nobody --bridge br0 --ip 10.7.0.9/24"), 4, "nobody", e.Socket)

		e.Do(t, "kill", "bb")
		testenv.Eventually(t, 5*time.Second, "the cable goes with its other end", func() bool { return len(nics(t, a)) == 2 })
		must(t, "detach --container bb --all")
		refused(t, nsnet(t, "attach --container bb --bridge br0 --ip 10.7.0.9/24"), 9, "container bb")
		must(t, "detach --container aa --all")
		same(t, "after detach", clean, view(t, a))
		if ps := listed(t); len(ps) > 0 {
			t.Errorf("ps shows %+v", ps)
		}
	})
}

// Two engines on one machine: a name that both have is nobody's.
func TestDockerAndPodman(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		d, p := testenv.Docker(t), testenv.Podman(t)
		dockers, podmans := d.Run(t, "web", "--network", "none"), p.Run(t, "web", "--network", "none")
		refused(t, nsnet(t, "attach --container web --bridge docker0 --ip 172.17.0.99/16"), 5, "docker:", "podman:")
		for name, pid := range map[string]int{"docker:web": dockers, "podman:web": podmans} {
			must(t, "attach --container %s --bridge docker0 --ip 172.17.0.99/16", name)
			if got := fmt.Sprint(len(nics(t, dockers)), len(nics(t, podmans))); len(nics(t, pid)) != 2 || got == "2 2" {
				t.Errorf("%s: interfaces of docker's and of podman's: %s", name, got)
			}
			must(t, "detach --container %s --all", name)
		}
		// Each engine's own leak check comes with the other one still there.
		if err := d.RemoveAll(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
