package bridge

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// BridgedNotes tells which of the host's bridges lose what goes from one of their ports to another, and how that is mended: br_netfilter
// hands it to the host's firewall, which drops what it forwards. Those bridges are the host's own, whose rules are its owner's to change.
// Documentation/networking/ip-sysctl.rst, bridge-nf-call-iptables.
func BridgedNotes(bridges []string) ([]string, error) {
	filtered := map[Family][]string{}
	for _, b := range bridges {
		for family, tables := range map[Family]string{IPv4: "iptables", IPv6: "ip6tables"} {
			if isOne(filepath.Join(procSys, "net/bridge/bridge-nf-call-"+tables)) || isOne(filepath.Join("/sys/class/net", b, "bridge/nf_call_"+tables)) {
				filtered[family] = append(filtered[family], b)
			}
		}
	}
	if len(filtered) == 0 {
		return nil, nil
	}
	chains, err := forwardChains()
	if err != nil {
		return nil, fmt.Errorf("look at the host's firewall: %w", err)
	}
	var notes []string
	for _, c := range chains {
		if !c.drops {
			continue
		}
		for _, b := range filtered[c.family] {
			passes, err := c.passes(b)
			if err != nil {
				return nil, fmt.Errorf("look at the host's firewall: %w", err)
			}
			if !passes {
				notes = append(notes, c.bridgedNote(b))
			}
		}
	}
	return notes, nil
}

func isOne(path string) bool {
	b, err := os.ReadFile(path)
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

// bridgedNote is what a user is told of a bridge whose packets a chain drops.
func (c *forwardChain) bridgedNote(b string) string {
	program, tables := "iptables", "iptables"
	if c.family == IPv6 {
		program, tables = "ip6tables", "ip6tables"
	}
	chain := c.name
	if c.docker {
		chain = dockerUser
	}
	remedy := fmt.Sprintf("%s -I %s -i %s -o %s -j ACCEPT lets them pass", program, chain, b, b)
	if c.dialect == nobodys {
		remedy = fmt.Sprintf("let the chain pass what both comes in and goes out by %s", b)
	}
	return fmt.Sprintf("the host's firewall drops %s packets between the ports of its bridge %s, as net.bridge.bridge-nf-call-%s has it look at them and the chain %s of table %s drops: %s, sysctl -w net.bridge.bridge-nf-call-%s=0 lets those of all bridges",
		map[Family]string{IPv4: "IPv4", IPv6: "IPv6"}[c.family], b, tables, c.name, c.table, remedy, tables)
}

// passes reports whether a rule of the chain's table lets pass whatever goes from one port of a bridge to another.
func (c *forwardChain) passes(b string) (bool, error) {
	if c.dialect == ofLegacy {
		return c.legacyPasses(b)
	}
	conn := &nftables.Conn{}
	all, err := conn.ListChains()
	if err != nil {
		return false, err
	}
	families := map[nftables.TableFamily]bool{nftables.TableFamilyINet: true, nftables.TableFamilyIPv4: c.family == IPv4, nftables.TableFamilyIPv6: c.family == IPv6}
	for _, other := range all {
		if other.Table.Name != c.table || !families[other.Table.Family] {
			continue
		}
		rules, err := conn.GetRules(other.Table, other)
		if err != nil {
			continue // a stranger's rule that cannot be decoded
		}
		if slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return acceptsBridged(r.Exprs, b) }) {
			return true, nil
		}
	}
	return false, nil
}

// acceptsBridged reports whether a rule accepts what comes in and goes out by a bridge, whatever else it is.
func acceptsBridged(exprs []expr.Any, b string) bool {
	var key expr.MetaKey
	in := false
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Meta:
			if key = e.Key; key != expr.MetaKeyIIFNAME && key != expr.MetaKeyOIFNAME {
				return false
			}
		case *expr.Cmp:
			if e.Op != expr.CmpOpEq || !isName(e.Data, b) {
				return false
			}
			in = in || key == expr.MetaKeyIIFNAME
		case *expr.Match:
			if e.Name != "comment" && e.Name != "physdev" {
				return false
			}
			in = in || e.Name == "physdev"
		case *expr.Verdict:
			return in && e.Kind == expr.VerdictAccept
		case *expr.Target:
			return in && e.Name == "ACCEPT"
		default:
			return false
		}
	}
	return false
}

// isName reports whether what a rule compares with is an interface's name, or its beginning, which then has no end of its own.
func isName(data []byte, name string) bool {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return string(data[:i]) == name
	}
	return len(data) < unix.IFNAMSIZ && strings.HasPrefix(name, string(data))
}

// legacyPasses asks the old iptables.
func (c *forwardChain) legacyPasses(b string) (bool, error) {
	name, ok := program(*c, lookPath)
	if !ok {
		return true, nil // unknown, and no reason to alarm
	}
	ipt, err := open(name, c.family)
	if err != nil {
		return false, err
	}
	chains, err := ipt.ListChains(c.table)
	if err != nil {
		return false, err
	}
	for _, chain := range chains {
		rules, err := ipt.List(c.table, chain)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(rules, func(r string) bool { return legacyAcceptsBridged(r, b) }) {
			return true, nil
		}
	}
	return false, nil
}

// legacyAcceptsBridged is acceptsBridged for a line of iptables -S.
func legacyAcceptsBridged(rule, b string) bool {
	f := strings.Fields(rule)
	if len(f) < 2 || f[0] != "-A" {
		return false
	}
	in := false
	for f = f[2:]; len(f) > 1; f = f[2:] {
		switch {
		case f[0] == "-i" && isPattern(f[1], b), f[0] == "--physdev-is-bridged":
			in = true
			if f[0] != "-i" {
				f = append([]string{""}, f...) // it has no value
			}
		case f[0] == "-o" && isPattern(f[1], b), f[0] == "-m" && (f[1] == "physdev" || f[1] == "comment"), f[0] == "--comment" && !strings.HasPrefix(f[1], `"`):
		case f[0] == "-j":
			return in && f[1] == "ACCEPT"
		default:
			return false
		}
	}
	return false
}

// isPattern reports whether an interface's name is that of a rule, which may end in +.
func isPattern(pattern, name string) bool {
	if start, begins := strings.CutSuffix(pattern, "+"); begins {
		return strings.HasPrefix(name, start)
	}
	return pattern == name
}
