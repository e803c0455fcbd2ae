package bridge

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"
)

// MarkedRule is a rule of the host's firewall that carries a lab's mark.
type MarkedRule struct {
	Rule
	Lab string
}

// Marked lists the rules that carry the mark of any lab, for Remove. It starts iptables programs where their chains are
// in force.
func Marked() ([]MarkedRule, error) {
	chains, err := forwardChains()
	if errors.Is(err, unix.EPERM) {
		return nil, nil // who may not look, as root of a user namespace, has made none
	}
	if err != nil {
		return nil, fmt.Errorf("look at the host's firewall: %w", err)
	}
	var all []MarkedRule
	for _, c := range chains {
		if c.dialect == nobodys {
			continue
		}
		name, ok := program(c, lookPath)
		if !ok {
			continue // then nsnet has made none either
		}
		ipt, err := open(name, c.family)
		if err != nil {
			return nil, err
		}
		names := []string{c.name}
		if c.docker {
			names = append(names, dockerUser)
		}
		for _, chain := range names {
			lines, err := list(ipt, c.table, chain)
			if err != nil {
				return nil, fmt.Errorf("list rules of %s: %w", chain, err)
			}
			for _, line := range lines {
				if spec, lab, ok := marked(line); ok {
					all = append(all, MarkedRule{Rule{Program: name, Family: c.family, Table: c.table, Chain: chain, Spec: spec}, lab})
				}
			}
		}
	}
	return all, nil
}

// list is the rules of a chain, none where that has just gone.
func list(ipt *iptables.IPTables, table, chain string) ([]string, error) {
	if there, err := ipt.ChainExists(table, chain); err != nil || !there {
		return nil, err
	}
	return ipt.List(table, chain)
}

// marked takes a line of iptables -S apart, and finds the lab in its comment.
func marked(line string) (spec []string, lab string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "-A" {
		return nil, "", false
	}
	for i, word := range f {
		f[i] = strings.Trim(word, `"`)
		if i > 0 && f[i-1] == "--comment" {
			lab, ok = strings.CutPrefix(f[i], mark(""))
		}
	}
	return f[2:], lab, ok && lab != ""
}
