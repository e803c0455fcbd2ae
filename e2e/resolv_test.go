package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// The first dns of a node that runs is changed in place as each later one is, and so is the last that goes: the node has then what its image has.
// /etc/hosts stays the one of all nodes.
func TestDNSComesAndGoes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		layers := map[string]string{"with": "nameserver 192.0.2.9\n", "without": ""}
		for layer, text := range layers {
			if err := os.MkdirAll(dir+"/"+layer+"/etc", 0o755); err != nil {
				t.Fatal(err)
			}
			if text != "" {
				writeFile(t, dir+"/"+layer+"/etc", "resolv.conf", text)
			}
		}
		if err := os.Symlink("../run/none", dir+"/without/etc/resolv.conf"); err != nil {
			t.Fatal(err)
		}
		file := func(dns, more string) string {
			return writeFile(t, dir, "lab.yaml", "name: "+name+"\ndefaults: {command: [sleep, inf]}\nnodes:\n  host: {"+dns+"}\n"+
				"  with: {layers: [./with], "+dns+"}\n  without: {layers: [./without], "+dns+"}\n  other: {}\n"+more)
		}
		nodes := []string{"host", "with", "without"}
		testenv.Must(t, "up", file("", ""))
		defer testenv.Must(t, "down", name)
		r := run{t, name}
		pids, first := map[string]int{}, map[string]string{}
		for _, n := range nodes {
			pids[n] = r.node(n).PID
			first[n] = r.sh(n, "cat /etc/resolv.conf 2>&1 || true")
		}
		change := func(what, path string, actions int, want func(node string) string) {
			t.Helper()
			plan := testenv.Run(t, "plan", path)
			if plan.Code != 10 || strings.Count(plan.Stdout, "(in place)") < actions || strings.Contains(plan.Stdout, "restarted") {
				t.Errorf("%s: plan: %+v", what, plan)
			}
			testenv.Must(t, "up", path)
			for _, n := range nodes {
				if got := r.sh(n, "cat /etc/resolv.conf 2>&1 || true"); !strings.Contains(got, want(n)) {
					t.Errorf("%s: resolv.conf of %s is %q", what, n, got)
				}
				if got := r.node(n).PID; got != pids[n] {
					t.Errorf("%s: %s was started anew", what, n)
				}
			}
			if got := testenv.Run(t, "plan", path); got.Code != 0 {
				t.Errorf("%s: plan after up: %+v", what, got)
			}
		}
		one := file("dns: {nameservers: [192.0.2.1]}", "")
		change("the first", one, 3, func(string) string { return "nameserver 192.0.2.1" })
		for _, n := range nodes {
			if got := r.sh(n, "stat -c '%U %F' /etc/resolv.conf"); got != "root regular file" {
				t.Errorf("resolv.conf of %s is of %s", n, got)
			}
		}
		if got := testenv.MustCommand(t, "cat", "/etc/netns/"+name+".with/resolv.conf"); !strings.Contains(got, "192.0.2.1") {
			t.Errorf("for ip netns exec: %s", got)
		}
		change("another", file("dns: {nameservers: [192.0.2.2]}", ""), 3, func(string) string { return "nameserver 192.0.2.2" })
		change("none", file("", ""), 3, func(n string) string {
			if n == "without" {
				return "No such file"
			}
			return first[n]
		})
		if _, err := os.Stat("/etc/netns/" + name + ".with"); err == nil {
			t.Error("the file for ip netns exec is left")
		}
		// Names of the lab still come to all.
		testenv.Must(t, "up", file("", "  late: {}\nlinks: [{endpoints: ['late:eth0', 'other:eth0'], addresses: [10.9.0.1/24, 10.9.0.2/24]}]\n"))
		for _, n := range nodes {
			if got := r.sh(n, "cat /etc/hosts"); !strings.Contains(got, "10.9.0.1") {
				t.Errorf("/etc/hosts of %s: %s", n, got)
			}
		}
	})
}
