package bridge

import (
	"slices"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

func TestMarkedLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`-A FORWARD -i ns0123456789 -m comment --comment "nsnet:demo" -j ACCEPT`:    "demo",
		`-A DOCKER-USER -o ns0123456789 -m comment --comment nsnet:a.b-c -j ACCEPT`: "a.b-c",
		`-A FORWARD -i eth0 -m comment --comment "allow nsnet:demo" -j ACCEPT`:      "",
		`-A FORWARD -i eth0 -m comment --comment "nsnet:" -j ACCEPT`:                "",
		`-A FORWARD -i eth0 -j ACCEPT`:                                              "",
		`-P FORWARD DROP`:                                                           "",
		`-N nsnet:demo`:                                                             "",
	} {
		if spec, lab, ok := marked(line); lab != want && ok || ok != (want != "") {
			t.Errorf("%s: %q %q %v", line, spec, lab, ok)
		}
	}
}

// What was listed can be removed, and nothing else is.
func TestMarked(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "iptables")
		testenv.MustCommand(t, "iptables", "-P", "FORWARD", "DROP")
		testenv.MustCommand(t, "iptables", "-A", "FORWARD", "-i", "stranger", "-m", "comment", "--comment", "nsnot:x", "-j", "ACCEPT")
		defer testenv.MustCommand(t, "iptables", "-F", "FORWARD")
		defer testenv.MustCommand(t, "iptables", "-P", "FORWARD", "ACCEPT")
		rules, _, err := PlanAccept("demo", []string{"ns0123456789"})
		if err != nil || len(rules) == 0 {
			t.Fatalf("%d rules, %v", len(rules), err)
		}
		if err := Insert(rules); err != nil {
			t.Fatal(err)
		}
		found, err := Marked()
		if err != nil || len(found) != len(rules) {
			t.Fatalf("found %+v of %+v: %v", found, rules, err)
		}
		for _, r := range found {
			if r.Lab != "demo" || !slices.ContainsFunc(rules, func(o Rule) bool { return o.Program == r.Program && o.Chain == r.Chain }) {
				t.Errorf("found %+v", r)
			}
			if err := Remove([]Rule{r.Rule}); err != nil {
				t.Error(err)
			}
		}
		if found, err = Marked(); err != nil || len(found) > 0 {
			t.Errorf("still there: %+v, %v", found, err)
		}
		testenv.MustCommand(t, "iptables", "-C", "FORWARD", "-i", "stranger", "-m", "comment", "--comment", "nsnot:x", "-j", "ACCEPT")
	})
}
