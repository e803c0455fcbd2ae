package testenv

import (
	"fmt"
	"os/exec"
	"strings"
)

// observeFirewall lists rules by the programs that are there; without them there is nothing to see.
func observeFirewall() ([]string, error) {
	var items []string
	if path, ok := lookProgram("nft"); ok {
		out, err := exec.Command(path, "--stateless", "list", "ruleset").Output()
		if err != nil {
			return nil, fmt.Errorf("list nftables ruleset: %w", err)
		}
		items = append(items, nftItems(string(out))...)
	}
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		path, ok := lookProgram(program)
		if !ok {
			continue
		}
		// A kernel without x_tables has no rules of theirs: the error says no more than that.
		out, err := exec.Command(path).Output()
		if err != nil {
			continue
		}
		items = append(items, iptablesItems(program, string(out))...)
	}
	return items, nil
}

// nftItems turns nft's listing into one item per line with its table and chain in front.
// iptables makes its base chains on first use and never removes them: a built-in chain
// without rules that accepts is nothing, nor is a table of such chains.
func nftItems(listing string) []string {
	var items []string
	var path []string
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "}":
			if len(path) == 0 {
				continue
			}
			path = path[:len(path)-1]
		case strings.HasSuffix(line, "{"):
			path = append(path, strings.TrimSuffix(line, " {"))
			if !builtin(path) {
				items = append(items, strings.Join(path, " "))
			}
		case builtin(path) && strings.HasPrefix(line, "type ") && strings.HasSuffix(line, "policy accept;"):
		default:
			items = append(items, strings.Join(path, " ")+" "+line)
		}
	}
	return items
}

// builtin tells whether a path of nft headings is one of iptables' own tables or chains.
func builtin(path []string) bool {
	if len(path) == 0 {
		return false
	}
	switch path[0] {
	case "table ip filter", "table ip nat", "table ip mangle", "table ip raw", "table ip security",
		"table ip6 filter", "table ip6 nat", "table ip6 mangle", "table ip6 raw", "table ip6 security":
	default:
		return false
	}
	return len(path) == 1 || builtinChain(strings.TrimPrefix(path[1], "chain "))
}

func builtinChain(name string) bool {
	switch name {
	case "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING":
		return true
	}
	return false
}

// iptablesItems turns the output of iptables-save into rules, chains that somebody made, and
// policies other than accept, each with its table.
func iptablesItems(program, listing string) []string {
	var items []string
	table := ""
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line == "COMMIT" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "*"):
			table = line
		case strings.HasPrefix(line, ":"):
			fields := strings.Fields(line) // ":FORWARD ACCEPT [0:0]"
			if len(fields) < 2 || fields[1] == "ACCEPT" && builtinChain(fields[0][1:]) {
				continue
			}
			items = append(items, strings.Join([]string{program, table, fields[0], fields[1]}, " "))
		default:
			items = append(items, program+" "+table+" "+line)
		}
	}
	return items
}
