package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A node finds its own hostname, whether it has addresses or not, and says it in full.
func TestNodeKnowsItsName(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "hostname", "getent")
		dir, name := t.TempDir(), testenv.LabName(t)
		const wire = `["dry:eth0", "lone:eth0"]`
		text := "name: " + name + `
nodes:
  gw: {hostname: gw.lab.test}
  r1: {hostname: core.lab.test, hosts: ["203.0.113.9 mirror"]}
  six: {}
  web: {hostname: www}
  lone: {}
  dry: {hostname: dry.lab.test, hosts: ["203.0.113.9 mirror"]}
links:
  - {endpoints: ["gw:eth0", "r1:eth0"], addresses: [10.0.0.1/24, 10.0.0.2/24]}
  - {endpoints: ["six:eth0", "web:eth0"], addresses: ["fd00::1/64", "fd00::2/64"]}
  - {endpoints: ` + wire + `}
`
		file := writeFile(t, dir, "lab.yaml", text)
		testenv.Must(t, "up", file)
		defer testenv.Must(t, "down", name)
		r := run{t, name}
		check := func(when string, address map[string]string) {
			t.Helper()
			for node, want := range map[string]string{
				"gw": "gw.lab.test gw", "r1": "core.lab.test core", "six": "six six", "web": "www www", "lone": "lone lone", "dry": "dry.lab.test dry",
			} {
				if got := r.sh(node, "echo $(hostname -f) $(hostname -s)"); got != want {
					t.Errorf("%s: %s is %q to itself, want %q", when, node, got, want)
				}
				if got := r.sh(node, "getent hosts $(hostname)"); !strings.HasPrefix(got, address[node]+" ") {
					t.Errorf("%s: %s finds itself at %q, want %s", when, node, got, address[node])
				}
			}
			for _, node := range []string{"r1", "dry"} {
				if got := r.sh(node, "getent hosts mirror"); !strings.HasPrefix(got, "203.0.113.9 ") {
					t.Errorf("%s: %s finds its own line at %q", when, node, got)
				}
			}
		}
		at := map[string]string{"gw": "10.0.0.1", "r1": "10.0.0.2", "six": "fd00::1", "web": "fd00::2", "lone": "127.0.1.1", "dry": "127.0.1.1"}
		check("at first", at)
		for _, other := range []string{"core", "r1", "core.lab.test"} {
			if got := r.sh("gw", "getent hosts "+other); !strings.HasPrefix(got, "10.0.0.2 ") {
				t.Errorf("gw finds %s at %q", other, got)
			}
		}
		if got := r.exec("gw", "getent", "hosts", "lone"); got.Code != 2 {
			t.Errorf("gw finds a node without an address: %+v", got)
		}
		// A running lab follows.
		addressed := map[string]string{"gw": "10.0.0.1", "r1": "10.0.0.2", "six": "fd00::1", "web": "fd00::2", "lone": "10.5.5.2", "dry": "10.5.5.1"}
		for _, step := range []struct {
			when, text string
			at         map[string]string
		}{
			{"with addresses", strings.Replace(text, wire, wire+", addresses: [10.5.5.1/24, 10.5.5.2/24]", 1), addressed},
			{"with another node", strings.Replace(text, wire, wire+", addresses: [10.5.5.1/24, 10.5.5.2/24]", 1) + "  - {endpoints: [\"gw:eth9\", \"r1:eth9\"], addresses: [10.6.6.1/24, 10.6.6.2/24]}\n", addressed},
			{"without addresses", text, at},
		} {
			if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
			testenv.Must(t, "up", file)
			check(step.when, step.at)
			if got := testenv.Must(t, "up", file); !strings.Contains(got, "nothing to do") {
				t.Errorf("%s, again: %s", step.when, got)
			}
			if got := testenv.Must(t, "diff", name+"/lone"); strings.TrimSpace(got) != "" && !strings.Contains(got, "nothing") {
				t.Errorf("%s: diff says %q", step.when, got)
			}
		}
		if got := r.sh("lone", "grep -c 10.6.6.1 /etc/hosts || true"); got != "0" {
			t.Errorf("what became of a removed link is in a node's own file: %s", got)
		}
	})
}
