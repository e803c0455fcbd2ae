package bridge

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// saved is a firewall's state without the counters and dates that change by themselves.
func (w *world) saved(save string) string {
	w.t.Helper()
	out := regexp.MustCompile(`(?m)^#.*\n| \[\d+:\d+\]$`).ReplaceAllString(w.run(save), "")
	return out
}

// TestAccept lets packets through firewalls of several kinds, which drop them otherwise.
func TestFault24_Accept(t *testing.T) {
	for _, c := range []struct {
		name, suffix string
		rules        [][]string // arguments of iptables
		chain        string
	}{
		{"policy, nft", "-nft", [][]string{{"-P", "FORWARD", "DROP"}}, "FORWARD"},
		{"policy, legacy", "-legacy", [][]string{{"-P", "FORWARD", "DROP"}}, "FORWARD"},
		{"last rule, nft", "-nft", [][]string{{"-A", "FORWARD", "-p", "esp", "-j", "ACCEPT"}, {"-A", "FORWARD", "-j", "REJECT"}}, "FORWARD"},
		{"last rule, legacy", "-legacy", [][]string{{"-A", "FORWARD", "-j", "REJECT"}}, "FORWARD"},
		{"docker, nft", "-nft", [][]string{{"-N", "DOCKER-USER"}, {"-A", "FORWARD", "-j", "DOCKER-USER"}, {"-P", "FORWARD", "DROP"}}, "DOCKER-USER"},
		{"docker, legacy", "-legacy", [][]string{{"-N", "DOCKER-USER"}, {"-A", "FORWARD", "-j", "DOCKER-USER"}, {"-P", "FORWARD", "DROP"}}, "DOCKER-USER"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.forward()
			newTestTable(t)
			v4, v6 := "iptables"+c.suffix, "ip6tables"+c.suffix
			for _, args := range c.rules {
				w.run(v4, args...)
				w.run(v6, args...)
			}
			before4, before6 := w.saved(v4+"-save"), w.saved(v6+"-save")
			if w.ping(w.node1, outNet4) || w.ping(w.node1, outNet6) {
				t.Fatal("the firewall does not drop")
			}
			rules, notes, err := PlanAccept(testLab, []string{leg1})
			must(t, err)
			if len(rules) != 4 || len(notes) != 0 {
				t.Errorf("planned %+v, noted %q", rules, notes)
			}
			for _, r := range rules {
				if r.Chain != c.chain || !strings.HasSuffix(r.Program, c.suffix) {
					t.Errorf("%+v", r)
				}
			}
			if d := cmp.Diff(before4+before6, w.saved(v4+"-save")+w.saved(v6+"-save")); d != "" {
				t.Errorf("planning changed the firewall: %s", d)
			}
			must(t, Insert(rules))
			once := w.saved(v4 + "-save")
			must(t, Insert(rules))
			if d := cmp.Diff(once, w.saved(v4+"-save")); d != "" {
				t.Errorf("inserted again: %s", d)
			}
			if !strings.Contains(once, mark(testLab)) {
				t.Errorf("no owner's mark in %s", once)
			}
			if !w.reaches(w.node1, outNet4) || !w.reaches(w.node1, outNet6) {
				t.Error("packets are still dropped")
			}
			if w.ping(w.node2, outNet4) {
				t.Error("another's packets pass, too")
			}
			for range 2 {
				must(t, Remove(rules))
				if d := cmp.Diff(before4+before6, w.saved(v4+"-save")+w.saved(v6+"-save")); d != "" {
					t.Errorf("not as before: %s", d)
				}
			}
			// As after the firewall was stopped.
			w.run(v4, "-F")
			w.run(v4, "-X")
			must(t, Remove(rules))
		})
	}
}

func TestNoFirewallNoRules(t *testing.T) {
	w := newWorld(t)
	rules, notes, err := PlanAccept(testLab, []string{leg1})
	if err != nil || len(rules) != 0 || len(notes) != 0 {
		t.Errorf("%v, %v, %v", rules, notes, err)
	}
	w.run("iptables-nft", "-A", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
	rules, notes, err = PlanAccept(testLab, []string{leg1})
	if err != nil || len(rules) != 0 || len(notes) != 0 {
		t.Errorf("a rule about somebody else: %v, %v, %v", rules, notes, err)
	}
}

func TestFault24_StrangersChainIsNoted(t *testing.T) {
	w := newWorld(t)
	w.run("nft", "add table inet fw; add chain inet fw passing { type filter hook forward priority 0; policy accept; }; "+
		"add rule inet fw passing counter reject with icmpx type admin-prohibited")
	rules, notes, err := PlanAccept(testLab, []string{leg1})
	if err != nil || len(rules) != 0 || len(notes) != 2 || !strings.Contains(notes[0], `"passing"`) || !strings.Contains(notes[0], leg1) {
		t.Errorf("%v, %q, %v", rules, notes, err)
	}
}

func TestFailedInsertLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.run("iptables-nft", "-P", "FORWARD", "DROP")
	before := w.saved("iptables-nft-save")
	rules, _, err := PlanAccept(testLab, []string{leg1})
	must(t, err)
	bad := rules[0]
	bad.Spec = []string{"-j", "NO_SUCH_TARGET"}
	if err := Insert(append([]Rule{bad}, rules...)); err == nil {
		t.Error("inserted")
	}
	if d := cmp.Diff(before, w.saved("iptables-nft-save")); d != "" {
		t.Error(d)
	}
}

func TestEmptyRuleIsRefused(t *testing.T) {
	r := []Rule{{Program: "iptables", Family: IPv4, Table: "filter", Chain: "FORWARD"}}
	if Insert(r) == nil || Remove(r) == nil {
		t.Error("a rule for every packet was taken")
	}
}

func TestPlanAcceptDecides(t *testing.T) {
	all := func(name string) (string, error) { return "/sbin/" + name, nil }
	plain := func(name string) (string, error) {
		if strings.Contains(name, "-") {
			return "", errors.New("not found")
		}
		return all(name)
	}
	nothing := func(string) (string, error) { return "", errors.New("not found") }
	nft4 := forwardChain{family: IPv4, table: "filter", name: "FORWARD", dialect: ofNFT}
	with := func(c forwardChain, f func(*forwardChain)) forwardChain { f(&c); return c }
	drop := with(nft4, func(c *forwardChain) { c.drops = true })
	for _, c := range []struct {
		name   string
		legs   []string
		chain  forwardChain
		look   func(string) (string, error)
		rules  int
		notes  int
		by, in string
	}{
		{"accepts", []string{"l"}, nft4, all, 0, 0, "", ""},
		{"drops", []string{"l"}, drop, all, 2, 0, "iptables-nft", "FORWARD"},
		{"two legs", []string{"l", "m"}, drop, all, 4, 0, "iptables-nft", "FORWARD"},
		{"no legs", nil, drop, all, 0, 0, "", ""},
		{"only one iptables", []string{"l"}, drop, plain, 2, 0, "iptables", "FORWARD"},
		{"no iptables", []string{"l"}, drop, nothing, 0, 1, "", ""},
		{"docker accepts by policy", []string{"l"}, with(nft4, func(c *forwardChain) { c.docker = true }), all, 2, 0, "iptables-nft", "DOCKER-USER"},
		{"legacy v6", []string{"l"}, with(drop, func(c *forwardChain) { c.dialect, c.family = ofLegacy, IPv6 }), all, 2, 0, "ip6tables-legacy", "FORWARD"},
		{"a stranger's", []string{"l"}, with(drop, func(c *forwardChain) { c.dialect = nobodys }), all, 0, 1, "", ""},
	} {
		rules, notes := planAccept("demo", c.legs, []forwardChain{c.chain}, c.look)
		if len(rules) != c.rules || len(notes) != c.notes {
			t.Errorf("%s: %v, %q", c.name, rules, notes)
		}
		for _, r := range rules {
			if r.Program != c.by || r.Chain != c.in || r.Family != c.chain.family || len(r.Spec) == 0 {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
	}
}

func TestLegacyDrops(t *testing.T) {
	for text, want := range map[string]bool{
		"":                  false,
		"-P FORWARD ACCEPT": false,
		"-P FORWARD DROP":   true,
		"-P FORWARD DROP\n-A FORWARD -i x -j ACCEPT":                                 true,
		"-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited": true,
		"-P FORWARD ACCEPT\n-A FORWARD -s 192.0.2.1/32 -j DROP":                      false,
		"-P FORWARD ACCEPT\n-A FORWARD -j DROP\n-A FORWARD -i x -j ACCEPT":           false,
	} {
		if got := legacyDrops(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
