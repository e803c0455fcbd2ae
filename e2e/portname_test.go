package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A port in the fabric whose name would be too long is found by it all the same, inspect tells both, and up gives it back.
func TestPortOfLongName(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const long = "customer-edge-router-1.eth0"
		file := writeFile(t, t.TempDir(), "lab.yaml", `
nodes: {customer-edge-router-1: {}, b: {}}
bridges: {lan: {subnet: 10.79.0.0/24}}
links:
  - endpoints: ["customer-edge-router-1:eth0", "lan"]
  - endpoints: ["b:eth0", "lan"]
`)
		r := start(t, file)
		port := func() string {
			t.Helper()
			got := testenv.MustCommand(t, "ip", "-n", r.name, "link", "show", "dev", long)
			if !strings.Contains(got, "master lan") {
				t.Errorf("%s is\n%s", long, got)
			}
			_, name, _ := strings.Cut(got, ": ")
			name, _, _ = strings.Cut(name, "@")
			return name
		}
		name := port()
		if got := testenv.Must(t, "inspect", r.name+"/customer-edge-router-1"); !strings.Contains(got, " "+long+","+name+" ") {
			t.Errorf("%s and %s are not in\n%s", long, name, got)
		}
		if got := testenv.Must(t, "inspect", r.name+"/b"); !strings.Contains(got, " b.eth0 ") {
			t.Errorf("b.eth0 is not in\n%s", got)
		}
		testenv.MustCommand(t, "ip", "-n", r.name, "link", "property", "del", "dev", name, "altname", long)
		if got := testenv.Run(t, "plan", file, "--name", r.name); got.Code != 10 || !strings.Contains(got.Stdout, name+" is not called "+long+" (in place)") {
			t.Errorf("plan: %+v", got)
		}
		testenv.Must(t, "up", file, "--name", r.name)
		if now := port(); now != name {
			t.Errorf("the port was %s and is %s", name, now)
		}
	})
}
