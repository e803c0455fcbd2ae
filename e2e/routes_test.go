package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A next hop that is on no subnet of the node is used with dev, in whatever order the routes stand, and without it where it is the
// other end of a link; what is added so is what plan wants to see.
func TestNextHopOnNoSubnet(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		file := func(routes string) string {
			return writeFile(t, dir, "lab.yaml", "name: "+name+`
nodes:
  a: {routes: [`+routes+`]}
  b: {routes: [{to: 192.0.2.0/30, via: 192.0.2.1}, {to: "fd77::/64", via: "fd77::1"}], sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}}
  c: {routes: [{to: default, via: 10.9.0.1}, {to: default, via: "fd09::1"}]}
links:
  - endpoints: ["a:r", "b:r"]
    addresses: [[192.0.2.1/30, "fd77::1/64"], [198.51.100.1/30, "fd78::1/64"]]
  - {endpoints: ["b:c", "c:b"], addresses: [[10.9.0.1/24, "fd09::1/64"], [10.9.0.2/24, "fd09::2/64"]]}
`)
		}
		farEnds := file(`{to: 10.9.0.2, via: 198.51.100.1}, {to: "fd09::2", via: "fd78::1"}`)
		testenv.Must(t, "up", farEnds)
		defer testenv.Must(t, "down", name)
		r := run{t, name}
		pings := func() {
			t.Helper()
			r.pingAll("a", "10.9.0.2", "fd09::2")
			if got := testenv.Run(t, "plan", dir+"/lab.yaml"); got.Code != 0 {
				t.Errorf("plan: %+v", got)
			}
		}
		pings()
		file(`{to: 10.9.0.2, via: 198.51.100.1, dev: r}, {to: "fd09::2", via: "fd78::1", dev: r}, {to: 10.9.1.0/24, via: 192.0.2.130, dev: r}, {to: "fd09:1::/64", via: "fd80::1", dev: r}`)
		testenv.Must(t, "up", dir+"/lab.yaml")
		pings()
		if got := r.sh("a", "ip route; ip -6 route"); !strings.Contains(got, "10.9.1.0/24 via 192.0.2.130 dev r") || !strings.Contains(got, "fd09:1::/64 via fd80::1 dev r") {
			t.Errorf("the routes of a are\n%s", got)
		}
		// A new lab, where what leads to the next hops comes behind.
		testenv.Must(t, "down", name)
		file(`{to: 10.9.0.2, via: 198.51.100.1, dev: r}, {to: "fd09::2", via: "fd78::1", dev: r}, {to: 198.51.100.0/30, dev: r}, {to: "fd78::/64", dev: r}`)
		testenv.Must(t, "up", dir+"/lab.yaml")
		pings()
		if got := r.sh("a", "ip route"); strings.Contains(got, "onlink") {
			t.Errorf("a route does not use the one to its next hop:\n%s", got)
		}
	})
}

// Of a route that moves from one interface to another plan says both, also where its next hop stays.
func TestRouteMoves(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		file := func(route string) string {
			return writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes: {a: {routes: ["+route+"]}, b: {}}\nlinks:\n"+
				"  - {endpoints: ['a:eth0', 'b:eth0'], addresses: [10.1.0.1/24, 10.1.0.2/24]}\n  - {endpoints: ['a:eth1', 'b:eth1'], addresses: [10.2.0.1/24, 10.2.0.2/24]}\n")
		}
		testenv.Must(t, "up", file("{to: default, via: 10.1.0.2}"))
		defer testenv.Must(t, "down", name)
		moves := func(route, from, to string) {
			t.Helper()
			path := file(route)
			want := "- route  a: 0.0.0.0/0 via " + from + " (the file has another one in its place)\n+ route  a: 0.0.0.0/0 via " + to + "\n"
			if got := testenv.Run(t, "plan", path); got.Code != 10 || strings.Join(strings.Fields(got.Stdout), " ") != strings.Join(strings.Fields(want), " ") {
				t.Errorf("%s: %+v", route, got)
			}
			testenv.Must(t, "up", path)
		}
		moves("{to: default, via: 10.2.0.2}", "10.1.0.2 dev eth0", "10.2.0.2 dev eth1")
		moves("{to: default, via: 10.2.0.2, dev: eth0}", "10.2.0.2 dev eth1", "10.2.0.2 dev eth0")
	})
}
