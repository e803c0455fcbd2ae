package wiring

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The longest prefix is found that a look at each one finds.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	prefix := func() netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(random.IntN(3)), byte(random.IntN(3) * 64), byte(random.IntN(256))})
		if random.IntN(4) == 0 {
			a = netip.AddrFrom16(a.As16())
		}
		return netip.PrefixFrom(a, random.IntN(a.BitLen()+1))
	}
	for range 300 {
		given := make([]netip.Prefix, random.IntN(40))
		for i := range given {
			given[i] = prefix()
		}
		p, which := sortedPrefixes(given)
		for range 50 {
			to := prefix().Masked()
			want := -1
			for i, g := range given {
				if g.Bits() <= to.Bits() && g.Masked().Contains(to.Addr()) && (want < 0 || g.Bits() > given[want].Bits()) {
					want = i
				}
			}
			got := p.find(to)
			if got >= 0 {
				got = which[got]
			}
			if got != want {
				t.Fatalf("%s in %s: %d, want %d", to, given, got, want)
			}
		}
	}
}
