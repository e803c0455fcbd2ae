package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/lab"
)

func manyNodes(n int) lab.Usage {
	var u lab.Usage
	for i := range n {
		memory := uint64(i%7) << 20
		u.Nodes = append(u.Nodes, lab.NodeUsage{
			Lab: "demo", Node: fmt.Sprintf("n%03d", i), CPUCores: float64(i % 5), Memory: &memory,
			Interfaces: []lab.InterfaceUsage{{Name: "eth0", RxBytes: uint64(i), TxBytes: uint64(n - i)}},
		})
	}
	return u
}

func names(u lab.Usage) string {
	var all []string
	for _, n := range u.Nodes {
		all = append(all, n.Node)
	}
	return strings.Join(all, " ")
}

func TestArranged(t *testing.T) {
	u := manyNodes(8)
	for _, tc := range []struct {
		nodes []string
		key   string
		top   int
		want  string
	}{
		{nil, "", 0, "n000 n001 n002 n003 n004 n005 n006 n007"},
		{nil, "cpu", 3, "n004 n003 n002"},
		{nil, "memory", 2, "n006 n005"},
		{nil, "rx", 1, "n007"},
		{nil, "tx", 1, "n000"},
		{nil, "pids", 2, "n000 n001"},
		{[]string{"demo/n00[1-3]"}, "cpu", 0, "n003 n002 n001"},
		{[]string{"demo/n006", "demo/n001"}, "", 0, "n001 n006"},
		{[]string{"demo"}, "", 1, "n000"},
		{[]string{"other"}, "", 0, ""},
	} {
		var nodes []selector
		for _, s := range tc.nodes {
			sel, err := parseSelector(s)
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, sel)
		}
		equal(t, fmt.Sprint(tc), names(arranged(u, nodes, tc.key, tc.top)), tc.want)
	}
	equal(t, "what was given", names(u), "n000 n001 n002 n003 n004 n005 n006 n007")
}

func TestStatsPages(t *testing.T) {
	u := manyNodes(100)
	pages := statsPages(u, 24, 200)
	seen := map[string]int{}
	for i, p := range pages {
		if lines := strings.Count(p, "\n") + 1; lines > 24 {
			t.Errorf("page %d has %d lines", i, lines)
		}
		if !strings.HasPrefix(p, "LAB ") || !strings.Contains(p, fmt.Sprintf("page %d of %d;", i+1, len(pages))) {
			t.Errorf("page %d: %q", i, p)
		}
		for _, word := range strings.Fields(p) {
			seen[word]++
		}
	}
	for _, n := range u.Nodes {
		if seen[n.Node] != 2 {
			t.Errorf("node %s is shown %d times", n.Node, seen[n.Node])
		}
	}
	equal(t, "all on one screen", strings.Join(statsPages(manyNodes(3), 24, 200), "|"), statsTable(manyNodes(3)))
	equal(t, "none", strings.Join(statsPages(lab.Usage{}, 24, 200), "|"), statsTable(lab.Usage{}))
	for i, p := range statsPages(u, 1, 40) {
		if p == "" || i > 400 {
			t.Fatal("a tiny terminal")
		}
	}
}

func TestPager(t *testing.T) {
	p := &pager{}
	pages := []string{"one", "two", "three"}
	for i, step := range []struct {
		key  byte
		want string
	}{{'x', "one"}, {' ', "two"}, {' ', "three"}, {' ', "one"}, {'b', "one"}, {'n', "two"}, {'b', "one"}} {
		if p.key(step.key) {
			t.Errorf("%d: %c ends", i, step.key)
		}
		equal(t, fmt.Sprintf("%d: %c", i, step.key), p.show(pages), step.want)
	}
	if !p.key('q') {
		t.Error("q does not end")
	}
	p.page = 2
	equal(t, "fewer pages", p.show(pages[:1]), "one")
}
