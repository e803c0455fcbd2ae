package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// What the kernel does not take of a sysctl is refused before anything of a running lab is changed, by plan as by up.
func TestSysctlValuesAreTried(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		file := func(sysctl string) string {
			t.Helper()
			return writeFile(t, dir, "lab.yaml", "name: "+name+"\nbridges: {lan: {subnet: 10.5.0.0/24}}\nlinks: [{endpoints: [\"a:eth0\", lan]}]\nnodes: {a: {command: [sleep, infinity], sysctls: {"+sysctl+"}}}\n")
		}
		for _, running := range []bool{false, true} {
			if running {
				testenv.Must(t, "up", file(""))
				defer testenv.Must(t, "down", name)
			}
			for _, sysctl := range []string{"net.ipv4.ip_forward: banana", "net.ipv4.ip_default_ttl: 900", "net.ipv4.conf.eth0.rp_filter: many", "net.ipv4.ip_local_port_range: 5 3", "kernel.shmmax: banana"} {
				key, value, _ := strings.Cut(sysctl, ": ")
				for _, command := range []string{"plan", "up"} {
					if !running && command == "up" {
						continue // nothing is lost by trying
					}
					got := testenv.Run(t, command, file(sysctl))
					for _, want := range []string{"lab " + name + ": node a: set sysctl " + key + `: the kernel does not take "` + value + `": invalid argument; give it a value that the kernel takes`} {
						if got.Code != 1 || !strings.Contains(got.Stderr, want) || strings.Contains(got.Stderr, "begun") {
							t.Errorf("%s of %s: %+v", command, sysctl, got)
						}
					}
				}
			}
		}
		if got := testenv.Run(t, "up", file("")); got.Code != 0 || !strings.Contains(got.Stdout, "nothing to do") {
			t.Errorf("something was changed: %+v", got)
		}
	})
}

// Inspect tells the MTU that a bridge has, and ps what up cannot mend.
func TestToldAsItIs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		testenv.MustCommand(t, "ip", "link", "add", "told0", "type", "bridge")
		testenv.MustCommand(t, "ip", "link", "set", "told0", "up")
		if err := os.Mkdir(dir+"/source", 0o755); err != nil {
			t.Fatal(err)
		}
		file := writeFile(t, dir, "lab.yaml", "name: "+name+`
nodes: {a: {binds: ["./source:/mnt"]}}
bridges: {lan: {subnet: 10.5.0.0/24}, told0: {external: true, subnet: 10.6.0.0/24}}
links: [{endpoints: ["a:eth0", lan], mtu: 1300}, {endpoints: ["a:eth1", told0]}]
`)
		testenv.Must(t, "up", file)
		defer testenv.Must(t, "down", name)
		r := run{t, name}
		if b := r.status().Bridges[0]; b.Name != "lan" || b.MTU != 1300 {
			t.Errorf("inspect says of bridge %s mtu %d", b.Name, b.MTU)
		}
		ps := func(want string) {
			t.Helper()
			if got := testenv.Must(t, "ps", name); !strings.Contains(got, want) {
				t.Errorf("ps does not say %q:\n%s", want, got)
			}
		}
		testenv.MustCommand(t, "ip", "link", "set", "told0", "down")
		ps(name + ": told0: this bridge of the host is down; bring it up with ip link set told0 up")
		testenv.MustCommand(t, "ip", "link", "del", "told0")
		ps("nsnet up fails until the host has a bridge told0\n")
		testenv.MustCommand(t, "ip", "link", "add", "told0", "type", "bridge")
		testenv.MustCommand(t, "ip", "link", "set", "told0", "up")
		ps("nsnet up mends it\n")
		testenv.Must(t, "up", file)
		if err := os.Remove(dir + "/source"); err != nil {
			t.Fatal(err)
		}
		ps("nsnet up fails until " + dir + "/source is there\n")
		testenv.MustCommand(t, "ip", "link", "del", "told0")
	})
}

// Messages name what is wrong where the working directory is gone, and of names and times that are none.
func TestWrongPlacesNamesAndTimes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		file := writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes: {a: {}}\n")
		testenv.Must(t, "up", file)
		defer testenv.Must(t, "down", name)
		const gone = ": the working directory is gone; change to one that is there, or give the path from / on"
		in := func(args string) testenv.Result {
			t.Helper()
			return testenv.Command(t, "sh", "-c", "mkdir "+dir+"/gone && cd "+dir+"/gone && rmdir ../gone && exec "+testenv.Binary(t)+" "+args)
		}
		for args, want := range map[string]string{
			"up lab.yaml": "find lab.yaml" + gone, "watch lab.yaml": "find lab.yaml" + gone, "cp " + name + "/a:/etc/passwd x": "find x" + gone, "commit " + name + "/a x": "find x" + gone,
			"up " + file:                    "",
			"logs nobody":                   "there is neither a lab nor a node nobody",
			"update " + name + " --pids 9":  name + " is a lab: name one of its nodes, as " + name + "/NODE",
			"wait " + name + " --timeout 5": `invalid argument "5" for --timeout: a time has a unit, as 5s or 1m30s`,
		} {
			if got := in(args); (got.Code == 0) != (want == "") || !strings.Contains(got.Stderr, want) {
				t.Errorf("%s: %+v", args, got)
			}
		}
	})
}
