package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A sysctl that is not there is told by the up of a lab that runs as by that of a new one, each time, and nothing is changed.
func TestSysctlThatIsNotThere(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		up := func(sysctls string) testenv.Result {
			t.Helper()
			return testenv.Run(t, "up", writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes: {a: {sysctls: {"+sysctls+"}}, b: {}}\nlinks: [{endpoints: ['a:eth0.5', 'b:eth0']}]\n"))
		}
		told := func(what string, got testenv.Result, key string) {
			t.Helper()
			if got.Code != 7 || !strings.Contains(got.Stderr, "node a: set sysctl "+key) || !strings.Contains(got.Stderr, "no such sysctl") {
				t.Errorf("%s: %+v", what, got)
			}
		}
		told("a new lab", up("net.ipv4.no_such: 1"), "net.ipv4.no_such")
		if got := up(""); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		defer testenv.Must(t, "down", name)
		for range 2 {
			told("a lab that runs", up("net.ipv4.no_such: 1"), "net.ipv4.no_such")
			told("an interface of a lab that runs", up("net.ipv4.conf.eth0.5.no_such: 1"), "net.ipv4.conf.eth0.5.no_such")
		}
		r := run{t, name}
		told("beside one that is there", up("net.ipv4.ip_forward: 1, net.ipv4.no_such: 1"), "net.ipv4.no_such")
		if got := r.sh("a", "cat /proc/sys/net/ipv4/ip_forward"); got != "0" {
			t.Errorf("an up that was refused has set ip_forward to %s", got)
		}
		// One for writing alone is there; an interface may have a dot.
		if got := up("net.ipv4.route.flush: 1, net.ipv4.conf.eth0.5.rp_filter: 2"); got.Code != 0 {
			t.Errorf("%+v", got)
		}
		if got := r.sh("a", "cat /proc/sys/net/ipv4/conf/eth0.5/rp_filter"); got != "2" {
			t.Errorf("rp_filter is %s", got)
		}
		if got := testenv.Must(t, "up", dir+"/lab.yaml"); !strings.Contains(got, "nothing to do") {
			t.Errorf("again: %s", got)
		}
		if got := up("net.ipv4.conf.eth0/5.rp_filter: 2"); got.Code != 3 || !strings.Contains(got.Stderr, "with dots") {
			t.Errorf("%+v", got)
		}
	})
}

// Of forwarding that a lab no longer needs plan says whether it goes back or another lab has it on from then on.
func TestForwardingOfTwoLabs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.MustCommand(t, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
		dir, name := t.TempDir(), testenv.LabName(t)
		file := func(lab, subnet, nat string) string {
			return writeFile(t, dir, lab+".yaml", "name: "+lab+"\nnodes: {a: {}}\nbridges: {lan0: {address: "+subnet+".1/24, nat: "+nat+"}}\nlinks: [{endpoints: ['a:eth0', lan0]}]\n")
		}
		one, two := name+"a", name+"b"
		testenv.Must(t, "up", file(one, "10.45.0", "true"))
		defer testenv.Must(t, "down", one)
		testenv.Must(t, "up", file(two, "10.46.0", "true"))
		off := func(lab, subnet, want, forwards string) {
			t.Helper()
			path := file(lab, subnet, "false")
			if got := testenv.Run(t, "plan", path); got.Code != 10 || !strings.Contains(got.Stdout, "forwarding") || !strings.Contains(got.Stdout, want) {
				t.Errorf("plan of %s: %+v", lab, got)
			}
			testenv.Must(t, "up", path)
			if got := testenv.MustCommand(t, "cat", "/proc/sys/net/ipv4/ip_forward"); got != forwards+"\n" {
				t.Errorf("after %s: forwarding is %s", lab, got)
			}
		}
		defer testenv.Must(t, "down", two)
		off(one, "10.45.0", "stays on, as lab "+two+" needs it", "2")
		off(two, "10.46.0", "back to what it was", "0")
	})
}

// A route to an interface's own subnet is there by itself; beside it one with another metric can be.
func TestRouteToOwnSubnet(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		file := func(routes string) string {
			return writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes: {a: {routes: ["+routes+"]}, b: {}}\nlinks: [{endpoints: ['a:eth0', 'b:eth0'], addresses: [[10.0.0.1/24, 'fd00::1/64'], [10.0.0.2/24, 'fd00::2/64']]}]\n")
		}
		for _, route := range []string{"{to: 10.0.0.0/24, dev: eth0}", "{to: 10.0.0.0/24, via: 10.0.0.2}", "{to: 'fd00::/64', dev: eth0, metric: 256}"} {
			if got := testenv.Run(t, "up", file(route)); got.Code != 3 || !strings.Contains(got.Stderr, "lab.yaml:2:") || !strings.Contains(got.Stderr, "is there by itself") {
				t.Errorf("%s: %+v", route, got)
			}
		}
		path := file("{to: 10.0.0.0/24, via: 10.0.0.2, metric: 10}, {to: 10.0.0.128/25, dev: eth0}, {to: 'fd00::/64', dev: eth0}, {to: 'fd00::/64', via: 'fd00::2', metric: 10}")
		testenv.Must(t, "up", path)
		defer testenv.Must(t, "down", name)
		if got := testenv.Must(t, "up", path); !strings.Contains(got, "nothing to do") {
			t.Errorf("again: %s", got)
		}
	})
}

// The network namespaces of a lab x.b and of node b of a lab x would have one name.
func TestLabNamedLikeANode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		up := func(lab, nodes string) testenv.Result {
			t.Helper()
			return testenv.Run(t, "up", writeFile(t, dir, "lab.yaml", "name: "+lab+"\nnodes: {"+nodes+"}\n"))
		}
		must := func(got testenv.Result) {
			t.Helper()
			if got.Code != 0 {
				t.Fatalf("%+v", got)
			}
		}
		refused := func(got testenv.Result, want, remedy string) {
			t.Helper()
			if got.Code != 5 || !strings.Contains(got.Stderr, want) || !strings.Contains(got.Stderr, remedy) || strings.Contains(got.Stderr, "remove") {
				t.Errorf("want %q and %q: %+v", want, remedy, got)
			}
		}
		must(up(name, "b: {}"))
		refused(up(name+".b", "n: {}"), "node b of lab "+name+" has that name", "--name")
		must(up(name+".c", "n: {}"))
		refused(up(name, "b: {}, c: {}"), "node c: ", "lab "+name+".c has that name")
		must(up(name, "b: {}, d: {}")) // it is as it was, and can be changed
		testenv.Must(t, "down", name)
		refused(up(name, "c: {}"), "node c: ", "lab "+name+".c has that name")
		testenv.Must(t, "down", name+".c")
		must(up(name, "c: {}"))
		testenv.Must(t, "down", name)
		if got := testenv.Run(t, "up", "--name", "", dir+"/lab.yaml"); got.Code != 2 || !strings.Contains(got.Stderr, "empty") {
			t.Errorf("an empty name: %+v", got)
		}
	})
}

// What is said of a file's own mistakes helps with them, of a new lab and of one that runs.
func TestRemediesFit(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		writeFile(t, dir, "script", "#!/bin/sh\n")
		file := func(node string) string {
			return writeFile(t, dir, "lab.yaml", "nodes: {a: {binds: ['"+dir+":/b']"+node+"}}\nbridges: {lan0: {address: 10.44.0.1/24}}\nlinks: [{endpoints: ['a:eth0', lan0]}]\n")
		}
		mistakes := []struct {
			node string
			code int
			want string
		}{
			{", sysctls: {net.ipv4.ip_default_ttl: wat}", 1, "invalid argument; give it a value that the kernel takes"},
			{", command: [/b/script]", 126, "permission denied; make it executable with chmod a+x"},
			{", command: [sleep, infinity], workdir: /nope", 126, "in /nope: it cannot be executed: this directory does not exist; make it"},
			{", command: [sleep, infinity], workdir: /b/script", 126, "in /b/script: it cannot be executed: not a directory; name a working directory"},
		}
		for _, m := range mistakes {
			if got := testenv.Run(t, "up", "--name", name, file(m.node)); got.Code != m.code || !strings.Contains(got.Stderr, m.want) {
				t.Errorf("a new lab with%s: %+v", m.node, got)
			}
		}
		r := startAs(t, name, file(""))
		for _, m := range mistakes {
			if got := testenv.Run(t, "up", "--name", name, file(m.node)); got.Code != m.code || !strings.Contains(got.Stderr, m.want) {
				t.Errorf("a lab that runs with%s: %+v", m.node, got)
			}
		}
		testenv.Must(t, "up", "--name", name, file(""))
		for at, want := range map[string]string{"/nope": "does not exist", "/b/script": "not a directory"} {
			if got := testenv.Run(t, "exec", "-w", at, r.name+"/a", "true"); got.Code == 0 || !strings.Contains(got.Stderr, want) {
				t.Errorf("exec in %s: %+v", at, got)
			}
		}
		other := testenv.LabName(t) + "b"
		if got := testenv.Run(t, "up", "--name", other, dir+"/lab.yaml"); got.Code != 5 || !strings.Contains(got.Stderr, "the host's leg to bridge lan0 of lab "+name+", already") {
			t.Errorf("a subnet that another lab has: %+v", got)
		}
	})
}

// Standard input has no directory; one that was removed is missed by relative paths alone.
func TestRemovedDirectory(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		up := func(image string) testenv.Result {
			t.Helper()
			const script = `mkdir "$1" && cd "$1" && rmdir "$1" && echo "$2" | "$3" up --trust --name "$4" -`
			return testenv.Command(t, "sh", "-c", script, "sh", t.TempDir()+"/gone", "nodes: {a: {"+image+"}}", testenv.Binary(t), name)
		}
		if got := up("binds: ['./x:/x']"); got.Code != 3 || !strings.Contains(got.Stderr, `<stdin>:1:`) || !strings.Contains(got.Stderr, `"./x" is relative, and the working directory cannot be found`) {
			t.Errorf("a relative path: %+v", got)
		}
		if got := up("binds: ['/etc:/x']"); got.Code != 0 {
			t.Errorf("no relative path: %+v", got)
		}
		testenv.Must(t, "down", name)
	})
}
