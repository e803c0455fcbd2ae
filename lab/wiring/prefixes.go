package wiring

import (
	"cmp"
	"net/netip"
	"slices"
)

// prefixes find the longest of very many that a network is in, as the kernel's routing tables do (ip-route(8)): in a file's time, and not in
// that of its square.
type prefixes struct {
	all []netip.Prefix // masked, sorted, each once
	up  []int          // of each, the longest other that it is in; -1: none
}

// sortedPrefixes returns prefixes, and for each of theirs which of the given ones it is, the first of equal ones.
func sortedPrefixes(given []netip.Prefix) (p prefixes, which []int) {
	which = make([]int, len(given))
	masked := make([]netip.Prefix, len(given))
	for i := range given {
		which[i], masked[i] = i, given[i].Masked()
	}
	slices.SortStableFunc(which, func(a, b int) int { return compare(masked[a], masked[b]) })
	which = slices.CompactFunc(which, func(a, b int) bool { return masked[a] == masked[b] })
	p = prefixes{make([]netip.Prefix, len(which)), make([]int, len(which))}
	for i, w := range which {
		p.all[i], p.up[i] = masked[w], p.around(i-1, masked[w])
	}
	return p, which
}

// compare orders masked prefixes so that those in another come right behind it.
func compare(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// around returns the first of i and of those that it is in that a network is in, or -1.
func (p *prefixes) around(i int, to netip.Prefix) int {
	for i >= 0 && (p.all[i].Bits() > to.Bits() || !p.all[i].Contains(to.Addr())) {
		i = p.up[i]
	}
	return i
}

// find returns the index of the longest prefix that a masked network is in, or -1.
func (p *prefixes) find(to netip.Prefix) int {
	i, found := slices.BinarySearchFunc(p.all, to, compare)
	if found {
		return i
	}
	return p.around(i-1, to)
}
