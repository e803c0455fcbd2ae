package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Cables between the same interfaces that lead elsewhere are made anew, though both ends of each look as they should.
func TestRecabled(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const file = `name: NAME
nodes: {a: {}, b: {}, c: {}, d: {}}
links:
  - {endpoints: ["a:eth0", "X:eth0"]}
  - {endpoints: ["b:eth0", "Y:eth0"]}
`
		cabled := func(name, x, y string) string { return strings.NewReplacer("NAME", name, "X", x, "Y", y).Replace(file) }
		r := start(t, cabled("NAME", "c", "d"))
		for _, ends := range [][2]string{{"d", "c"}, {"c", "d"}} {
			writeFile(t, r.file, cabled(r.name, ends[0], ends[1]))
			if plan := plans(t, r.file, 10); !strings.Contains(plan, "a:eth0 and "+ends[0]+":eth0 are not its two ends; link re-made") {
				t.Errorf("plan does not say why:\n%s", plan)
			}
			testenv.Must(t, "up", r.file)
			plans(t, r.file, 0)
			for a, b := range map[string]string{"a": ends[0], "b": ends[1]} {
				r.sh(b, "ip link set eth0 down")
				if out := r.sh(a, "cat /sys/class/net/eth0/carrier"); out != "0" {
					t.Errorf("%s is not at the other end of %s", b, a)
				}
				r.sh(b, "ip link set eth0 up")
			}
		}
	})
}

// In a lab of many nodes up and plan look only where something has happened: what has happened meanwhile, and how much, makes no
// difference.
func TestNothingIsOverlooked(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		var many strings.Builder
		for i := range 200 {
			fmt.Fprintf(&many, "  m%d: {}\n", i)
		}
		r := start(t, strings.Replace(base, "links:\n", many.String()+"links:\n", 1))
		picture := func() string { return r.picture("a", "b", "c") }
		before := picture()
		ip := func(args ...string) {
			t.Helper()
			testenv.MustCommand(t, append([]string{"ip"}, args...)...)
		}
		// More changes than the kernel keeps the news of, in namespaces that are as they were in the end.
		flood := func() {
			t.Helper()
			var b strings.Builder
			for range 3000 {
				b.WriteString("address add 192.0.2.200/32 dev lo\naddress del 192.0.2.200/32 dev lo\n")
			}
			path := filepath.Join(t.TempDir(), "batch")
			if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			ip("-n", r.name+".c", "-batch", path)
		}
		for i, harm := range []func(){
			func() { ip("-n", r.name+".a", "address", "del", "10.9.0.1/32", "dev", "p0") },
			func() { ip("-n", r.name+".b", "link", "set", "eth0", "mtu", "1400"); flood() },
			func() { flood(); ip("-n", r.name+".a", "route", "del", "198.51.100.0/24") },
			func() {
				ip("-n", r.name, "link", "set", "lan0", "down")
				ip("-n", r.name, "link", "set", "c.eth0", "nomaster")
			},
			func() { flood(); ip("-n", r.name, "link", "del", "lan1") },
			func() {
				ip("-n", r.name+".c", "link", "set", "eth0", "down")
				ip("-n", r.name+".a", "link", "del", "p0")
			},
			func() {
				ip("-n", r.name, "link", "set", "a.eth0", "down")
				ip("-n", r.name, "link", "set", "a.eth0", "name", "x")
				ip("-n", r.name, "link", "set", "b.eth0", "down")
				ip("-n", r.name, "link", "set", "b.eth0", "name", "a.eth0")
				ip("-n", r.name, "link", "set", "x", "name", "b.eth0")
			},
		} {
			plans(t, r.file, 0)
			testenv.Must(t, "up", r.file) // which takes note that all is well
			plans(t, r.file, 0)
			harm()
			for _, what := range []string{"a look", "a second look"} {
				if res := testenv.Run(t, "plan", r.file); res.Code != 10 {
					t.Errorf("%d: %s sees nothing: exit code %d\n%s%s", i, what, res.Code, res.Stdout, res.Stderr)
				}
			}
			testenv.Must(t, "up", r.file)
			if after := picture(); after != before {
				t.Errorf("%d: mended:\n%s", i, diff(before, after))
			}
		}
	})
}
