package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/lab"
)

// sortKeys returns what stats can sort by, each with the number that it compares: the largest comes
// first.
func sortKeys() map[string]func(*lab.NodeUsage) float64 {
	known := func(n *uint64) float64 {
		if n == nil {
			return 0
		}
		return float64(*n)
	}
	return map[string]func(*lab.NodeUsage) float64{
		"cpu":     func(n *lab.NodeUsage) float64 { return n.CPUCores },
		"memory":  func(n *lab.NodeUsage) float64 { return known(n.Memory) },
		"pids":    func(n *lab.NodeUsage) float64 { return float64(n.Pids) },
		"read":    func(n *lab.NodeUsage) float64 { return known(n.Read) },
		"written": func(n *lab.NodeUsage) float64 { return known(n.Written) },
		"rx": func(n *lab.NodeUsage) float64 {
			return traffic(n, func(i lab.InterfaceUsage) uint64 { return i.RxBytes })
		},
		"tx": func(n *lab.NodeUsage) float64 {
			return traffic(n, func(i lab.InterfaceUsage) uint64 { return i.TxBytes })
		},
	}
}

// traffic adds up a count of all interfaces of a node.
func traffic(n *lab.NodeUsage, of func(lab.InterfaceUsage) uint64) float64 {
	sum := 0.0
	for _, i := range n.Interfaces {
		sum += float64(of(i))
	}
	return sum
}

// arranged returns the usage of the nodes that are meant, sorted by a key and the first top of
// them. Without selectors all nodes are meant, without a key they stay in the order of their files,
// and a top of 0 is all.
func arranged(u lab.Usage, nodes []selector, key string, top int) lab.Usage {
	u.Nodes = slices.Clone(u.Nodes)
	if len(nodes) > 0 {
		u.Nodes = slices.DeleteFunc(u.Nodes, func(n lab.NodeUsage) bool {
			return !slices.ContainsFunc(nodes, func(s selector) bool { return s.matches(n.Lab, n.Node) })
		})
	}
	if of := sortKeys()[key]; of != nil {
		slices.SortStableFunc(u.Nodes, func(a, b lab.NodeUsage) int { return cmp.Compare(of(&b), of(&a)) })
	}
	if top > 0 && top < len(u.Nodes) {
		u.Nodes = u.Nodes[:top]
	}
	return u
}

// statsPages returns the tables of stats in pages of so many lines, the last of which says which
// page it is and which keys turn it. Each page begins with its table's header.
func statsPages(u lab.Usage, height, width int) []string {
	nodes, links := statsRows(u)
	room := max(height-2, 1) // without the header and the last line
	var pages []string
	for _, rows := range [][][]string{nodes, links} {
		if len(rows) < 2 && len(pages) > 0 {
			continue
		}
		header, rest := rows[0], rows[1:]
		for first := true; first || len(rest) > 0; first = false {
			n := min(room, len(rest))
			page := append([][]string{header}, rest[:n]...)
			pages = append(pages, table(fit(page, width, columns{texts: []int{1, 0}}), nil))
			rest = rest[n:]
		}
	}
	// Where all of it has room on the screen, nothing has to be turned.
	if text := statsTable(u); strings.Count(text, "\n") <= height && widestLine(text) <= width {
		return []string{text}
	}
	for i := range pages {
		pages[i] += fmt.Sprintf("page %d of %d; space, b: next, previous; q: quit", i+1, len(pages))
	}
	return pages
}

func widestLine(text string) int {
	most := 0
	for line := range strings.Lines(text) {
		most = max(most, len([]rune(line))-1)
	}
	return most
}

// pager shows a page of several on a terminal.
type pager struct {
	page int
	keys <-chan byte // what is typed; nil where nothing can be
	stop func()      // gives the terminal back
}

// newPager lets keys turn pages where in is a terminal. stop must be called.
func newPager(in *os.File) *pager {
	restore, err := unbuffered(in)
	if err != nil {
		return &pager{stop: func() {}}
	}
	keys := make(chan byte)
	go func() {
		b := make([]byte, 1)
		for {
			if n, err := in.Read(b); n != 1 || err != nil {
				return
			}
			keys <- b[0]
		}
	}()
	return &pager{keys: keys, stop: restore}
}

// key does what a key asks for, and reports whether that is to end.
func (p *pager) key(k byte) (quit bool) {
	switch k {
	case ' ', 'n', 'f', '\r', '\n':
		p.page++
	case 'b', 'p':
		p.page = max(p.page-1, 0)
	case 'q', 'Q':
		return true
	}
	return false
}

// show returns the page to be seen. Past the last one the first comes again.
func (p *pager) show(pages []string) string {
	if p.page >= len(pages) {
		p.page = 0
	}
	return pages[p.page]
}
